"""One thin client of the API server: JSON in, JSON out, errors mapped once.

Invariant: at most `max_in_flight` requests run at a time (watches apart, they only listen); no
foreign exception leaves this module; a read is repeated on a broken connection, a write never is,
since nobody knows whether it arrived. Writes can ask for the metadata alone as the answer, so that
the values of a Secret never come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from types import TracebackType
from typing import Final, NoReturn, Protocol, Self

import aiohttp
import orjson
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from vso.core.clock import Clock
from vso.core.errors import Reason, TransientError
from vso.kube.config import Credentials
from vso.kube.errors import Asked, UnauthorizedError, UnreachableError, error_for
from vso.kube.json import JsonObject, decode_object
from vso.kube.labels import FIELD_MANAGER
from vso.kube.paths import target_of
from vso.runtime.attempts import attempt

METADATA_ONLY: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_ONLY_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_JSON: Final = "application/json"
_CHUNK_TIMEOUT: Final = 10.0
_VERBS: Final = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}


class PatchType(StrEnum):
    """The three kinds of patch, by their content types."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"


class KubeObserver(Protocol):
    """Whoever counts requests."""

    def request(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """One request has ended; code 0 means without an answer."""
        ...


class _Silent:
    def request(self, verb: str, resource: str, code: int, seconds: float) -> None:
        pass


class KubeClient:
    """Requests to one API server under one credential."""

    def __init__(
        self,
        credentials: Credentials,
        clock: Clock,
        *,
        user_agent: str = FIELD_MANAGER,
        max_in_flight: int = 32,
        timeout: float = 30.0,
        observer: KubeObserver | None = None,
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        self._user_agent = user_agent
        self._slots = asyncio.Semaphore(max_in_flight)
        self._timeout = timeout
        self._observer: KubeObserver = observer or _Silent()
        self._session: aiohttp.ClientSession | None = None

    @property
    def clock(self) -> Clock:
        """The clock that this client's users share."""
        return self._clock

    async def __aenter__(self) -> Self:
        # trust_env stays off: NO_PROXY with CIDR blocks, usual in clusters, is not understood by
        # Python, and the API server's traffic would go to a proxy that is meant for Vault.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._credentials.tls or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._user_agent},
            skip_auto_headers={"Content-Type"},
        )
        # It would send a DELETE or PUT again, unasked, on a connection that was dropped.
        self._session._retry_connection = False  # noqa: SLF001
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(
        self, path: str, *, params: Mapping[str, str] | None = None, metadata_only: bool = False
    ) -> JsonObject:
        """Return the object, or the page of a list, at the path."""
        accept = METADATA_ONLY if metadata_only else _JSON
        return _parsed(await self.get_bytes(path, params=params, accept=accept), path)

    async def get_bytes(self, path: str, *, params: Mapping[str, str] | None = None, accept: str = _JSON) -> bytes:
        """Return the undecoded body; repeated twice at most when the connection breaks."""
        headers = {"Accept": accept}
        return await attempt(
            self._retrying, UnreachableError, self._call, "GET", path, dict(params or {}), None, headers
        )

    async def create(
        self, path: str, body: JsonObject, *, metadata_only: bool = False, dry_run: bool = False
    ) -> JsonObject:
        """POST the object to its collection."""
        return await self._write("POST", path, body, _JSON, metadata_only=metadata_only, dry_run=dry_run)

    async def patch(
        self,
        path: str,
        body: JsonObject | list[JsonObject],
        *,
        content_type: PatchType,
        metadata_only: bool = False,
        dry_run: bool = False,
    ) -> JsonObject:
        """PATCH the object; a list is a JSON Patch (RFC 6902)."""
        return await self._write("PATCH", path, body, content_type, metadata_only=metadata_only, dry_run=dry_run)

    async def replace(self, path: str, body: JsonObject) -> JsonObject:
        """PUT the whole object."""
        return await self._write("PUT", path, body, _JSON, metadata_only=False, dry_run=False)

    async def delete(self, path: str, *, uid: str | None = None) -> JsonObject:
        """DELETE the object, only while it has that uid when one is given; its answer may be a Status."""
        options: JsonObject = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        return await self._write("DELETE", path, options, _JSON, metadata_only=True, dry_run=False)

    async def stream(
        self,
        path: str,
        params: Mapping[str, str],
        *,
        accept: str = _JSON,
        idle_timeout: float | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a streamed answer; silence for `idle_timeout` seconds is an error."""
        timeout = aiohttp.ClientTimeout(sock_connect=_CHUNK_TIMEOUT, sock_read=idle_timeout)
        asked = Asked("watch", target_of(path))
        async with self._answer("GET", path, dict(params), None, {"Accept": accept}, timeout) as response:
            if response.status >= 300:
                await self._refuse(response, asked)
            try:
                async for line in _lines(response):
                    yield line
            finally:
                _hang_up(response)

    def _retrying(self) -> AsyncRetrying:
        return AsyncRetrying(
            sleep=self._clock.sleep,
            stop=stop_after_attempt(3),
            wait=wait_exponential(multiplier=0.1, max=1.0),
            retry=retry_if_exception_type(UnreachableError),
            reraise=True,
        )

    async def _write(
        self, method: str, path: str, body: object, content_type: str, *, metadata_only: bool, dry_run: bool
    ) -> JsonObject:
        params = {} if method == "DELETE" else {"fieldManager": FIELD_MANAGER}
        if dry_run:
            params["dryRun"] = "All"
        headers = {"Accept": METADATA_ONLY if metadata_only else _JSON, "Content-Type": str(content_type)}
        return _parsed(await self._call(method, path, params, orjson.dumps(body), headers), path)

    async def _call(
        self, method: str, path: str, params: dict[str, str], body: bytes | None, headers: dict[str, str]
    ) -> bytes:
        async with self._slots:
            try:
                return await self._once(method, path, params, body, headers)
            except UnauthorizedError:
                # The request was not processed: any verb may go out again with a renewed token.
                before = await self._credentials.token()
                self._credentials.invalidate()
                if await self._credentials.token() == before:
                    raise
                return await self._once(method, path, params, body, headers)

    async def _once(
        self, method: str, path: str, params: dict[str, str], body: bytes | None, headers: dict[str, str]
    ) -> bytes:
        target, began, code = target_of(path), self._clock.monotonic(), 0
        verb = _VERBS.get(method) or ("get" if target.name or target.is_path else "list")
        timeout = aiohttp.ClientTimeout(total=self._timeout, sock_connect=_CHUNK_TIMEOUT)
        try:
            async with self._answer(method, path, params, body, headers, timeout) as response:
                code = response.status
                if code >= 300:
                    await self._refuse(response, Asked(verb, target))
                return await response.read()
        finally:
            self._observer.request(verb, target.full_resource, code, self._clock.monotonic() - began)

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        params: dict[str, str],
        body: bytes | None,
        headers: dict[str, str],
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("the client is not open")
        token = await self._credentials.token()
        if token is not None:
            headers = {**headers, "Authorization": f"Bearer {token}"}
        try:
            async with self._session.request(
                method,
                self._credentials.server + path,
                params=params,
                data=body,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                proxy=self._credentials.proxy,
                server_hostname=self._credentials.server_name,
            ) as response:
                yield response
        except TimeoutError:
            # Not repeated, as a broken connection is: the wait was long already.
            raise TransientError(
                Reason.KUBERNETES_UNAVAILABLE, f"{method} {target_of(path)}: no answer in time"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(f"{method} {target_of(path)}: {type(error).__name__}: {error}") from None

    async def _refuse(self, response: aiohttp.ClientResponse, asked: Asked) -> NoReturn:
        body = await response.read()
        try:
            said: JsonObject | None = decode_object(body)
        except ValueError:
            said = None
        raise error_for(response.status, said, asked, _retry_after(response.headers.get("Retry-After")))


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    # Not readline: its limit of a few kilobytes is far below the size of an object.
    pending = bytearray()
    async for chunk in response.content.iter_any():
        pending += chunk
        while (end := pending.find(b"\n")) >= 0:
            line = bytes(pending[:end])
            del pending[: end + 1]
            if line:
                yield line


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """Drop the connection of a stream that is left before its end; a TLS farewell would wait for the server."""
    connection = response.connection
    if connection is not None and connection.transport is not None and not response.content.at_eof():
        connection.transport.abort()


def _retry_after(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdigit() else None


def _parsed(body: bytes, path: str) -> JsonObject:
    try:
        return decode_object(body)
    except ValueError as error:
        raise TransientError(Reason.KUBERNETES_UNAVAILABLE, f"{target_of(path)}: {error}") from None
