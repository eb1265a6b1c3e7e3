"""An HTTP proxy that breaks on purpose, in front of Vault or the API server.

It runs an event loop of its own in a thread; faults are set from the test's thread. Bytes are handed on
as they come (watches, upgrades), headers untouched; each request has an upstream connection of its own.

Invariant: without a fault the proxy adds nothing and takes nothing away.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from tests.testbed.exchange import Client, DroppedError, Exchange
from tests.testbed.faults import (
    Action,
    BlackHole,
    Cut,
    Delay,
    Fault,
    Freeze,
    Header,
    Match,
    Reset,
    Status,
    anything,
    path_has,
)
from tests.testbed.http_wire import ends_with_connection, read_head, request_body, response_body, until_end
from tests.testbed.pki import KeyPair
from tests.testbed.process import free_port

__all__ = ["BlackHole", "Cut", "Delay", "Fault", "Freeze", "Header", "Proxy", "Reset", "Status", "anything", "path_has"]


class Proxy:
    """A proxy on a port of its own; with a serving key pair it speaks TLS to its clients."""

    def __init__(
        self, upstream: str, *, ca: Path | None = None, serving: KeyPair | None = None, record_headers: bool = False
    ) -> None:
        target = urlsplit(upstream)
        self._upstream = (target.hostname or "127.0.0.1", target.port or 80)
        self._upstream_tls = ssl.create_default_context(cafile=ca) if target.scheme == "https" else None
        self._serving_tls = _serving_context(serving) if serving else None
        self._port, self._record_headers = free_port(), record_headers
        self.requests: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self._faults: tuple[Fault, ...] = ()
        self._exchanges: set[Exchange] = set()
        self._transports: set[asyncio.WriteTransport] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        """Where clients find the proxy."""
        return f"{'https' if self._serving_tls else 'http'}://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen; after `stop()` on the same port again."""
        listening = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live(listening)), name="fault-proxy", daemon=True
        )
        self._thread.start()
        if not listening.wait(10):
            raise RuntimeError(f"the proxy does not listen on port {self._port}")

    def show(self, serving: KeyPair) -> None:
        """Go on with another certificate; open connections are dropped."""
        self.stop()
        self._serving_tls = _serving_context(serving)
        self.start()

    def stop(self) -> None:
        """Drop every connection and listen no more: clients are refused."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(10)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def fault(self, action: Action, match: Match = anything, *, times: int | None = None) -> Fault:
        """Break matching requests from now on, at most so many times; of several faults the first that matches counts."""
        fault = Fault(match, action, times)
        self._change((*self._faults, fault))
        return fault

    def lift(self, fault: Fault) -> None:
        """End one fault."""
        self._change(tuple(other for other in self._faults if other is not fault))

    def clear(self) -> None:
        """End every fault; frozen streams go on."""
        self._change(())

    def cut(self, match: Match = anything) -> None:
        """Break the matching requests that are under way just now."""
        self._in_loop(self._cut(Fault(match, Cut())))

    def under_way(self, match: Match = anything) -> int:
        """How many matching requests have no whole answer yet."""
        return sum(match(each.head.method, each.head.target) for each in self._exchanges.copy())

    def count(self, match: Match = anything) -> int:
        """How many matching requests have come so far."""
        return sum(match(method, path) for method, path in list(self.requests))

    def _change(self, faults: tuple[Fault, ...]) -> None:
        self._faults = faults
        self._in_loop(self._apply_to_open_streams())

    def _in_loop(self, work: Coroutine[None, None, None]) -> None:
        if self._loop is None:
            work.close()
            return
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _apply_to_open_streams(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        for fault in self._faults:
            if isinstance(fault.action, Cut) and not fault.spent:
                await self._cut(fault, fault.action.after_bytes)

    async def _cut(self, fault: Fault, after_bytes: int = 0) -> None:
        for exchange in list(self._exchanges):
            if exchange.meets(fault) and exchange.sent >= after_bytes:
                exchange.reset()

    async def _live(self, listening: threading.Event) -> None:
        self._changed = asyncio.Event()  # anew for this loop
        self._ending = asyncio.Event()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._protocol, "127.0.0.1", self._port, ssl=self._serving_tls)
        self._loop = loop
        listening.set()
        await self._ending.wait()
        self._loop = None
        for listener in server.sockets:
            loop.remove_reader(listener.fileno())
        # A connection that was accepted gets its transport a moment later, and none from a server that is closed.
        await asyncio.sleep(0.01)
        server.close()
        await self._hang_up()

    async def _hang_up(self) -> None:
        """Break every connection and wait for its task: what the loop leaves open, the collector complains of later."""
        while still := [transport for transport in self._open() if not transport.is_closing()]:
            for transport in still:
                transport.abort()
            await asyncio.sleep(0.01)
        if self._serving:
            await asyncio.wait(self._serving, timeout=2)
        await asyncio.sleep(0)

    def _open(self) -> set[asyncio.WriteTransport]:
        """Every connection; one whose handshake is under way is known to the loop alone."""
        handshaking: Mapping[int, asyncio.WriteTransport] = getattr(asyncio.get_running_loop(), "_transports", {})
        return {*self._transports, *handshaking.values()}

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        client = Client()

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._serving.add(task)
            self._transports.add(writer.transport)
            try:
                await self._serve(client, writer)
            finally:
                self._transports.discard(writer.transport)
                self._serving.discard(task)

        return asyncio.StreamReaderProtocol(client, serve)

    async def _serve(self, reader: Client, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(DroppedError, OSError, asyncio.IncompleteReadError):
            try:
                while head := await read_head(reader):
                    if not await self._while_there(Exchange(head, reader, writer)):
                        break
            finally:
                await _flush(writer)
                writer.transport.abort()

    async def _while_there(self, exchange: Exchange) -> bool:
        """Carry out one exchange, or give it up when the client goes; tell whether the connection may live on."""
        work = asyncio.ensure_future(self._exchange(exchange))
        gone = asyncio.ensure_future(exchange.reader.gone.wait())
        self._exchanges.add(exchange)
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            return work.done() and work.result()
        finally:
            self._exchanges.discard(exchange)
            work.cancel()
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError, DroppedError, OSError, asyncio.IncompleteReadError):
                await work

    async def _exchange(self, exchange: Exchange) -> bool:
        head = exchange.head
        self.requests.append((head.method, head.target))
        if self._record_headers:
            self.headers.append(dict(head.headers))
        fault = next((f for f in self._faults if not f.spent and exchange.meets(f)), None)
        if fault is not None:
            fault.hits += 1
        match fault.action if fault else None:
            case Status() as answer:
                async for _ in request_body(head, exchange.reader):
                    pass
                exchange.writer.write(answer.wire())
                await exchange.writer.drain()
                return not head.last
            case BlackHole():
                await asyncio.Event().wait()
            case Reset():
                exchange.reset()
                raise DroppedError
            case Delay(seconds):
                await asyncio.sleep(seconds)
            case Header(name, value):
                exchange.head = exchange.head.with_header(name, value)
            case _:
                pass
        limit = fault.action.after_bytes if fault and isinstance(fault.action, Cut) else None
        return await self._forward(exchange, limit)

    async def _forward(self, exchange: Exchange, limit: int | None) -> bool:
        try:
            reader, writer = await asyncio.open_connection(*self._upstream, ssl=self._upstream_tls, limit=1 << 20)
        except OSError as error:
            exchange.reset()
            raise DroppedError from error
        try:
            writer.write(exchange.head.raw)
            async for piece in request_body(exchange.head, exchange.reader):
                writer.write(piece)
                await writer.drain()
            return await self._answer(exchange, reader, writer, limit)
        finally:
            writer.transport.abort()

    async def _answer(
        self, exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None
    ) -> bool:
        head = await read_head(reader)
        while head is not None and head.status in {100, 103}:
            await self._send(exchange, head.raw, None)
            head = await read_head(reader)
        if head is None:
            exchange.reset()
            raise DroppedError
        await self._send(exchange, head.raw, limit, body=False)
        if head.status == 101:
            await self._tunnel(exchange, reader, writer)
            return False
        await self._pump(exchange, response_body(head, reader, method=exchange.head.method), limit)
        return not (exchange.head.last or head.last or ends_with_connection(head))

    async def _pump(self, exchange: Exchange, pieces: AsyncIterator[bytes], limit: int | None) -> None:
        async for piece in pieces:
            await self._send(exchange, piece, limit)

    async def _send(self, exchange: Exchange, piece: bytes, limit: int | None, *, body: bool = True) -> None:
        """Hand bytes to the client, as far as the faults in force let them pass."""
        while any(isinstance(fault.action, Freeze) and exchange.meets(fault) for fault in self._faults):
            await self._changed.wait()
        if limit is not None and (limit == 0 or exchange.sent + len(piece) * body > limit):
            exchange.writer.write(piece[: limit - exchange.sent] if body else b"")
            await exchange.writer.drain()
            exchange.reset()
            raise DroppedError
        exchange.writer.write(piece)
        await exchange.writer.drain()
        exchange.sent += len(piece) * body

    async def _tunnel(self, exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand on both directions of an upgraded connection until either side closes."""

        async def upwards() -> None:
            async for piece in until_end(exchange.reader):
                writer.write(piece)
                await writer.drain()

        up = asyncio.ensure_future(upwards())
        try:
            await self._pump(exchange, until_end(reader), None)
        finally:
            up.cancel()


async def _flush(writer: asyncio.StreamWriter) -> None:
    """Let what is buffered go out before the connection is dropped, but not for long."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            writer.close()
            await writer.wait_closed()


def _serving_context(serving: KeyPair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(serving.certificate, serving.key)
    return context
