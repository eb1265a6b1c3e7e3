"""One HTTP exchange with Vault: bytes out, status and JSON in, every failure named.

Invariant: no foreign exception leaves this module, and none is chained to what does: aiohttp's
carry the request's headers, hence the token. Nothing of a body that is not JSON is ever quoted.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from vso.core.errors import Reason, TransientError, VsoError
from vso.vault.channel import HEARTBEAT, MAX_MESSAGE, TIMEOUTS, Channel
from vso.vault.config import ConnectionConfig
from vso.vault.errors import DroppedError, UnsentError, VaultDownError, answer_invalid
from vso.vault.json import JsonObject, NotJsonError, parse
from vso.vault.proxies import proxy_for
from vso.vault.tls import failure_text, ssl_context

_SILENT = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HOPS = 2
_STREAM_HOPS = 10
_LONGEST_WAIT = 60.0
_SILENCE = "no answer"
DROPPED = "the connection is refused or dropped"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What goes over the wire; the headers may hold a token."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `body` is None when it was no JSON object."""

    status: int
    body: JsonObject | None = field(repr=False)
    retry_after: float | None = None
    empty: bool = False


class _NoUpgradeError(Exception):
    """The handshake of a websocket is answered with something else; never leaves this module."""

    def __init__(self, answer: Answer, location: str) -> None:
        super().__init__(answer.status)
        self.answer = answer
        self.location = location


class Transport:
    """The sockets of one connection."""

    def __init__(self, config: ConnectionConfig, max_body: int) -> None:
        self._config = config
        self._max_body = max_body
        self._ssl = ssl_context(config.tls) if config.base.startswith("https:") else True
        self._proxy = proxy_for(config.base, os.environ)
        self._session: aiohttp.ClientSession | None = None
        self._streams: aiohttp.ClientSession | None = None
        self._closed = False

    @property
    def where(self) -> str:
        """How messages name the Vault."""
        return f"Vault at {self._config.base}"

    async def exchange(self, exchange: Exchange, seconds: float) -> Answer:
        """Send it and read the whole answer; a TransientError says that there is none of Vault's."""
        try:
            return await self._follow(exchange, aiohttp.ClientTimeout(total=seconds))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            named = self._named(error)
        raise named from None

    async def upgrade(self, exchange: Exchange, seconds: float) -> Channel | Answer:
        """Open a websocket; an Answer is what came in its place."""
        try:
            # Real time: it bounds the handshake, and must not outlive it.
            async with asyncio.timeout(seconds):
                return await self._shake_hands(exchange)
        except TimeoutError:
            named: VsoError = self.silent()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            named = self._named(error)
        raise named from None

    def silent(self) -> TransientError:
        """Return the error for a Vault that does not answer in time."""
        return VaultDownError(Reason.VAULT_UNAVAILABLE, f"{self.where}: {_SILENCE}")

    async def close(self) -> None:
        """Close every socket."""
        self._closed = True
        sessions = (self._session, self._streams)
        self._session = self._streams = None
        for session in sessions:
            if session is not None:
                await session.close()

    async def _follow(self, exchange: Exchange, timeout: aiohttp.ClientTimeout) -> Answer:
        url = exchange.url
        for _ in range(_HOPS):
            async with self._http().request(
                exchange.method,
                URL(url, encoded=True),
                headers=exchange.headers,
                data=exchange.body,
                allow_redirects=False,
                timeout=timeout,
                server_hostname=self._config.tls.server_name or None,
            ) as response:
                if response.status not in _REDIRECTS:
                    return await self._answer(response)
                url = self._redirect(url, response.status, response.headers.get("Location", ""))
        raise answer_invalid(self.where, "it redirects in a circle")

    async def _shake_hands(self, exchange: Exchange) -> Channel | Answer:
        url = exchange.url
        for _ in range(_STREAM_HOPS):
            try:
                socket = await self._streaming().ws_connect(
                    URL(url, encoded=True),
                    headers=exchange.headers,
                    heartbeat=HEARTBEAT,
                    max_msg_size=MAX_MESSAGE,
                    timeout=TIMEOUTS,
                )
            except _NoUpgradeError as refused:
                if refused.answer.status not in _REDIRECTS:
                    return refused.answer
                # A websocket's scheme means the same as HTTP's.
                location = re.sub(r"^ws(?=s?://)", "http", refused.location)
                url = self._redirect(url, refused.answer.status, location)
            else:
                return Channel(socket, self.where)
        raise answer_invalid(self.where, "it redirects in a circle")

    async def _upgraded(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Let nothing but an upgrade pass: redirects are followed here, not by the library with the token."""
        request.server_hostname = self._config.tls.server_name or None
        response = await handler(request)
        if response.status == 101:
            return response
        try:
            raise _NoUpgradeError(await self._answer(response), response.headers.get("Location", ""))
        finally:
            response.close()

    def _redirect(self, url: str, status: int, location: str) -> str:
        """Return where to go: only ever the same scheme, host and port, and only for a 307."""
        try:
            target = URL(url, encoded=True).join(URL(location, encoded=True))
            port = target.port
        except ValueError:
            raise answer_invalid(self.where, f"it redirects ({status}) to what is no URL") from None
        origin = f"{target.scheme}://{target.host}:{port}"
        source = urlsplit(self._config.base)
        same = (target.scheme, target.host) == (source.scheme, source.hostname) and port == URL(url).port
        if status == 307 and same:
            return str(target)
        if status == 307 and "/v1/" in target.path:
            raise VaultDownError(
                Reason.VAULT_STANDBY,
                f"{self.where} is a standby and redirects to {origin}; the token is not sent there",
            )
        raise answer_invalid(self.where, f"it redirects ({status}) to {origin}")

    async def _answer(self, response: aiohttp.ClientResponse) -> Answer:
        content = await self._read(response)
        retry_after = retry_after_in(response.headers.get("Retry-After"))
        if not content.strip():
            return Answer(response.status, None, retry_after, empty=True)
        try:
            return Answer(response.status, parse(content), retry_after)
        except NotJsonError:
            if response.status == 400 and b"HTTP request to an HTTPS server" in content:
                raise VaultDownError(
                    Reason.VAULT_TLS_ERROR, f"{self.where} speaks TLS: write https in spec.address"
                ) from None
            return Answer(response.status, None, retry_after)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        chunks: list[bytes] = []
        room = self._max_body
        async for chunk in response.content.iter_any():
            room -= len(chunk)
            if room < 0:
                response.close()
                raise answer_invalid(self.where, f"the answer is longer than {self._max_body} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    def _streaming(self) -> aiohttp.ClientSession:
        """Return what opens websockets: they last, and must not take the sockets of the requests."""
        self._check_open()
        if self._streams is None:
            self._streams = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._ssl),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                middlewares=(self._upgraded,),
                proxy=self._proxy,
            )
        return self._streams

    def _check_open(self) -> None:
        if self._closed:
            raise TransientError(Reason.VAULT_UNAVAILABLE, f"{self.where}: the connection was replaced")

    def _http(self) -> aiohttp.ClientSession:
        self._check_open()
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=self._config.max_concurrency, ssl=self._ssl)
            # Not trust_env: it reads the environment and ~/.netrc anew for each request, in a thread.
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=self._proxy,
                # What is small on the wire is to be small here: nothing asks for packed answers, and none is unpacked.
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
            )
            # It would send a PUT again, unasked, on a connection that was dropped: a second login, or lease.
            self._session._retry_connection = False  # noqa: SLF001
        return self._session

    def _named(self, error: Exception) -> VsoError:
        """Name a failure; refused and dropped share one text, as do the kinds of silence: they alternate."""
        tls = failure_text(error)
        if tls is not None:
            return VaultDownError(Reason.VAULT_TLS_ERROR, f"{self.where}: {tls}")
        if isinstance(error, ValueError):
            return UnsentError(Reason.INVALID_SPEC, f"{self.where}: the request holds what cannot be sent over HTTP")
        text = unreachable(error)
        family = VaultDownError if text else DroppedError
        return family(Reason.VAULT_UNAVAILABLE, f"{self.where}: {text or DROPPED}")


def unreachable(error: Exception) -> str:
    """Return what keeps Vault away, or nothing when the connection was refused or dropped."""
    match error:
        case aiohttp.ClientProxyConnectionError():
            return "the proxy cannot be reached"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy answers {error.status}"
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            return "the host name cannot be resolved"
        case TimeoutError():
            return _SILENCE
        case OSError() if _number(error) in _SILENT:
            return _SILENCE
        case aiohttp.ClientResponseError() | ValueError():
            return "the answer is not HTTP"
        case _:
            return ""


def _number(error: OSError) -> int | None:
    inner = getattr(error, "os_error", None)
    return inner.errno if isinstance(inner, OSError) else error.errno


def retry_after_in(header: str | None) -> float | None:
    """Return Retry-After in seconds, of which no more than a minute counts: one header, right or wrong, is
    to hold back no renewal for long. Its other form, a date, is not one that Vault uses.
    """
    try:
        return None if header is None else min(max(0.0, float(header)), _LONGEST_WAIT)
    except ValueError:
        return None
