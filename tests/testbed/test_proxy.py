"""The fault-injecting proxy before a small server: each fault does what its name says, and no fault does nothing."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from aiohttp import ClientSession, WSMsgType, web

from tests.testbed.pki import Authority
from tests.testbed.proxy import BlackHole, Cut, Delay, Freeze, Header, Proxy, Reset, Status, path_has
from tests.testbed.waiting import always, eventually


class Upstream:
    """A server with an echo, a counter and a stream that the test feeds."""

    def __init__(self) -> None:
        self.hits = 0
        self.streams = 0
        self.url = ""
        self._up = threading.Event()

    def start(self) -> None:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()))
        self._thread.start()
        assert self._up.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    def feed(self, line: bytes | None) -> None:
        """Put a line into every open stream; None ends them."""
        for queue in list(self._queues):
            self._loop.call_soon_threadsafe(queue.put_nowait, line)

    async def _live(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._queues: set[asyncio.Queue[bytes | None]] = set()
        app = web.Application()
        app.add_routes(
            [
                web.route("*", "/echo", self._echo),
                web.get("/stream", self._stream),
                web.get("/ws", self._socket),
                web.get("/big", self._big),
            ]
        )
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._up.set()
        await self._end.wait()
        await runner.cleanup()

    async def _echo(self, request: web.Request) -> web.Response:
        self.hits += 1
        return web.json_response(
            {
                "method": request.method,
                "path": request.path_qs,
                "body": (await request.read()).decode(),
                "authorization": request.headers.get("Authorization", ""),
            }
        )

    async def _big(self, _: web.Request) -> web.Response:
        return web.Response(body=b"x" * 1_000_000)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._queues.add(queue)
        self.streams += 1
        response = web.StreamResponse()
        try:
            await response.prepare(request)
            while (line := await queue.get()) is not None:
                await response.write(line)
        finally:
            self._queues.discard(queue)
            self.streams -= 1
        return response

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            await ws.send_str(f"heard {message.data}")
        return ws


class Watching:
    """A client that reads a stream in a thread and keeps what it got."""

    def __init__(self, url: str) -> None:
        self.got = b""
        self.end: str | None = None
        self._thread = threading.Thread(target=self._read, args=(url,))
        self._thread.start()

    def _read(self, url: str) -> None:
        try:
            with httpx.stream("GET", f"{url}/stream", timeout=30) as response:
                for piece in response.iter_raw():
                    self.got += piece
            self.end = "closed"
        except httpx.TransportError as error:
            self.end = type(error).__name__

    def join(self) -> None:
        self._thread.join(10)
        assert self.end is not None


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[Proxy]:
    with Proxy(upstream.url, record_headers=True) as proxy:
        yield proxy


def watch(proxy: Proxy, upstream: Upstream) -> Watching:
    watching = Watching(proxy.url)
    eventually(lambda: upstream.streams == 1, message="the stream reaches the server")
    return watching


def test_without_a_fault_everything_passes_unchanged(proxy: Proxy) -> None:
    with httpx.Client(base_url=proxy.url) as client:
        for body in ("", "x" * 300_000):
            answer = client.post("/echo?a=b", content=body, headers={"Authorization": "Bearer me"}).json()
            assert answer == {"method": "POST", "path": "/echo?a=b", "body": body, "authorization": "Bearer me"}
        chunked = client.put("/echo", content=iter([b"one", b"two"])).json()
        assert chunked["body"] == "onetwo"
        assert client.head("/echo").status_code == 200
        assert len(client.get("/big").content) == 1_000_000
    assert proxy.requests[0] == ("POST", "/echo?a=b")
    assert proxy.headers[0]["Authorization"] == "Bearer me"
    assert proxy.count(path_has("/echo", method="POST")) == 2


def test_a_stream_passes_chunk_by_chunk(proxy: Proxy, upstream: Upstream) -> None:
    watching = watch(proxy, upstream)
    upstream.feed(b"one\n")
    eventually(lambda: watching.got == b"one\n")
    upstream.feed(b"two\n")
    eventually(lambda: watching.got == b"one\ntwo\n")
    upstream.feed(None)
    watching.join()
    assert watching.end == "closed"


def test_a_client_that_goes_takes_its_upstream_connection_along(proxy: Proxy, upstream: Upstream) -> None:
    with httpx.stream("GET", f"{proxy.url}/stream"):
        eventually(lambda: upstream.streams == 1)
    eventually(lambda: upstream.streams == 0, message="the server sees the client go")


async def test_a_websocket_passes(proxy: Proxy) -> None:
    async with ClientSession() as session, session.ws_connect(f"{proxy.url}/ws") as ws:
        await ws.send_str("hello")
        message = await ws.receive(timeout=5)
        assert (message.type, message.data) == (WSMsgType.TEXT, "heard hello")


def test_a_status_is_answered_in_the_servers_place(proxy: Proxy, upstream: Upstream) -> None:
    proxy.fault(Status(429, {"errors": ["slow down"]}, {"Retry-After": "7"}), path_has("/echo"), times=1)
    with httpx.Client(base_url=proxy.url) as client:
        refused = client.post("/echo", content="body")
        assert (refused.status_code, refused.json(), refused.headers["Retry-After"]) == (
            429,
            {"errors": ["slow down"]},
            "7",
        )
        assert upstream.hits == 0
        assert client.get("/echo").status_code == 200, "the same connection goes on after the one fault"


def test_a_header_goes_along_with_the_request(proxy: Proxy) -> None:
    proxy.fault(Header("Authorization", "Bearer proxy"), path_has("/echo"), times=1)
    with httpx.Client(base_url=proxy.url) as client:
        answer = client.post("/echo", content="body").json()
        assert (answer["authorization"], answer["body"]) == ("Bearer proxy", "body")
        assert client.post("/echo", headers={"Authorization": "Bearer me"}).json()["authorization"] == "Bearer me"


def test_a_delay_holds_the_request(proxy: Proxy) -> None:
    proxy.fault(Delay(0.3))
    begun = time.monotonic()
    assert httpx.get(f"{proxy.url}/echo").status_code == 200
    assert time.monotonic() - begun >= 0.3


def test_a_black_hole_never_answers(proxy: Proxy, upstream: Upstream) -> None:
    proxy.fault(BlackHole())
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{proxy.url}/echo", timeout=0.3)
    assert upstream.hits == 0
    proxy.clear()
    assert httpx.get(f"{proxy.url}/echo").status_code == 200


def test_a_reset_breaks_the_connection_before_the_server_sees_the_request(proxy: Proxy, upstream: Upstream) -> None:
    proxy.fault(Reset())
    with pytest.raises(httpx.ReadError):
        httpx.get(f"{proxy.url}/echo")
    assert upstream.hits == 0


def test_a_cut_lets_the_server_act_and_drops_the_answer(proxy: Proxy, upstream: Upstream) -> None:
    fault = proxy.fault(Cut(), path_has("/echo"))
    with pytest.raises(httpx.TransportError):
        httpx.post(f"{proxy.url}/echo")
    assert (upstream.hits, fault.hits) == (1, 1)


def test_a_cut_after_some_bytes_breaks_in_the_middle(proxy: Proxy) -> None:
    proxy.fault(Cut(after_bytes=1000))
    got = bytearray()
    with httpx.stream("GET", f"{proxy.url}/big") as response, pytest.raises(httpx.TransportError):
        got.extend(byte for piece in response.iter_raw() for byte in piece)
    assert len(got) <= 1000


@pytest.mark.parametrize("how", ["by-fault", "now"])
def test_an_open_stream_is_cut(proxy: Proxy, upstream: Upstream, how: str) -> None:
    watching = watch(proxy, upstream)
    upstream.feed(b"one\n")
    eventually(lambda: watching.got == b"one\n")
    if how == "now":
        proxy.cut(path_has("/stream"))
    else:
        proxy.fault(Cut(), path_has("/stream"))
    watching.join()
    assert watching.end != "closed"


def test_a_frozen_stream_stays_open_and_silent_until_it_is_cleared(proxy: Proxy, upstream: Upstream) -> None:
    watching = watch(proxy, upstream)
    proxy.fault(Freeze(), path_has("/stream"))
    upstream.feed(b"late\n")
    always(lambda: watching.got == b"" and watching.end is None, during=0.3)
    proxy.clear()
    eventually(lambda: watching.got == b"late\n")
    upstream.feed(None)
    watching.join()


def test_faults_pick_their_requests_and_are_lifted_one_by_one(proxy: Proxy) -> None:
    first = proxy.fault(Status(503), lambda method, _path: method == "POST")
    proxy.fault(Status(500), path_has("/big"))
    assert [
        httpx.request(m, proxy.url + p).status_code for m, p in (("POST", "/big"), ("GET", "/big"), ("GET", "/echo"))
    ] == [503, 500, 200]
    proxy.lift(first)
    assert httpx.post(f"{proxy.url}/echo").status_code == 200


def test_a_stopped_proxy_refuses_and_comes_back_on_its_port(proxy: Proxy) -> None:
    url = proxy.url
    proxy.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/echo")
    proxy.start()
    assert httpx.get(f"{url}/echo").status_code == 200


def test_an_upstream_that_is_away_looks_like_a_broken_connection() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with Proxy(f"http://127.0.0.1:{unused.getsockname()[1]}") as proxy, pytest.raises(httpx.TransportError):
            httpx.get(f"{proxy.url}/echo")


def test_tls_on_both_sides(upstream: Upstream, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    serving = authority.serving("proxy")
    with (
        Proxy(upstream.url, serving=serving) as inner,
        Proxy(inner.url, ca=authority.certificate, serving=serving) as outer,
        _trusting(authority) as client,
    ):
        assert client.post(f"{outer.url}/echo", content="hello").json()["body"] == "hello"
        outer.fault(Reset())
        with pytest.raises(httpx.TransportError):
            client.get(f"{outer.url}/echo")


def _trusting(authority: Authority) -> httpx.Client:
    return httpx.Client(verify=ssl.create_default_context(cafile=authority.certificate))


def test_a_client_that_never_begins_its_handshake_is_hung_up_on(upstream: Upstream, tmp_path: Path) -> None:
    serving = Authority(tmp_path).serving("proxy")
    with Proxy(upstream.url, serving=serving) as proxy:
        port = int(proxy.url.rpartition(":")[2])
        client = socket.create_connection(("127.0.0.1", port))
        client.settimeout(5)
    with client:
        assert _end_of(client) == b""
    gc.collect()  # what the loop had left open would be complained of here


def _end_of(client: socket.socket) -> bytes:
    """What a client reads that was hung up on."""
    try:
        return client.recv(1)
    except ConnectionResetError:
        return b""
