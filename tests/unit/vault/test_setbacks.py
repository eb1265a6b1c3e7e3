"""Logins that come to no judgement: how often their credential is asked for, and how soon a repair works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.vault_parts import LOGIN, Credentials, Observed, Tokens, client_to
from tests.fakes.vault_server import VaultServer, errors
from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.runtime.workqueue import Lane
from vso.vault.auth.refusal import LoginHeldBackError, LoginRefusedError
from vso.vault.errors import BreakerOpenError, HeldError, ShutOutError, VaultDownError
from vso.vault.session import Session
from vso.vault.sessions import Sessions
from vso.vault.setbacks import Setback
from vso.vault.standing import LoginNews

PATH = "kv/data/app"
MISSING = ConfigError(Reason.REFERENCE_NOT_FOUND, "Secret team-a/x does not exist")
AWAY = TransientError(Reason.CLOUD_UNAVAILABLE, "AWS STS at https://sts: it answers 503")


@pytest.mark.parametrize(
    ("error", "lasts"),
    [
        pytest.param(MISSING, True, id="a credential that is missing"),
        pytest.param(AWAY, True, id="a cloud that is away"),
        pytest.param(TransientError(Reason.VAULT_LOGIN_UNAVAILABLE, "x"), True, id="a mount that cannot tell"),
        pytest.param(VaultDownError(Reason.VAULT_TLS_ERROR, "x"), True, id="a certificate that is not let in"),
        pytest.param(ShutOutError(Reason.VAULT_UNAVAILABLE, "x"), True, id="one that perhaps is not, which drops"),
        pytest.param(VaultDownError(Reason.VAULT_UNAVAILABLE, "x"), False, id="a Vault that is away"),
        pytest.param(BreakerOpenError(Reason.VAULT_SEALED, "x"), False, id="an open breaker"),
        pytest.param(HeldError(Reason.VAULT_THROTTLED, "x", 3.0), False, id="a Vault that wants to be left alone"),
        pytest.param(LoginRefusedError("x"), False, id="a refusal"),
        pytest.param(LoginHeldBackError(Reason.VAULT_LOGIN_LIMITED, "x"), False, id="a limit"),
    ],
)
def test_what_is_counted_elsewhere_is_not_spaced_here(clock: FakeClock, error: VsoError, lasts: bool) -> None:
    setback = Setback(clock)
    setback.note(error)
    assert setback.lasts is lasts


def test_a_refusal_says_that_the_credential_is_there(clock: FakeClock) -> None:
    setback = Setback(clock)
    setback.note(MISSING)
    setback.note(LoginRefusedError("x"))
    setback.check()
    assert not setback.lasts


@pytest.mark.parametrize("failures", [1, 2, 3, 4, 5, 50])
async def test_pauses_grow_to_five_seconds(clock: FakeClock, failures: int) -> None:
    setback = Setback(clock)
    for _ in range(failures):
        setback.note(MISSING)
    pause = min(5.0, 0.5 * 2.0 ** (failures - 1))
    await clock.advance(pause - 0.01)
    with pytest.raises(LoginHeldBackError):
        setback.check()
    await clock.advance(0.01)
    setback.check()


async def test_a_failure_that_passes_says_when_to_come_again(clock: FakeClock) -> None:
    setback = Setback(clock)
    setback.note(TransientError(Reason.CLOUD_UNAVAILABLE, "x", 30.0))
    await clock.advance(12)
    with pytest.raises(TransientError) as caught:
        setback.check()
    assert caught.value.retry_after == pytest.approx(18.0)


# A session.


@dataclass
class Bench:
    session: Session
    clock: FakeClock
    credentials: Credentials
    tokens: Tokens
    news: list[LoginNews] = field(default_factory=list)

    async def read(self, lane: Lane = Lane.REFRESH) -> VsoError | None:
        try:
            await self.session.read(PATH, lane=lane)
        except VsoError as error:
            return error
        return None


@asynccontextmanager
async def bench_on(server: VaultServer, clock: FakeClock) -> AsyncIterator[Bench]:
    async with client_to(server.url, clock) as client:
        credentials, tokens, news = Credentials(), Tokens(server, clock), list[LoginNews]()
        tokens.secret(PATH)
        sessions = Sessions(clock, credentials, Observed(), news.append)
        running = asyncio.create_task(sessions.run())
        yield Bench(sessions.session(client, LOGIN), clock, credentials, tokens, news)
        running.cancel()
        await asyncio.wait((running,))


@pytest.fixture
async def bench(server: VaultServer, clock: FakeClock) -> AsyncIterator[Bench]:
    async with bench_on(server, clock) as made:
        yield made


OBJECTS, LOOKS, EVERY = 5000, 2, 10.0


@pytest.mark.parametrize("failure", [MISSING, AWAY], ids=["missing", "away"])
async def test_five_thousand_objects_ask_for_a_broken_credential_once_in_five_seconds(
    bench: Bench, failure: VsoError
) -> None:
    """Spread over each ten seconds, as their re-checks are; all of them hear why."""
    bench.credentials.failure = failure
    for _ in range(LOOKS):
        for _ in range(10):
            told = await asyncio.gather(*(bench.read(Lane.URGENT) for _ in range(OBJECTS // 10)))
            assert {(error.reason, error.message) for error in told if error} == {(failure.reason, failure.message)}
            assert None not in told
            await bench.clock.advance(EVERY / 10)
    growing = 4
    assert LOOKS * EVERY / 5 - 1 <= bench.credentials.minted <= LOOKS * EVERY / 5 + growing
    assert bench.tokens.logins == 0
    bench.credentials.failure = None
    await bench.clock.advance(5.0)
    assert await asyncio.gather(*(bench.read() for _ in range(OBJECTS))) == [None] * OBJECTS
    assert bench.tokens.logins == 1


async def test_five_thousand_objects_ask_a_mount_that_cannot_tell_once_in_five_seconds(bench: Bench) -> None:
    bench.tokens.refuse = errors(500, "failed to connect")
    for _ in range(20):
        told = await asyncio.gather(*(bench.read() for _ in range(OBJECTS // 10)))
        assert {error.reason for error in told if error} == {Reason.VAULT_LOGIN_UNAVAILABLE}
        await bench.clock.advance(1.0)
    assert 3 <= bench.tokens.logins <= 8
    bench.tokens.refuse = None
    await bench.clock.advance(5.0)
    assert await bench.read() is None


async def test_who_came_too_early_has_one_of_those_who_failed_come_again(bench: Bench) -> None:
    bench.credentials.failure = MISSING
    await bench.read()
    bench.news.clear()
    for pause in (0.5, 1.0, 2.0):
        for _ in range(3):
            assert isinstance(await bench.read(), LoginHeldBackError)
        await bench.clock.advance(pause - 0.01)
        assert bench.news == []
        await bench.clock.advance(0.01)
        assert bench.news == [LoginNews("team-a/vault", "team-a", try_again=True)]
        bench.news.clear()
        await bench.read()


async def test_a_pause_in_which_nobody_came_wakes_nobody(bench: Bench) -> None:
    bench.credentials.failure = MISSING
    await bench.read()
    bench.news.clear()
    await bench.clock.advance(60)
    assert bench.news == []


async def test_a_failure_that_passes_has_nobody_woken(bench: Bench) -> None:
    bench.credentials.failure = AWAY
    for _ in range(3):
        await bench.read()
    await bench.clock.advance(60)
    assert [news for news in bench.news if news.try_again] == []


async def test_a_repaired_credential_is_news_for_all_who_failed_with_it(bench: Bench) -> None:
    bench.credentials.failure = MISSING
    await bench.read()
    bench.credentials.failure = None
    await bench.clock.advance(0.5)
    assert await bench.read() is None
    assert [news.works_again for news in bench.news].count(True) == 1


async def test_a_living_token_is_used_while_the_credential_is_broken(bench: Bench) -> None:
    bench.tokens.ttl = 1000
    await bench.read()
    bench.credentials.failure = MISSING
    await bench.clock.advance(920)
    minted = bench.credentials.minted
    assert [await bench.read() for _ in range(100)] == [None] * 100
    assert bench.credentials.minted == minted + 1
