"""What goes to a Vault that is away, that only says it is well, or that asks to be left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.vault_parts import Credentials, Observed, Tokens, client_to, login_of, until
from tests.fakes.vault_server import OK_HEALTH, Hang, Reply, Step, VaultServer, errors
from vso.core.errors import Reason, TransientError, VsoError
from vso.core.sensitive import Sensitive
from vso.runtime.workqueue import Lane
from vso.vault.client import VaultClient, VaultRequest
from vso.vault.errors import BreakerOpenError, HeldError, NothingThereError, VaultDownError
from vso.vault.sessions import Sessions

PATH = "kv/data/app"
READ = VaultRequest("GET", PATH, token=Sensitive.of("hvs.canary"))
URGENT = replace(READ, lane=Lane.URGENT)
GOOD = Reply(200, {"data": {"a": "b"}})
SEALED = errors(503, "Vault is sealed")
LONELY = errors(500, "local node not active but active cluster node not found")
THROTTLED = errors(429, "rate limit quota exceeded", retry_after="5")
STANDBY = {"initialized": True, "sealed": False, "standby": True, "version": "1.21.0"}


@dataclass
class Desk:
    """A client with its probe loop, and what it has told."""

    client: VaultClient
    server: VaultServer
    clock: FakeClock
    states: list[tuple[float, bool]] = field(default_factory=list)
    trials: list[float] = field(default_factory=list)

    async def fails(self, request: VaultRequest = READ) -> VsoError:
        with pytest.raises(VsoError) as caught:
            await self.client.send(request)
        return caught.value

    async def opens(self, answer: Step) -> None:
        """Let Vault go away."""
        self.server.on("GET", PATH, answer)
        for _ in range(3):
            await self.fails()
        assert self.client.breaker_open

    async def passes(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass, and whatever it starts come to its end."""
        for _ in range(int(seconds / step)):
            await self.clock.advance(step)
            await until(lambda: self.clock.sleeping > 0 or not self.client.breaker_open)

    @property
    def reads(self) -> int:
        return len(self.server.asked(PATH))


@pytest.fixture
async def desk(server: VaultServer, clock: FakeClock) -> AsyncIterator[Desk]:
    async with client_to(server.url, clock, timeout=60.0) as client:
        made = Desk(client, server, clock)
        client.on_state(lambda is_open: made.states.append((clock.monotonic(), is_open)))
        client.on_trial(lambda: made.trials.append(clock.monotonic()))
        probing = asyncio.create_task(client.run())
        try:
            yield made
        finally:
            probing.cancel()
            await asyncio.wait((probing,))


async def hammer(desk: Desk, seconds: float) -> None:
    """Ask all the time, as much as is let through."""
    for _ in range(int(seconds * 2)):
        for _ in range(5):
            await desk.fails()
        await desk.passes(0.5)


@pytest.mark.parametrize(
    ("answer", "health", "reason"),
    [
        pytest.param(LONELY, Reply(429, STANDBY), Reason.VAULT_STANDBY, id="standby"),
        pytest.param(LONELY, Reply(473, STANDBY), Reason.VAULT_STANDBY, id="performance-standby"),
        pytest.param(errors(503), Reply(472, STANDBY), Reason.VAULT_UNAVAILABLE, id="disaster-recovery"),
        pytest.param(errors(503), OK_HEALTH, Reason.VAULT_UNAVAILABLE, id="active"),
    ],
)
async def test_a_node_that_says_it_is_well_and_does_not_serve_is_tried_ever_more_rarely_and_stays_away(
    desk: Desk, answer: Step, health: Reply, reason: Reason
) -> None:
    desk.server.on("GET", "sys/health", health)
    await desk.opens(answer)
    await hammer(desk, 100)
    assert [round(at) for at in desk.trials] == [1, 3, 7, 15, 31, 61, 91]
    assert desk.reads == 3 + 3 * len(desk.trials)
    assert len(desk.server.asked("sys/health")) == len(desk.trials)
    assert desk.states == [(0.0, True)]
    assert (await desk.fails()).reason is reason


async def test_a_standby_that_knows_that_it_finds_no_active_node_is_not_tried_at_all(desk: Desk) -> None:
    desk.server.on("GET", "sys/health", Reply(474, {**STANDBY, "ha_connection_healthy": False}))
    await desk.opens(LONELY)
    first = await desk.fails()
    await hammer(desk, 10)
    assert (desk.reads, desk.trials) == (3, [])
    assert len(desk.server.asked("sys/health")) == 10
    assert str(await desk.fails()) == str(first)  # what the health says and what a read says are one text


async def test_an_answer_to_a_trial_closes_the_breaker_even_one_that_refuses(desk: Desk) -> None:
    await desk.opens(SEALED)
    await desk.passes(1)
    desk.server.on("GET", PATH, errors(404))
    assert isinstance(await desk.fails(), NothingThereError)
    assert desk.states == [(0.0, True), (1.0, False)]


async def test_a_trial_lets_three_pass_and_no_more(desk: Desk) -> None:
    await desk.opens(SEALED)
    desk.server.on("GET", PATH, Hang())
    await desk.passes(1)
    async with asyncio.TaskGroup() as tasks:
        trying = [tasks.create_task(desk.client.send(READ)) for _ in range(3)]
        await until(lambda: desk.server.hanging == 3)
        assert isinstance(await desk.fails(), BreakerOpenError)
        await desk.passes(8)
        assert desk.client.breaker_open  # nothing is known before one of them has ended
        trying[0].cancel()
        await settle()
        trying.append(tasks.create_task(desk.client.send(READ)))  # in its place
        await until(lambda: desk.server.hanging == 3)
        for task in trying:
            task.cancel()


async def test_a_trial_that_nobody_uses_believes_the_probe(desk: Desk) -> None:
    await desk.opens(SEALED)
    await desk.passes(5.5)
    assert desk.client.breaker_open
    await desk.passes(1)
    assert desk.states == [(0.0, True), (6.0, False)]


async def test_what_went_out_before_the_opening_neither_closes_nor_opens_it_again(desk: Desk) -> None:
    desk.server.on("PUT", "slow", Hang())
    async with asyncio.TaskGroup() as tasks:
        slow = [tasks.create_task(desk.fails(VaultRequest("PUT", "slow"))) for _ in range(5)]
        await until(lambda: desk.server.hanging == 5)
        await desk.opens(SEALED)
        await desk.passes(1)
        desk.server.on("GET", PATH, GOOD)
        await desk.client.send(READ)
        desk.server.release()  # breaks those that hang
    assert all(isinstance(task.result(), VaultDownError) for task in slow)
    assert desk.states == [(0.0, True), (1.0, False)]


async def test_a_sound_minute_makes_the_next_outage_a_new_one(desk: Desk) -> None:
    for sound, pause in ((10.0, 1), (60.0, 2), (10.0, 1)):
        await desk.opens(SEALED)
        began = desk.clock.monotonic()
        await desk.passes(4)
        assert desk.trials[-1] - began == pytest.approx(pause, abs=0.01)
        desk.server.on("GET", PATH, GOOD)
        await desk.client.send(READ)
        await desk.passes(sound)


async def test_retry_after_holds_back_everything_in_both_lanes_until_the_time_is_over(desk: Desk) -> None:
    desk.server.on("GET", PATH, THROTTLED, GOOD)
    first = await desk.fails()
    await desk.passes(2)
    for request in (READ, URGENT, VaultRequest("GET", "elsewhere"), VaultRequest("PUT", "auth/x/login")):
        held = await desk.fails(request)
        assert isinstance(held, HeldError)
        assert (held.reason, held.message, held.retry_after) == (Reason.VAULT_THROTTLED, first.message, 3.0)
    await desk.passes(2.5)
    assert isinstance(await desk.fails(), HeldError)
    await desk.passes(0.5)
    assert (await desk.client.send(READ)).status == 200
    assert len(desk.server.seen) == 2


async def test_health_is_asked_while_everything_else_is_held_back(desk: Desk) -> None:
    desk.server.on("GET", PATH, THROTTLED)
    await desk.fails()
    assert (await desk.client.health()).error is None
    assert not desk.client.breaker_open


async def test_who_waits_for_a_slot_is_told_at_once_that_everything_is_held_back(desk: Desk) -> None:
    desk.server.on("GET", "slow", Hang())
    desk.server.on("GET", PATH, THROTTLED)
    async with asyncio.TaskGroup() as tasks:
        slow = [tasks.create_task(desk.client.send(VaultRequest("GET", "slow"))) for _ in range(14)]
        await until(lambda: desk.server.hanging == 14)
        waiting = [tasks.create_task(desk.fails()) for _ in range(20)]
        await until(lambda: desk.client.statistics().waiting_refresh == 20)
        await desk.fails(URGENT)
        assert all([isinstance(await task, HeldError) for task in waiting])
        for task in slow:
            task.cancel()
    assert desk.client.statistics().active == 0


async def test_the_longest_wish_counts_and_none_beyond_a_minute(desk: Desk) -> None:
    desk.server.on("GET", PATH, errors(429, "x", retry_after="7200"))
    desk.server.on("GET", "elsewhere", errors(429, "x", retry_after="2"))
    async with asyncio.TaskGroup() as tasks:
        longer, shorter = (tasks.create_task(desk.fails(VaultRequest("GET", path))) for path in (PATH, "elsewhere"))
    await desk.passes(59)
    asked, brief, held = longer.result(), shorter.result(), await desk.fails()
    assert isinstance(brief, TransientError)
    assert brief.retry_after == 2.0
    assert isinstance(asked, TransientError)
    assert isinstance(held, TransientError)
    assert (asked.retry_after, held.retry_after) == (60.0, 1.0)


async def test_an_engines_answer_with_a_retry_after_holds_nothing_back(desk: Desk) -> None:
    desk.server.on("GET", PATH, errors(500, "database is down", retry_after="60"), GOOD)
    await desk.fails()
    assert (await desk.client.send(READ)).status == 200


async def test_a_vault_that_is_away_and_says_for_how_long_is_not_probed_before(desk: Desk) -> None:
    desk.server.on("GET", PATH, errors(503, "overloaded", retry_after="20"))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(desk.fails())
    assert desk.client.breaker_open
    assert isinstance(await desk.fails(), BreakerOpenError)  # whoever meets it is woken, and need not count
    await desk.passes(19.5)
    assert desk.trials == []
    await desk.passes(1)
    assert [round(at) for at in desk.trials] == [20]


async def test_a_login_that_is_throttled_holds_back_the_next_before_a_token_is_minted(desk: Desk) -> None:
    tokens, credentials = Tokens(desk.server, desk.clock), Credentials()
    tokens.secret(PATH)
    tokens.refuse = THROTTLED
    others = [login_of(name) for name in ("a", "b", "c")]
    sessions = Sessions(desk.clock, credentials, Observed())
    for login in others:
        with pytest.raises(TransientError) as caught:
            await sessions.session(desk.client, login).read(PATH, lane=Lane.URGENT)
        assert caught.value.reason is Reason.VAULT_THROTTLED
    assert (tokens.logins, credentials.minted) == (1, 1)
    tokens.refuse = None
    await desk.passes(5)
    for login in others:
        await sessions.session(desk.client, login).read(PATH)
    assert (tokens.logins, credentials.minted) == (4, 4)
