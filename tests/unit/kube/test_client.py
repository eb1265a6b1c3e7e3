"""The client over a real socket: headers, limits, repeats, streams."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.kube_transport import FakeApiServer, Reply, connected, serving, status
from vso.core.clock import SystemClock
from vso.core.errors import TransientError
from vso.kube.client import KubeClient, PatchType
from vso.kube.config import Credentials, NoToken
from vso.kube.errors import NotFoundError, UnauthorizedError, UnreachableError
from vso.kube.paths import secret_path

PATH = secret_path("app", "creds")


class Tokens:
    def __init__(self, *tokens: str) -> None:
        self._tokens = list(tokens)

    async def token(self) -> str | None:
        return self._tokens[0]

    def invalidate(self) -> None:
        if len(self._tokens) > 1:
            self._tokens.pop(0)


class Counts:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int]] = []

    def request(self, verb: str, resource: str, code: int, seconds: float) -> None:
        self.seen.append((verb, resource, code))


async def test_a_write_names_its_manager_and_what_it_wants_back() -> None:
    async with serving(lambda _: Reply(200, {})) as server, connected(server, user_agent="vso/1") as client:
        await client.patch(PATH, {"a": 1}, content_type=PatchType.MERGE, metadata_only=True, dry_run=True)
    (seen,) = server.requests
    assert (seen.method, seen.json) == ("PATCH", {"a": 1})
    assert seen.query == {"fieldManager": "vault-secrets-operator", "dryRun": "All"}
    assert seen.headers["Accept"] == "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    assert seen.headers["Content-Type"] == "application/merge-patch+json"
    assert seen.headers["User-Agent"] == "vso/1"
    assert "Authorization" not in seen.headers


async def test_every_request_is_counted() -> None:
    counts = Counts()
    async with serving(lambda _: Reply(200, {})) as server, connected(server, observer=counts) as client:
        await client.get(PATH)
        await client.get(secret_path("app"))
        await client.create(secret_path("app"), {})
        server.script.append(status(404, "NotFound"))
        with pytest.raises(NotFoundError):
            await client.delete(PATH, uid="u")
    assert counts.seen == [
        ("get", "secrets", 200),
        ("list", "secrets", 200),
        ("create", "secrets", 200),
        ("delete", "secrets", 404),
    ]
    assert server.requests[-1].json["preconditions"] == {"uid": "u"}


async def test_a_refused_token_is_renewed_once() -> None:
    async with serving() as server, connected(server, tokens=Tokens("old", "new")) as client:
        server.script.extend([status(401, "Unauthorized"), Reply(201, {"a": 1})])
        assert await client.create(secret_path("app"), {}) == {"a": 1}
        assert [seen.headers["Authorization"] for seen in server.requests] == ["Bearer old", "Bearer new"]
        server.script.append(status(401, "Unauthorized"))
        with pytest.raises(UnauthorizedError):
            await client.get(PATH)
        assert len(server.requests) == 3


async def test_a_read_is_repeated_when_the_connection_breaks_and_a_write_is_not() -> None:
    clock = FakeClock()
    async with serving(lambda _: Reply(cut=True)) as server, connected(server, clock=clock) as client:
        with pytest.raises(UnreachableError):
            await client.create(secret_path("app"), {})
        assert [seen.method for seen in server.requests] == ["POST"]
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(_refused(client))
            while not reading.done():
                await clock.advance(1.0)
        assert [seen.method for seen in server.requests[1:]] == ["GET"] * 3


async def _refused(client: KubeClient) -> None:
    with pytest.raises(UnreachableError):
        await client.get(PATH)


async def test_nobody_listens() -> None:
    async with KubeClient(Credentials("http://127.0.0.1:1", NoToken()), SystemClock()) as client:
        with pytest.raises(UnreachableError, match="POST secrets app"):
            await client.create(secret_path("app"), {})


async def test_no_more_than_so_many_at_a_time() -> None:
    async with (
        serving(lambda _: Reply(200, {}, hang=True)) as server,
        connected(server, max_in_flight=3) as client,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(10):
            tasks.create_task(client.get(PATH))
        while server.in_flight < 3:
            await settle()
        server.release.set()
        while len(server.requests) < 10:
            await settle()
    assert server.most_in_flight == 3
    assert len(server.requests) == 10


async def test_a_cancelled_request_gives_its_slot_back() -> None:
    async with serving(lambda _: Reply(200, {}, hang=True)) as server, connected(server, max_in_flight=1) as client:
        hanging = asyncio.create_task(client.get(PATH))
        while server.in_flight < 1:
            await settle()
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        server.release.set()
        assert await client.get(PATH) == {}


async def test_an_answer_that_is_no_json_is_told_by_its_size() -> None:
    async with serving() as server, connected(server) as client:
        server.script.append(Reply(200, b"<html>hunter2</html>"))
        with pytest.raises(TransientError) as caught:
            await client.get(PATH)
        assert "hunter2" not in str(caught.value)
        assert "20 bytes" in caught.value.message


async def test_a_server_that_says_later_is_believed() -> None:
    async with serving() as server, connected(server) as client:
        server.script.append(Reply(429, {"message": "later"}, {"Retry-After": "9"}))
        with pytest.raises(TransientError) as caught:
            await client.get(PATH)
        assert caught.value.retry_after == 9.0


async def test_a_slow_answer_ends_in_time() -> None:
    async with serving(lambda _: Reply(200, {}, hang=True)) as server, connected(server, timeout=0.05) as client:
        with pytest.raises(TransientError, match="no answer in time"):
            await client.get(PATH)
        assert len(server.requests) == 1


async def test_a_stream_is_cut_into_lines_wherever_the_chunks_end() -> None:
    long = b"x" * 200_000
    async with serving() as server, connected(server) as client:
        server.script.append(Reply(chunks=(b"one\ntw", b"o\n\nthr", b"ee\n", long, b"\nrest")))
        assert [line async for line in client.stream(PATH, {})] == [b"one", b"two", b"three", long]


@pytest.mark.parametrize("broken", [Reply(chunks=(b"one\n",), cut=True), Reply(chunks=(b"one\n",), hang=True)])
async def test_a_stream_that_breaks_or_falls_silent_is_an_error(broken: Reply) -> None:
    async with serving() as server, connected(server) as client:
        server.script.append(broken)
        lines = client.stream(PATH, {}, idle_timeout=0.05)
        assert await anext(lines) == b"one"
        with pytest.raises(TransientError):
            await anext(lines)


async def test_a_stream_takes_no_slot() -> None:
    async with serving() as server, connected(server, max_in_flight=1) as client:
        server.script.extend([Reply(chunks=(b"one\n",), hang=True), Reply(200, {"a": 1})])
        async with aclosing(client.stream(PATH, {})) as lines:
            assert await anext(lines) == b"one"
            assert await client.get(PATH) == {"a": 1}


async def test_a_refused_stream_is_an_error() -> None:
    async with serving() as server, connected(server) as client:
        server.script.append(status(404, "NotFound"))
        with pytest.raises(NotFoundError):
            await anext(client.stream(PATH, {}))


async def test_a_closed_client_says_so() -> None:
    server = FakeApiServer()
    client = KubeClient(Credentials("http://127.0.0.1:1", NoToken()), SystemClock())
    with pytest.raises(RuntimeError):
        await client.get(PATH)
    assert not server.requests


async def test_a_deletion_that_is_dropped_on_a_connection_in_use_goes_out_once() -> None:
    async with serving() as server, connected(server) as client:
        server.script.extend((Reply(200, {}), Reply(cut=True)))
        await client.get("/api/v1/namespaces/app/secrets/db")
        with pytest.raises(TransientError):
            await client.delete("/api/v1/namespaces/app/secrets/db")
    assert [seen.method for seen in server.requests] == ["GET", "DELETE"]
