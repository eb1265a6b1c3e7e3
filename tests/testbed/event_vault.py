"""A stand-in for Vault Enterprise: a Vault's own answers, and event notifications beside them.

It stands before a Vault that has none. Only `sys/events/subscribe` is answered here, with a websocket
for whoever holds a token that the Vault knows; everything else passes through.

Invariant: it tells nothing by itself; a scenario says what was written.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, Self, TypeVar

import aiohttp
from aiohttp import web
from yarl import URL

from tests.testbed.process import free_port

T = TypeVar("T")

_SUBSCRIBE = "/v1/sys/events/subscribe/kv*"
_HOP_BY_HOP = frozenset({"connection", "content-encoding", "content-length", "host", "keep-alive", "transfer-encoding"})


class EventVault:
    """The stand-in, on a port of its own, with an event loop of its own in a thread."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._port = free_port()
        self._sockets: set[web.WebSocketResponse] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.handshakes: list[Mapping[str, str]] = []

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def open(self) -> int:
        """How many websockets are open."""
        return len(self._sockets)

    def tell(self, path: str, *, namespace: str = "", modified: str = "true") -> None:
        """Tell everybody that something was written."""
        metadata = {"current_version": "2", "modified": modified, "operation": "data-write", "path": path}
        data = {"event": {"metadata": metadata}, "event_type": "kv-v2/data-write", "namespace": namespace}
        self._in_loop(self._send(json.dumps({"specversion": "1.0", "type": "*", "data": data})))

    def hang_up(self) -> None:
        """Close every websocket."""
        self._in_loop(self._close())

    def start(self) -> None:
        """Listen."""
        listening = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live(listening)), name="event-vault", daemon=True
        )
        self._thread.start()
        if not listening.wait(10):
            raise RuntimeError(f"the stand-in does not listen on port {self._port}")

    def stop(self) -> None:
        """Close every connection and listen no more."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(10)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _in_loop(self, work: Coroutine[None, None, T]) -> T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _live(self, listening: threading.Event) -> None:
        self._ending = asyncio.Event()
        async with aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as self._http:
            runner = web.ServerRunner(web.Server(self._handle), handle_signals=False, shutdown_timeout=0.5)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
            self._loop = asyncio.get_running_loop()
            listening.set()
            await self._ending.wait()
            self._loop = None
            await self._close()
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path != _SUBSCRIBE:
            return await self._forward(request, request.method, request.raw_path)
        known = await self._forward(request, "GET", "/v1/auth/token/lookup-self")
        return known if known.status != 200 else await self._hold(request)

    async def _hold(self, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.handshakes.append(dict(request.headers))
        self._sockets.add(socket)
        try:
            async for _ in socket:
                pass
        finally:
            self._sockets.discard(socket)
        return socket

    async def _forward(self, request: web.BaseRequest, method: str, target: str) -> web.StreamResponse:
        url = URL(self._upstream + target, encoded=True)
        headers = _passed(request.headers)
        async with self._http.request(method, url, headers=headers, data=await request.read() or None) as answer:
            return web.Response(status=answer.status, body=await answer.read(), headers=_passed(answer.headers))

    async def _send(self, text: str) -> None:
        for socket in list(self._sockets):
            await socket.send_str(text)

    async def _close(self) -> None:
        for socket in list(self._sockets):
            await socket.close()


def _passed(headers: Mapping[str, Any]) -> dict[str, str]:
    """The headers that concern both ends; an upgrade ends here."""
    ours = _HOP_BY_HOP | {"upgrade"}
    return {
        name: value
        for name, value in headers.items()
        if name.lower() not in ours and not name.lower().startswith("sec-websocket")
    }
