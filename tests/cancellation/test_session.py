"""Cancel a read at each of its awaits and see that nothing is left: no slot, no task, no second login."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.vault_parts import LOGIN, Credentials, Observed, Tokens, client_to, until
from tests.fakes.vault_server import Hang, VaultServer, errors
from vso.core.sensitive import Sensitive
from vso.vault.client import VaultClient, VaultRequest
from vso.vault.session import Session
from vso.vault.sessions import Sessions
from vso.vault.way import Identity

PATH = "kv/data/app"
LOGIN_PATH = "auth/kubernetes/login"


@pytest.fixture
async def server() -> AsyncIterator[VaultServer]:
    async with VaultServer() as running:
        yield running


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class StuckCredentials(Credentials):
    async def jwt(self, identity: Identity) -> tuple[Sensitive, str]:
        await asyncio.Event().wait()
        return await super().jwt(identity)


def session_of(client: VaultClient, clock: FakeClock, credentials: Credentials | None = None) -> Session:
    return Sessions(clock, credentials or Credentials(), Observed()).session(client, LOGIN)


async def cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()


async def nothing_left(client: VaultClient, before: set[asyncio.Task[object]]) -> None:
    await settle()
    statistics = client.statistics()
    assert (statistics.active, statistics.waiting_urgent, statistics.waiting_refresh) == (0, 0, 0)
    ours = {task for task in asyncio.all_tasks() - before if "vso" in repr(task.get_coro())}
    assert ours == set()


@pytest.mark.parametrize("place", ["credential", "login", "read", "slot", "retry"])
async def test_a_cancelled_read_leaves_nothing_behind(server: VaultServer, clock: FakeClock, place: str) -> None:
    tokens = Tokens(server, clock)
    tokens.secret(PATH)
    before = asyncio.all_tasks()
    async with client_to(server.url, clock, max_concurrency=1) as client:
        session = session_of(client, clock, StuckCredentials() if place == "credential" else None)
        task: asyncio.Task[object]
        match place:
            case "credential":
                task = asyncio.create_task(session.read(PATH))
                await settle()
            case "login":
                server.on("PUT", LOGIN_PATH, Hang())
                task = asyncio.create_task(session.read(PATH))
                await until(lambda: server.hanging == 1)
            case "read":
                server.on("GET", PATH, Hang())
                task = asyncio.create_task(session.read(PATH))
                await until(lambda: server.hanging == 1)
            case "slot":
                server.on("GET", PATH, Hang())
                holder = asyncio.create_task(session.read(PATH))
                await until(lambda: server.hanging == 1)
                task = asyncio.create_task(session.read(PATH))
                await until(lambda: client.statistics().waiting_refresh == 1)
                await cancelled(task)
                task = holder
            case _:
                server.on("GET", PATH, errors(412, "behind"))
                task = asyncio.create_task(session.read(PATH))
                await until(lambda: clock.sleeping == 1)
        await cancelled(task)
        await nothing_left(client, before)
        if place != "credential":
            tokens = Tokens(server, clock)
            tokens.secret(PATH)
            tokens.ends = {"hvs.canary-1": 1e9}
            tokens.policies = {"hvs.canary-1": {"app"}}
            assert (await session.read(PATH)).status == 200


async def test_the_others_get_the_token_when_the_first_caller_leaves(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock)
    tokens.secret(PATH)
    server.on("PUT", LOGIN_PATH, Hang(), tokens._login)
    async with client_to(server.url, clock) as client:
        session = session_of(client, clock)
        first: asyncio.Task[object] = asyncio.create_task(session.read(PATH))
        await until(lambda: server.hanging == 1)
        second = asyncio.create_task(session.read(PATH))
        await settle()
        await cancelled(first)
        assert len(server.asked(LOGIN_PATH)) == 1
        assert server.hanging == 1
        await cancelled(second)
        await session.read(PATH)
    assert len(server.asked(LOGIN_PATH)) == 2


async def test_a_cancelled_forced_login_keeps_the_living_token(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock)
    tokens.secret(PATH, policy="another")
    tokens.secret("kv/data/mine")
    async with client_to(server.url, clock) as client:
        session = session_of(client, clock)
        await session.read("kv/data/mine")
        await clock.advance(100)
        server.on("PUT", LOGIN_PATH, Hang())
        task: asyncio.Task[object] = asyncio.create_task(session.read(PATH))
        await until(lambda: server.hanging == 1)
        await cancelled(task)
        assert (await session.read("kv/data/mine")).status == 200
    assert tokens.revoked == set()


async def test_a_cancelled_probe_loop_stops(server: VaultServer, clock: FakeClock) -> None:
    server.on("GET", "sys/health", Hang())
    server.on("PUT", "x", errors(503, "Vault is sealed"))
    async with client_to(server.url, clock) as client:
        task: asyncio.Task[object] = asyncio.create_task(client.run())
        for _ in range(3):
            with pytest.raises(Exception, match="sealed"):
                await client.send(VaultRequest("PUT", "x"))
        await until(lambda: clock.sleeping == 1)
        await clock.advance(1)
        await until(lambda: server.hanging == 1)
        await cancelled(task)
        assert client.statistics().active == 0
