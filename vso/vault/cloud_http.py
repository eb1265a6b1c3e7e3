"""One HTTP exchange with an endpoint of a cloud: its token service, or the metadata of the machine.

Invariant: no foreign exception leaves this module, no body is ever quoted, no redirect is followed, and what
the machine answers is asked of the machine and never of a proxy. A failure here says nothing of Vault.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from vso.core.errors import ConfigError, Reason, TransientError
from vso.vault.config import TlsConfig
from vso.vault.json import JsonObject, NotJsonError, parse
from vso.vault.proxies import proxy_for
from vso.vault.tls import failure_text, ssl_context
from vso.vault.transport import DROPPED, retry_after_in, unreachable

MAX_BODY = 256 * 1024
_PATIENCE = 10.0
_AT_HAND = 3.0
"""Seconds for the machine's own endpoints: they answer at once, or a firewall swallows the question."""

_UNREACHED = re.compile(r"dial tcp|giving up after|no such host|i/o timeout|Client\.Timeout|response code (429|5\d\d)")


@dataclass(frozen=True)
class CloudRequest:
    """What is asked; headers and body may hold a token."""

    who: str
    """How messages name the endpoint."""
    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    at_hand: bool = False
    """Whether it is an endpoint of the machine's or the pod's own."""
    may_reach: Callable[[str], bool] | None = field(default=None, repr=False)
    """Which addresses may stand behind the host, where a VaultAuth names it. A proxy looks them up by itself."""


@dataclass(frozen=True, slots=True)
class CloudAnswer:
    """What came back; it may hold credentials."""

    status: int
    body: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the endpoint has done what it was asked for."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", errors="replace").strip()

    @property
    def json(self) -> JsonObject:
        """The JSON object in the body; empty where there is none."""
        try:
            return parse(self.body)
        except NotJsonError:
            return {}


class _Screen(AbstractResolver):
    """Looks a host up once, so that what was looked at is what is asked."""

    def __init__(self, request: CloudRequest, may_reach: Callable[[str], bool], inner: AbstractResolver) -> None:
        self._request = request
        self._may_reach = may_reach
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not all(self._may_reach(result["host"]) for result in found):
            raise ConfigError(
                Reason.INVALID_SPEC,
                f"{self._request.who}: the name leads to an endpoint of the machine's own, which is not asked",
            )
        return found

    async def close(self) -> None:
        await self._inner.close()


async def ask(request: CloudRequest, env: Mapping[str, str]) -> CloudAnswer:
    """Ask once; TransientError when there is no answer, or one that says that it will pass."""
    try:
        return await _ask(request, env)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        named = unavailable(request.who, failure_text(error) or unreachable(error) or DROPPED)
    raise named from None


def unreached(text: str) -> bool:
    """Tell whether a text of Vault's says that Vault has had no answer from a cloud."""
    return _UNREACHED.search(text) is not None


def unavailable(who: str, what: str, retry_after: float | None = None) -> TransientError:
    """Return the error for an endpoint that does not do its work for now."""
    return TransientError(Reason.CLOUD_UNAVAILABLE, f"{who}: {what}", retry_after)


def refused(who: str, what: str) -> ConfigError:
    """Return the error for an endpoint that does not do what it is asked for."""
    return ConfigError(Reason.CLOUD_REFUSED, f"{who}: {what}")


async def _ask(request: CloudRequest, env: Mapping[str, str]) -> CloudAnswer:
    tls = ssl_context(TlsConfig()) if request.url.startswith("https:") else True
    proxy = None if request.at_hand else proxy_for(request.url, env)
    screen = None
    if request.may_reach is not None and proxy is None:
        screen = _Screen(request, request.may_reach, aiohttp.DefaultResolver())
    async with (
        # Logins are rare: no socket is kept open between them.
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, resolver=screen),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
        ) as session,
        session.request(
            request.method,
            URL(request.url, encoded=True),
            headers=request.headers,
            data=request.body,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=_AT_HAND if request.at_hand else _PATIENCE),
            proxy=proxy,
        ) as response,
    ):
        if response.status == 429 or response.status >= 500:
            after = retry_after_in(response.headers.get("Retry-After"))
            raise unavailable(request.who, f"it answers {response.status}", after)
        if 300 <= response.status < 400:
            raise refused(request.who, f"it redirects ({response.status}), which is not followed")
        return CloudAnswer(response.status, await _read(response, request.who))


async def _read(response: aiohttp.ClientResponse, who: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            response.close()
            raise refused(who, f"its answer is longer than {MAX_BODY} bytes")
    return bytes(body)
