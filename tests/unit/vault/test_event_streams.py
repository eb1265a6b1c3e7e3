"""How a stream of events is opened, why it is not, when it is tried again, and what its end leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from tests.fakes.clock import settle
from tests.fakes.event_bench import PLACE, Bench, bench_on
from tests.fakes.runtime import other_tasks
from tests.fakes.vault_events import SUBSCRIBE, EventDesk, written
from tests.fakes.vault_parts import until
from tests.fakes.vault_server import Answer, Drop, Hang, Reply, errors
from vso.core.errors import Reason
from vso.decide.instant import PATIENCE, STABLE

UNSUPPORTED = errors(404, "1 error occurred:\n\t* unsupported path\n\n")
DENIED = errors(403, "1 error occurred:\n\t* permission denied\n\n")
INVALID = errors(403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with bench_on() as made:
        yield made


async def test_ten_redirects_within_the_host_are_followed_with_the_token(bench: Bench) -> None:
    for number in range(1, 10):
        ahead = f"/v1/hop-{number}" if number < 9 else f"{bench.vault.url.replace('http', 'ws')}/v1/last?json=true"
        path = SUBSCRIBE if number == 1 else f"hop-{number - 1}"
        bench.vault.on("GET", path, Reply(307, headers={"Location": ahead}))
    bench.vault.on("GET", "last", bench.desk)
    bench.follow()
    await bench.open()
    assert bench.desk.handshakes[0].token == "hvs.canary-1"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(307, headers={"Location": "http://other.invalid/v1/x"}), Reason.VAULT_STANDBY),
        (Reply(307, headers={"Location": "/v1/sys/events/subscribe/kv%2A?json=true"}), Reason.VAULT_ANSWER_INVALID),
        (Reply(302, headers={"Location": "/v1/x"}), Reason.VAULT_ANSWER_INVALID),
        (Reply(200, b"<html>welcome</html>"), Reason.VAULT_ANSWER_INVALID),
        (Reply(200, {"data": {"a": "b"}}), Reason.VAULT_ANSWER_INVALID),
        (Reply(404, b"<html>not here</html>"), Reason.VAULT_ANSWER_INVALID),
        (Reply(502, b"bad gateway"), Reason.VAULT_UNAVAILABLE),
        (errors(500, "internal error"), Reason.VAULT_UNAVAILABLE),
        (errors(429, "slow down"), Reason.VAULT_THROTTLED),
    ],
    ids=["other-host", "circle", "302", "page", "json", "page-404", "502", "500", "429"],
)
async def test_an_answer_that_may_change_is_tried_again_and_told_when_it_lasts(
    bench: Bench, reply: Reply, reason: Reason
) -> None:
    bench.answers(reply)
    bench.follow()
    await bench.tries(PATIENCE - 1)
    assert bench.why() is None
    await bench.tries(PATIENCE + 2)
    assert bench.why() == (False, reason)
    assert not bench.client.breaker_open
    assert bench.stood == [frozenset({"x"})], "said once"
    bench.answers(bench.desk)
    await bench.tries(PATIENCE + 3)
    await bench.open()
    assert bench.why() == (False, reason), "not before it has lasted"
    await bench.clock.advance(STABLE + 5)
    assert bench.observed.streams == [(False, reason), (True, Reason.EVENT_WATCHER_STARTED)]


@pytest.mark.parametrize(
    ("answer", "reason", "text"),
    [
        (UNSUPPORTED, Reason.EVENTS_UNSUPPORTED, "unsupported path"),
        (errors(400, "no such event type"), Reason.EVENTS_UNSUPPORTED, "no such event type"),
        (errors(404), Reason.EVENTS_UNSUPPORTED, "there is nothing at"),
        (DENIED, Reason.EVENTS_FORBIDDEN, "role 'app'"),
    ],
    ids=["404-unsupported", "400", "404", "403"],
)
async def test_a_refusal_is_told_at_once_and_asked_again_at_leisure(
    bench: Bench, answer: Reply, reason: Reason, text: str
) -> None:
    bench.answers(answer)
    bench.follow()
    await until(lambda: bench.why() == (False, reason))
    standing = bench.streams.standing("x")
    assert standing is not None
    assert text in standing.message
    await bench.rest()
    await bench.clock.advance(290)
    assert bench.attempts == 1
    await bench.tries(2)
    assert bench.stood == [frozenset({"x"})], "said once"
    assert bench.tokens.logins == 1, "nobody logs in again for it"
    bench.answers(bench.desk)
    await bench.tries(3)
    await bench.open()
    assert bench.why() == (True, Reason.EVENT_WATCHER_STARTED)


async def test_an_invalid_token_is_replaced_once_and_the_stream_opened(bench: Bench) -> None:
    bench.answers(INVALID, bench.desk)
    bench.follow()
    await bench.open()
    assert (bench.tokens.logins, bench.desk.handshakes[0].token) == (2, "hvs.canary-2")


async def test_a_refused_login_is_the_reason(bench: Bench) -> None:
    bench.tokens.refuse = errors(400, 'invalid role name "app"')
    bench.follow()
    await until(lambda: bench.why() == (False, Reason.VAULT_LOGIN_REFUSED))
    await bench.clock.advance(250)
    assert (bench.attempts, bench.tokens.logins) == (0, 1)


async def test_a_stream_that_was_in_order_for_a_while_is_opened_again_within_a_second(bench: Bench) -> None:
    bench.follow()
    await bench.open()
    for number in range(2, 5):
        await bench.clock.advance(STABLE)
        await bench.desk.hang_up()
        await until(lambda: bench.up == 0)
        await bench.rest()
        await bench.clock.advance(1)
        await bench.open()
        assert bench.attempts == number
    assert bench.stood == [frozenset({"x"})], "one that comes and goes says nothing"


async def test_a_stream_that_breaks_again_and_again_is_opened_ever_more_slowly(bench: Bench) -> None:
    bench.follow()
    for number, pause in enumerate((1.0, 4.0, 8.0, 16.0), start=1):
        await bench.open()
        await bench.desk.hang_up()
        await until(lambda: bench.up == 0)
        await bench.rest()
        if pause > 1.0:  # within the first second at random
            await bench.clock.advance(pause - 0.1)
            assert bench.attempts == number
        await bench.clock.advance(pause)
        await until(lambda: bench.attempts == number + 1)  # noqa: B023


async def test_another_token_opens_the_stream_anew_and_the_old_one_is_let_go(bench: Bench) -> None:
    bench.follow()
    await bench.open()
    await bench.clock.advance(0.95 * bench.tokens.ttl)
    await until(lambda: len(bench.desk.handshakes) == 2)
    await bench.open()
    assert [seen.token for seen in bench.desk.handshakes] == ["hvs.canary-1", "hvs.canary-2"]
    assert bench.stood == [frozenset({"x"})]


async def test_a_token_that_a_read_has_replaced_is_not_kept(bench: Bench) -> None:
    bench.tokens.secret("kv/data/app", policy="later")
    bench.follow()
    await bench.open()
    await bench.clock.advance(70)
    bench.tokens.role_policies = {"app", "later"}
    await bench.session().read("kv/data/app")
    assert bench.tokens.revoked == set(), "the stream still uses it"
    await bench.clock.advance(10)
    await until(lambda: len(bench.desk.handshakes) == 2)
    await until(lambda: bench.tokens.revoked == {"hvs.canary-1"})


async def test_tokens_that_are_spent_at_once_do_not_make_it_spin(bench: Bench) -> None:
    bench.tokens.num_uses = 1
    bench.tokens.secret("kv/data/app")
    bench.follow()
    await bench.open()
    for _ in range(120):
        await bench.session().read("kv/data/app")  # each read logs in anew, and leaves the stream behind
        await bench.clock.advance(5)
    assert bench.attempts < 20


async def test_an_open_breaker_lets_no_attempt_through_and_its_closing_wakes_the_stream(bench: Bench) -> None:
    bench.client.on_state(lambda is_open: None if is_open else bench.streams.wake("team-a/vault"))
    bench.follow()
    await bench.open()
    await bench.clock.advance(STABLE)
    await bench.vault.stop()
    await bench.tries(bench.tried + 3)
    assert bench.client.breaker_open, "a Vault that cannot be reached counts"
    assert bench.why() == (True, Reason.EVENT_WATCHER_STARTED), "an outage is told by what polls"
    await bench.vault.start()
    tried = bench.tried
    await bench.clock.advance(120)
    assert (bench.attempts, bench.tried) == (1, tried)
    probing = asyncio.ensure_future(bench.client.run())
    while not bench.up:  # a probe is answered well, and nobody else shows that Vault serves
        await bench.clock.advance(1)
        await settle()
    assert bench.attempts == 2
    assert len(bench.stood) == 1
    probing.cancel()
    await asyncio.wait((probing,))


async def test_a_vault_that_asks_to_be_left_alone_is_not_asked_meanwhile_and_that_is_no_failure(bench: Bench) -> None:
    bench.answers(errors(429, "slow down", retry_after="30"), bench.desk)
    bench.follow()
    await bench.tries(1)
    await bench.clock.advance(29)
    assert bench.tried == 1
    await bench.tries(2)
    await bench.open()
    assert bench.observed.streams == [(True, Reason.EVENT_WATCHER_STARTED)]


@pytest.mark.parametrize("other", ["team-b/vault", "team-a/vault"])
async def test_another_connection_wakes_nobody(bench: Bench, other: str) -> None:
    bench.answers(UNSUPPORTED)
    bench.follow()
    await until(lambda: bench.why() is not None)
    bench.streams.wake(other)
    await settle()
    await until(lambda: bench.attempts == 1 + (other == "team-a/vault"))


async def test_a_dropped_handshake_is_tried_again(bench: Bench) -> None:
    bench.answers(Drop(), Drop(), bench.desk)
    bench.follow()
    while not bench.up:  # the library tries a dropped request once more by itself
        await bench.rest()
        await bench.clock.advance(0.5)
    assert bench.attempts == 3


async def test_a_handshake_without_an_answer_ends_with_the_timeout() -> None:
    async with bench_on(timeout=0.5) as bench:
        bench.answers(Hang(), bench.desk)
        bench.follow()
        await bench.tries(2)
        await bench.open()


@pytest.mark.parametrize("when", ["waiting", "shaking", "open", "pausing"])
async def test_the_end_of_the_run_leaves_nothing_behind(when: str) -> None:
    answers: dict[str, Callable[[EventDesk], Answer]] = {
        "waiting": lambda desk: desk,
        "shaking": lambda desk: Hang(),
        "open": lambda desk: desk,
        "pausing": lambda desk: UNSUPPORTED,
    }
    async with bench_on() as bench:
        bench.answers(answers[when](bench.desk))
        bench.follow()
        if when == "open":
            await bench.open()
        if when != "waiting":
            await until(lambda: bench.attempts == 1)
        assert bench.running is not None
        bench.running.cancel()
        await asyncio.wait((bench.running,))
        bench.vault.release()
        await until(lambda: bench.desk.open == 0)
        assert bench.streams.statistics().up == 0
        assert not [task for task in other_tasks() if task.get_name() == "vault-events"]
        assert bench.clock.sleeping == 0


async def test_a_run_after_another_opens_what_is_followed_still(bench: Bench) -> None:
    bench.follow()
    await bench.open()
    assert bench.running is not None
    bench.running.cancel()
    await asyncio.wait((bench.running,))
    bench.follow("y", namespace="ns")
    bench.running = asyncio.ensure_future(bench.streams.run())
    await bench.open(2)


async def test_a_bug_ends_no_other_stream_and_is_reported(bench: Bench) -> None:
    bench.follow("x")
    bench.follow("y", "kv/data/other", namespace="ns")
    await bench.open(2)
    bench.trips = {PLACE}
    await bench.desk.send(written("kv/data/app"))
    await until(lambda: len(bench.observed.bugs) == 1)
    await bench.clock.advance(1)
    await bench.open(2)
    await bench.desk.send(written("kv/data/other", namespace="ns"))
    await until(lambda: bench.changed == ["kv/data/other"])
    assert isinstance(bench.observed.bugs[0], KeyError)
