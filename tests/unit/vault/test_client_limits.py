"""How much a client asks of a Vault at once, and when it leaves it alone: the slots and the breaker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.vault_calls import GOOD, READ, SEALED, TOKEN, failure, send
from tests.fakes.vault_parts import Observed, client_to, until
from tests.fakes.vault_server import Hang, Reply, VaultServer, errors
from vso.core.errors import Reason, TransientError, VsoError
from vso.runtime.workqueue import Lane
from vso.vault.client import VaultClient, VaultRequest
from vso.vault.errors import VaultDownError


@asynccontextmanager
async def running(client: VaultClient) -> AsyncIterator[None]:
    task = asyncio.create_task(client.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_at_most_max_concurrency_requests_and_two_of_them_urgent(server: VaultServer, clock: FakeClock) -> None:
    server.on("GET", "kv/data/app", Hang())
    async with client_to(server.url, clock, max_concurrency=4) as client, asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(client.send(READ)) for _ in range(6)]
        await until(lambda: server.hanging == 2)
        urgent = VaultRequest("GET", "kv/data/app", lane=Lane.URGENT)
        started += [tasks.create_task(client.send(urgent)) for _ in range(3)]
        await until(lambda: server.hanging == 4)
        assert client.statistics().waiting_refresh == 4
        assert client.statistics().waiting_urgent == 1
        for task in started:
            task.cancel()
    assert client.statistics().active == 0


async def test_an_engines_failure_never_opens_the_breaker(server: VaultServer, clock: FakeClock) -> None:
    server.on("GET", "kv/data/app", errors(500, "internal error"))
    async with client_to(server.url, clock) as client:
        for _ in range(20):
            await failure(client, clock)
        assert not client.breaker_open


async def test_failures_must_stand_in_a_row_to_open_the_breaker(server: VaultServer, clock: FakeClock) -> None:
    server.on(
        "GET", "kv/data/app", SEALED, SEALED, GOOD, SEALED, SEALED, errors(403, "permission denied"), SEALED, SEALED
    )
    async with client_to(server.url, clock) as client:
        for _ in range(8):
            try:
                await send(client, clock)
            except VsoError:
                assert not client.breaker_open
        await failure(client, clock)
        assert client.breaker_open


async def test_ten_minutes_of_outage_cost_one_probe_a_second(server: VaultServer, clock: FakeClock) -> None:
    observed, states, trials = Observed(), list[bool](), list[float]()
    server.on("GET", "kv/data/app", SEALED)
    server.on(
        "GET", "sys/health", Reply(503, {"initialized": True, "sealed": True, "standby": True, "version": "1.21.0"})
    )
    async with client_to(server.url, clock, observed) as client, running(client):
        client.on_state(states.append)
        client.on_trial(lambda: trials.append(clock.monotonic()))
        for _ in range(3):
            await failure(client, clock)
        assert client.breaker_open
        started = clock.monotonic()
        for second in range(600):
            await until(lambda: clock.sleeping > 0)
            error = await failure_now(client)
            assert (error.reason, "sealed" in error.message) == (Reason.VAULT_SEALED, True)
            await clock.advance(1)
            await until(lambda second=second: len(server.asked("sys/health")) > second)  # type: ignore[misc]
        assert clock.monotonic() - started == 600
        assert len(server.seen) == 603
        server.on("GET", "sys/health", Reply(200, {"initialized": True, "sealed": False}))
        await until(lambda: clock.sleeping > 0)
        await clock.advance(1)
        await until(lambda: bool(trials))
        assert states == [True]
        server.on("GET", "kv/data/app", GOOD)
        assert (await client.send(READ)).status == 200
    assert states == observed.breakers == [True, False]


async def failure_now(client: VaultClient) -> VaultDownError:
    """Fail without the clock and without a request."""
    with pytest.raises(VaultDownError) as caught:
        await client.send(READ)
    return caught.value


async def test_an_opening_breaker_wakes_those_who_wait_for_a_slot(server: VaultServer, clock: FakeClock) -> None:
    server.on("GET", "kv/data/app", Hang())
    server.on("GET", "gone", SEALED)
    async with client_to(server.url, clock, max_concurrency=5) as client:
        tasks = [asyncio.create_task(client.send(READ)) for _ in range(9)]
        await until(lambda: server.hanging == 3)
        for _ in range(3):
            await failure(client, clock, VaultRequest("GET", "gone", lane=Lane.URGENT))
        await settle()
        assert [task.done() for task in tasks] == [False] * 3 + [True] * 6
        assert all(isinstance(task.exception(), VaultDownError) for task in tasks[3:])
        for task in tasks[:3]:
            task.cancel()
        await asyncio.wait(tasks)


async def test_a_black_holed_vault_leaves_another_alone(clock: FakeClock) -> None:
    async with VaultServer() as hole, VaultServer() as good:
        hole.on("GET", "kv/data/app", Hang())
        good.on("GET", "kv/data/app", GOOD)
        async with client_to(hole.url, clock) as stuck, client_to(good.url, clock) as client:
            tasks = [asyncio.create_task(stuck.send(READ)) for _ in range(40)]
            await until(lambda: hole.hanging == 14)
            assert (await client.send(READ)).status == 200
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def test_a_token_that_ended_in_the_queue_is_not_sent(server: VaultServer, clock: FakeClock) -> None:
    server.on("GET", "kv/data/app", Hang())
    async with client_to(server.url, clock, max_concurrency=3) as client:
        holder = asyncio.create_task(client.send(READ))
        await until(lambda: server.hanging == 1)
        late = asyncio.create_task(client.send(READ.under(TOKEN, expires=10)))
        await clock.advance(11)
        holder.cancel()
        with pytest.raises(TransientError, match="the token ended"):
            await late
    assert len(server.seen) == 1
