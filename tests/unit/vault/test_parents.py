"""The tokens that leases hang on: renewed, shared, and let go with the last of their leases."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.fakes.clock import T0, FakeClock, settle
from tests.fakes.shelf import MemoryShelf
from vso.core.errors import ConfigError, Reason, TransientError
from vso.core.numbers import JsonNumber
from vso.core.sensitive import Sensitive
from vso.vault.auth.token import Token
from vso.vault.client import VaultAnswer
from vso.vault.errors import InvalidTokenError
from vso.vault.keeping import client_id
from vso.vault.logins import Held
from vso.vault.parents import Keeping, Parent, Parents

TOKEN = Token(Sensitive.of("hvs.canary"), "accessor", ttl=300, renewable=True)


class Vault:
    """Answers renew-self: what is to be granted or raised next, the last again and again."""

    def __init__(self, *answers: float | Exception) -> None:
        self.answers = list(answers) or [300.0]
        self.asked = 0
        self.busy = self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, held: Held) -> VaultAnswer:
        self.asked += 1
        self.busy += 1
        self.most_at_once = max(self.most_at_once, self.busy)
        try:
            await self.gate.wait()
        finally:
            self.busy -= 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return VaultAnswer(200, {"auth": {"client_token": "hvs.canary", "lease_duration": JsonNumber(str(answer))}})


def held_at(clock: FakeClock, token: Token = TOKEN) -> Held:
    now = clock.monotonic()
    ends = now + token.ttl - min(5.0, token.ttl * 0.05)
    return Held(token, "sa", now, now + token.ttl * 0.85, ends, math.inf)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


async def test_a_token_is_renewed_when_due_and_not_before(clock: FakeClock) -> None:
    vault = Vault()
    parents = Parents(clock, vault)
    parents.hang("lease", held_at(clock))
    first = await parents.keep("lease")
    assert first is not None
    assert (first.ends, first.final, vault.asked) == (at(295), False, 0)
    assert first.due is not None
    assert at(190) < first.due < at(200), "there is room for a second try"
    clock.jump((first.due - T0).total_seconds())
    moved = await parents.keep("lease")
    assert moved is not None
    assert vault.asked == 1
    assert moved.ends == first.due + timedelta(seconds=295)


async def test_a_renewal_that_is_cut_short_makes_the_end_final(clock: FakeClock) -> None:
    vault = Vault(100.0)
    parents, held = Parents(clock, vault), held_at(clock)
    parents.hang("lease", held)
    clock.jump(250)
    assert await parents.keep("lease") == Parent(at(345), final=True, due=None)
    assert held.renew_at <= clock.monotonic(), "the next request logs in anew"
    clock.jump(90)
    await parents.keep("lease")
    assert vault.asked == 1


@pytest.mark.parametrize(
    "failure",
    [
        TransientError(Reason.VAULT_UNAVAILABLE, "away"),
        ConfigError(Reason.VAULT_PERMISSION_DENIED, "no right to renew-self"),
    ],
    ids=["away", "denied"],
)
async def test_a_failed_renewal_is_tried_again_while_life_remains(clock: FakeClock, failure: Exception) -> None:
    vault = Vault(failure, failure, 300.0)
    parents = Parents(clock, vault)
    parents.hang("lease", held_at(clock))
    for tries in (1, 2, 3):
        parent = await parents.keep("lease")
        assert parent is not None
        assert parent.due is not None
        assert parent.due < parent.ends == at(295)
        clock.jump((parent.due - clock.now()).total_seconds() + 0.001)
        moved = await parents.keep("lease")
        assert vault.asked == tries
    assert moved is not None
    assert moved.ends > at(450)


@pytest.mark.parametrize(
    "text",
    [
        "client identity during renewal not matching client identity used during login",
        "policies have changed, not renewing",
    ],
)
@pytest.mark.parametrize("kind", [TransientError, ConfigError])
async def test_a_token_that_its_method_never_renews_any_more_has_its_end_told_after_one_try(
    clock: FakeClock, text: str, kind: type[TransientError | ConfigError]
) -> None:
    vault = Vault(kind(Reason.VAULT_REQUEST_INVALID, f"Vault refuses it: failed to renew entry: {text}"))
    parents, held = Parents(clock, vault), held_at(clock)
    parents.hang("lease", held)
    clock.jump(250)
    assert await parents.keep("lease") == Parent(at(295), final=True, due=None)
    assert held.renew_at <= clock.monotonic(), "the next request logs in anew"
    clock.jump(30)
    await parents.keep("lease")
    assert vault.asked == 1


async def test_a_token_that_vault_does_not_know_any_more_takes_its_leases_with_it(clock: FakeClock) -> None:
    parents, held = Parents(clock, Vault(InvalidTokenError())), held_at(clock)
    parents.hang("one", held)
    parents.hang("two", held)
    clock.jump(250)
    over = Parent(at(250), final=True, due=None)
    assert await parents.keep("one") == over
    clock.jump(10)
    assert await parents.keep("two") == Parent(at(260), final=True, due=None)
    assert held.leases == 0
    assert await parents.keep("one") == over, "whoever could not replace it at once is told again"
    parents.let_go("one")
    assert await parents.keep("one") is None


async def test_the_end_of_a_token_is_told_of_leases_that_hung_on_it_before_this_process(clock: FakeClock) -> None:
    parents, held = Parents(clock, Vault(InvalidTokenError())), held_at(clock)
    parents.hang("ours", held)
    clock.jump(250)
    await parents.keep("ours")
    assert await parents.keep("theirs", client_id("accessor")) == Parent(at(250), final=True, due=None)
    clock.jump(300)
    parents.hang("next", other := held_at(clock, replace(TOKEN, accessor="another")))
    other.expires_at = clock.monotonic()
    await parents.keep("next")
    assert await parents.keep("theirs", client_id("accessor")) is None, "its status tells as much by now"


async def test_the_leases_of_a_token_whose_uses_are_used_up_are_not_said_to_be_over(clock: FakeClock) -> None:
    parents, held = Parents(clock, Vault()), held_at(clock)
    parents.hang("lease", held)
    held.uses_left = 0
    assert await parents.keep("lease") is None


@pytest.mark.parametrize(
    "token",
    [replace(TOKEN, renewable=False), replace(TOKEN, renewable=False, type="batch", accessor="")],
    ids=["not-renewable", "batch"],
)
async def test_what_cannot_be_renewed_is_never_asked_for(clock: FakeClock, token: Token) -> None:
    vault = Vault()
    parents = Parents(clock, vault)
    parents.hang("lease", held_at(clock, token))
    assert await parents.keep("lease") == Parent(at(295), final=True, due=None)
    clock.jump(294)
    assert await parents.keep("lease") == Parent(at(295), final=True, due=None)
    clock.jump(2)
    assert await parents.keep("lease") == Parent(at(296), final=True, due=None)
    assert vault.asked == 0


async def test_a_token_without_an_end_asks_for_nothing(clock: FakeClock) -> None:
    vault = Vault()
    parents = Parents(clock, vault)
    parents.hang("lease", held_at(clock, replace(TOKEN, ttl=math.inf)))
    clock.jump(1e6)
    assert await parents.keep("lease") == Parent(datetime.max.replace(tzinfo=UTC), final=False, due=None)
    assert vault.asked == 0


async def test_many_leases_on_one_token_cost_one_renewal(clock: FakeClock) -> None:
    vault = Vault()
    parents, held = Parents(clock, vault), held_at(clock)
    for number in range(100):
        parents.hang(f"lease-{number}", held)
    clock.jump(250)
    vault.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(parents.keep(f"lease-{number}")) for number in range(100)]
        await settle()
        vault.gate.set()
    assert {task.result() for task in asked} == {Parent(at(545), final=False, due=at(450))}
    assert vault.asked == 1


async def test_a_caller_that_gives_up_leaves_the_renewal_to_the_others(clock: FakeClock) -> None:
    vault = Vault()
    parents, held = Parents(clock, vault), held_at(clock)
    parents.hang("one", held)
    parents.hang("two", held)
    clock.jump(250)
    vault.gate.clear()
    first, second = (asyncio.ensure_future(parents.keep(name)) for name in ("one", "two"))
    await settle()
    first.cancel()
    await settle()
    vault.gate.set()
    moved = await second
    assert moved is not None
    assert moved.ends == at(545)


async def test_whoever_comes_back_at_once_waits_behind_those_who_wait_already(clock: FakeClock) -> None:
    vault = Vault()
    parents, held = Parents(clock, vault), held_at(clock)
    parents.hang("lease", held)
    clock.jump(250)

    async def renewed_twice() -> None:
        await parents.renew(held)
        parents.share()  # due again
        vault.gate.clear()
        await parents.renew(held)

    vault.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(renewed_twice())
        tasks.create_task(parents.renew(held))
        await settle()
        vault.gate.set()
        await settle()
        vault.gate.set()
    assert (vault.asked, vault.most_at_once) == (2, 1)


async def test_a_token_that_ends_while_it_waits_to_be_kept_holds_nobody_up(clock: FakeClock) -> None:
    shelf = MemoryShelf()
    parents, held = Parents(clock, Vault(), Keeping(shelf, "session")), held_at(clock)
    parents.hang("one", held)
    parents.hang("two", held)
    shelf.gate.clear()
    first, second = (asyncio.ensure_future(parents.keep(name)) for name in ("one", "two"))
    await settle()
    held.expires_at = -math.inf
    first.cancel()
    await settle()
    shelf.gate.set()
    await settle()
    done = second.done()
    second.cancel()
    assert done
    assert shelf.kept == {}
    assert await parents.keep("two") == Parent(at(0), final=True, due=None)


def test_the_token_is_told_with_the_last_of_its_leases(clock: FakeClock) -> None:
    parents, held = Parents(clock, Vault()), held_at(clock)
    for name in ("one", "one", "two"):
        parents.hang(name, held)
    assert held.leases == 2
    assert parents.let_go("one") is None
    assert parents.let_go("one") is None
    assert parents.let_go("unknown") is None
    assert parents.let_go("two") is held


async def test_a_lease_that_hangs_on_nothing_of_ours_has_no_parent(clock: FakeClock) -> None:
    assert await Parents(clock, Vault()).keep("lease") is None
