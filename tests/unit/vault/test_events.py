"""Streams of Vault's events, against a server that speaks as the Enterprise edition does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.runtime import other_tasks
from tests.fakes.vault_events import SUBSCRIBE, EventDesk, written
from tests.fakes.vault_parts import LOGIN, Credentials, Observed, Tokens, client_to, login_of, until
from tests.fakes.vault_server import Answer, Drop, Hang, Reply, VaultServer, errors
from vso.core.backoff import Backoff
from vso.core.errors import Reason
from vso.decide.instant import PATIENCE, STABLE
from vso.vault.client import VaultClient
from vso.vault.config import LoginConfig
from vso.vault.events import Ears, EventStreams, Line, StreamConfig
from vso.vault.session import Session
from vso.vault.sessions import Sessions

PLACE = "kv/data/app"
UNSUPPORTED = errors(404, "1 error occurred:\n\t* unsupported path\n\n")
DENIED = errors(403, "1 error occurred:\n\t* permission denied\n\n")
INVALID = errors(403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")


@dataclass
class Bench:
    """Streams, and everything that they tell."""

    clock: FakeClock
    vault: VaultServer
    tokens: Tokens
    client: VaultClient
    sessions: Sessions
    observed: Observed
    desk: EventDesk = field(default_factory=EventDesk)
    changed: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    stood: list[frozenset[str]] = field(default_factory=list)
    streams: EventStreams[str, str] = field(init=False)
    running: asyncio.Task[None] | None = None
    trips: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        ears = Ears(self.hear, self.missed.append, self.stood.append, self.observed)
        config = StreamConfig(Backoff(initial=4, maximum=60, multiplier=2, randomization=0), recheck=300)
        self.streams = EventStreams(self.clock, random.Random(1), ears, config)
        self.answers(self.desk)

    def hear(self, place: str) -> None:
        if place in self.trips:
            raise KeyError(place)
        self.changed.append(place)

    def answers(self, *answers: Answer) -> None:
        self.vault.on("GET", SUBSCRIBE, *answers)

    def session(self, login: LoginConfig = LOGIN) -> Session:
        return self.sessions.session(self.client, login)

    def follow(self, key: str = "x", path: str = PLACE, namespace: str = "", login: LoginConfig = LOGIN) -> None:
        self.streams.follow(key, Line.of(self.session(login), namespace), {path: path})

    @property
    def attempts(self) -> int:
        return len(self.vault.asked(SUBSCRIBE))

    @property
    def up(self) -> int:
        return self.streams.statistics().up

    async def open(self, streams: int = 1) -> None:
        await until(lambda: self.desk.open == self.up == streams)

    async def says(self, message: Any) -> None:
        before = self.streams.statistics().received
        await self.desk.send(message)
        await until(lambda: self.streams.statistics().received > before)

    @property
    def tried(self) -> int:
        """How many handshakes have come to an end, good or bad."""
        return sum(operation == "subscribe" for operation, _ in self.observed.requests)

    async def rest(self) -> None:
        """Wait until every stream is open or pauses: no time passes while bytes are on their way."""
        streams = self.streams.statistics().streams
        # One more minds the tokens.
        await until(lambda: self.clock.sleeping + self.up > streams, turns=5_000_000)

    async def tries(self, number: int) -> None:
        """Let time pass until so many handshakes have been tried."""
        for _ in range(2000):
            await self.rest()
            if self.tried >= number:
                return
            await self.clock.advance(0.5)
        raise AssertionError(f"{self.tried} tries, not {number}")

    def why(self, key: str = "x") -> tuple[bool, Reason] | None:
        standing = self.streams.standing(key)
        return None if standing is None else (standing.up, standing.reason)


@asynccontextmanager
async def bench_on(**config: Any) -> AsyncIterator[Bench]:
    clock = FakeClock()
    observed = Observed()
    async with VaultServer() as vault, client_to(vault.url, clock, observed, **config) as client:
        sessions = Sessions(clock, Credentials(), observed)
        made = Bench(clock, vault, Tokens(vault, clock), client, sessions, observed)
        made.running = asyncio.ensure_future(made.streams.run())
        await settle()
        try:
            yield made
        finally:
            made.running.cancel()
            await asyncio.wait((made.running,))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with bench_on() as made:
        yield made


async def test_a_write_to_a_followed_place_is_heard_once_and_another_is_not(bench: Bench) -> None:
    bench.follow()
    await bench.open()
    await bench.says(written("kv/data/other"))
    await bench.says(written("kv/data/app", modified="false"))
    assert bench.changed == []
    await bench.says(written("kv/data/app"))
    assert bench.changed == [PLACE]
    statistics = bench.streams.statistics()
    assert (statistics.received, statistics.matched) == (3, 1)


async def test_the_handshake_carries_token_namespace_and_the_headers_of_the_connection() -> None:
    async with bench_on(headers=(("X-Route", "blue"),)) as bench:
        bench.follow(namespace="/ns/team/")
        await bench.open()
        seen = bench.desk.handshakes[0]
    assert (seen.path, seen.query) == (SUBSCRIBE, "json=true")
    assert seen.headers["X-Vault-Namespace"] == "ns/team"
    assert seen.token == "hvs.canary-1"
    assert (seen.headers["X-Route"], seen.headers["X-Vault-Request"]) == ("blue", "true")
    assert seen.headers["User-Agent"] == "vso-test"


@pytest.mark.parametrize(
    ("followed", "told", "heard"),
    [
        ("", "", True),
        ("ns/team", "ns/team/", True),
        ("/ns/team/", "ns/team", True),
        ("ns/team", "team/", False),
        ("ns/team", "", False),
        ("", "ns/", False),
    ],
)
async def test_only_the_own_vault_namespace_is_heard(bench: Bench, followed: str, told: str, heard: bool) -> None:
    bench.follow(namespace=followed)
    await bench.open()
    await bench.says(written("kv/data/app", namespace=told))
    assert bench.changed == [PLACE] * heard


async def test_nonsense_is_counted_and_survived(bench: Bench) -> None:
    bench.follow()
    await bench.open()
    for message in ("", "<html>", "[]", "null", '{"data": 1}'):
        await bench.says(message)
    await bench.says(written("kv/data/app"))
    assert bench.changed == [PLACE]
    assert bench.attempts == 1


async def test_a_hundred_followers_of_an_identity_share_one_websocket_and_one_login(bench: Bench) -> None:
    for number in range(100):
        bench.follow(f"x{number}", f"kv/data/{number % 10}")
    await bench.open()
    await bench.says(written("kv/data/3"))
    assert bench.changed == ["kv/data/3"]
    assert (bench.attempts, bench.tokens.logins) == (1, 1)


async def test_identities_and_namespaces_have_streams_of_their_own(bench: Bench) -> None:
    other = login_of("team-b")
    bench.follow("x")
    bench.follow("y", namespace="ns")
    bench.follow("z", login=other)
    await bench.open(3)
    assert bench.tokens.logins == 2


async def test_what_nobody_heard_is_looked_for_whenever_a_stream_is_opened(bench: Bench) -> None:
    bench.follow("x")
    bench.follow("y", "kv/data/other")
    await bench.open()
    assert sorted(bench.missed) == ["kv/data/app", "kv/data/other"]
    bench.missed.clear()
    await bench.desk.hang_up()
    await bench.tries(2)
    await bench.open()
    assert sorted(bench.missed) == ["kv/data/app", "kv/data/other"]


async def test_a_place_that_joins_an_open_stream_is_looked_for_too(bench: Bench) -> None:
    bench.follow("x")
    await bench.open()
    bench.follow("y")
    bench.follow("z", "kv/data/other")
    assert bench.missed == ["kv/data/app", "kv/data/other"]


async def test_the_last_follower_who_leaves_closes_the_websocket(bench: Bench) -> None:
    bench.follow("x")
    bench.follow("y")
    await bench.open()
    bench.streams.unfollow("x")
    await settle()
    assert bench.desk.open == 1
    bench.streams.unfollow("y")
    await until(lambda: bench.desk.ended == 1)
    assert bench.streams.statistics().streams == 0
    assert not bench.streams.follows("y")
    await bench.clock.advance(600)
    assert bench.attempts == 1


async def test_who_follows_other_places_is_told_of_those_alone(bench: Bench) -> None:
    bench.follow("x")
    await bench.open()
    bench.follow("x", "kv/data/other")
    await bench.says(written("kv/data/app"))
    await bench.says(written("kv/data/other"))
    assert bench.changed == ["kv/data/other"]
    assert bench.attempts == 1


async def test_who_moves_to_another_namespace_takes_the_stream_along(bench: Bench) -> None:
    bench.follow("x")
    await bench.open()
    bench.follow("x", namespace="ns")
    await until(lambda: bench.desk.ended == 1)
    await bench.open()
    assert bench.desk.handshakes[-1].headers["X-Vault-Namespace"] == "ns"


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
