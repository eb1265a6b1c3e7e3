"""Who may scrape: verdicts, what is remembered of them, and what strangers cannot do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from tests.fakes.clock import FakeClock, settle
from vso.app.metrics_gate import MetricsGate, Verdict
from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.core.sensitive import Sensitive
from vso.kube.reviews import Caller

PROMETHEUS, STRANGER = "Bearer prometheus-token", "Bearer stranger-token"
AWAY = TransientError(Reason.KUBERNETES_UNAVAILABLE, "create tokenreviews: answer 500")
NO_RIGHT = ConfigError(Reason.KUBERNETES_FORBIDDEN, "create tokenreviews: a right is missing in the whole cluster")


class Reviews:
    """An API server that knows two ServiceAccounts, one of which may scrape."""

    def __init__(self) -> None:
        self.tokens = {"prometheus-token": "prometheus", "stranger-token": "stranger"}
        self.allowed = {"prometheus"}
        self.asked: list[str] = []
        self.error: VsoError | None = None
        self.hangs = asyncio.Event()
        self.hangs.set()
        self.at_once = self.most_at_once = 0

    async def caller(self, token: Sensitive) -> Caller | None:
        self.asked.append(token.reveal_text())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.hangs.wait()
        finally:
            self.at_once -= 1
        if self.error is not None:
            raise self.error
        name = self.tokens.get(token.reveal_text())
        return None if name is None else Caller(name, {"user": name})

    async def may_get(self, caller: Caller, path: str) -> bool:
        assert path == "/metrics"
        return caller.name in self.allowed


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.reviews = Reviews()
        self.gate = MetricsGate(self.reviews, self.clock)

    async def status(self, authorization: str) -> int:
        return (await self.gate.admit(authorization)).status


@pytest.mark.parametrize(
    ("authorization", "status", "asks"),
    [
        pytest.param(PROMETHEUS, 200, True, id="who-may"),
        pytest.param("bearer  prometheus-token ", 200, True, id="as-http-spells-it"),
        pytest.param(STRANGER, 403, True, id="who-may-not"),
        pytest.param("Bearer unknown", 401, True, id="who-is-nobody"),
        pytest.param("", 401, False, id="no-header"),
        pytest.param("Bearer ", 401, False, id="no-token"),
        pytest.param("Basic cHJvbQ==", 401, False, id="another-scheme"),
        pytest.param("Bearer \udcff", 401, False, id="bytes-that-are-no-text"),
    ],
)
async def test_a_request_is_let_in_or_not(authorization: str, status: int, asks: bool) -> None:
    bench = Bench()
    assert await bench.status(authorization) == status
    assert bool(bench.reviews.asked) is asks


async def test_who_is_nobody_is_told_what_is_asked_for() -> None:
    verdict = await Bench().gate.admit("")
    assert verdict.headers == {"WWW-Authenticate": "Bearer"}


def allow_the_stranger(reviews: Reviews) -> None:
    reviews.allowed.add("stranger")


def forget_the_prometheus(reviews: Reviews) -> None:
    del reviews.tokens["prometheus-token"]


@pytest.mark.parametrize(
    ("authorization", "change", "before", "after"),
    [
        pytest.param(PROMETHEUS, forget_the_prometheus, 200, 401, id="a-yes"),
        pytest.param(STRANGER, allow_the_stranger, 403, 200, id="a-no"),
    ],
)
async def test_an_answer_counts_for_ten_seconds(
    authorization: str, change: Callable[[Reviews], None], before: int, after: int
) -> None:
    bench = Bench()
    assert await bench.status(authorization) == before
    change(bench.reviews)
    await bench.clock.advance(9.9)
    assert await bench.status(authorization) == before
    assert len(bench.reviews.asked) == 1
    await bench.clock.advance(0.2)
    assert await bench.status(authorization) == after


@pytest.mark.parametrize(
    ("error", "status"),
    [pytest.param(AWAY, 503, id="away"), pytest.param(NO_RIGHT, 500, id="the-operator-may-not-ask")],
)
async def test_a_failure_lets_nobody_in_is_told_once_and_remembered_by_nobody(error: VsoError, status: int) -> None:
    bench = Bench()
    bench.reviews.error = error
    with capture_logs() as lines:
        assert [await bench.status(PROMETHEUS), await bench.status(STRANGER)] == [status, status]
    assert [(line["event"], line["error"]) for line in lines] == [("scrapes cannot be let in", str(error))]
    bench.reviews.error = None
    assert await bench.status(PROMETHEUS) == 200
    bench.reviews.error = error
    await bench.clock.advance(11)
    with capture_logs() as lines:
        assert await bench.status(PROMETHEUS) == status
    assert len(lines) == 1, "it is a new trouble"


async def test_an_api_server_that_never_answers_holds_nobody_longer_than_a_scrape() -> None:
    bench = Bench()
    bench.reviews.hangs.clear()
    asking = asyncio.ensure_future(bench.status(PROMETHEUS))
    await bench.clock.advance(8)
    assert await asking == 503
    assert bench.clock.sleeping == 0


async def test_strangers_take_four_requests_at_a_time_and_the_same_token_one() -> None:
    bench = Bench()
    bench.reviews.hangs.clear()
    asking = [asyncio.ensure_future(bench.status(f"Bearer guess-{number % 20}")) for number in range(60)]
    await settle()
    assert bench.reviews.most_at_once == 4
    bench.reviews.hangs.set()
    assert [await one for one in asking] == [401] * 60
    assert len(bench.reviews.asked) == 20


async def test_no_more_than_sixty_four_wait_and_all_others_are_told_at_once() -> None:
    bench = Bench()
    assert await bench.status(PROMETHEUS) == 200
    bench.reviews.hangs.clear()
    asking = [asyncio.ensure_future(bench.status(f"Bearer guess-{number}")) for number in range(64)]
    await settle()
    telling = asyncio.ensure_future(bench.gate.admit("Bearer one-more"))
    await settle()
    assert telling.done()
    verdict = await telling
    assert (verdict.status, verdict.headers) == (503, {"Retry-After": "10"})
    assert await bench.status(PROMETHEUS) == 200, "who was let in before waits for nobody"
    asking[63].cancel()
    await settle()
    asking.append(asyncio.ensure_future(bench.status("Bearer one-more")))
    await settle()
    assert not asking[64].done(), "who goes away makes room"
    bench.reviews.hangs.set()
    assert [await one for one in asking[:63]] == [401] * 63
    assert await asking[64] == 401
    assert await bench.status(STRANGER) == 403


async def test_what_is_remembered_is_bounded_and_the_oldest_goes_first() -> None:
    bench = Bench()
    bench.reviews.tokens |= {f"scraper-{number}": "prometheus" for number in range(256)}
    for first, others, status in ((PROMETHEUS, "scraper", 200), (STRANGER, "guess", None)):
        token = first.removeprefix("Bearer ")
        await bench.status(first)
        for number in range(255):
            assert await bench.status(f"Bearer {others}-{number}") == (status or 401)
        await bench.status(first)
        assert bench.reviews.asked.count(token) == 1
        await bench.status(f"Bearer {others}-255")
        await bench.status(first)
        assert bench.reviews.asked.count(token) == 2


async def test_strangers_do_not_make_the_gate_forget_whom_it_let_in() -> None:
    bench = Bench()
    await bench.status(PROMETHEUS)
    for number in range(600):
        await bench.status(f"Bearer guess-{number}")
    await bench.status(PROMETHEUS)
    assert bench.reviews.asked.count("prometheus-token") == 1


async def test_who_may_not_any_more_is_not_let_in_on_what_was_remembered() -> None:
    bench = Bench()
    await bench.status(PROMETHEUS)
    bench.reviews.allowed.clear()
    await bench.clock.advance(11)
    assert [await bench.status(PROMETHEUS) for _ in range(2)] == [403, 403]
    bench.reviews.allowed.add("prometheus")
    await bench.clock.advance(11)
    assert [await bench.status(PROMETHEUS) for _ in range(2)] == [200, 200]


async def test_who_was_asked_about_again_is_not_the_oldest_any_more() -> None:
    bench = Bench()
    await bench.status(STRANGER)
    for number in range(100):
        await bench.status(f"Bearer guess-{number}")
    await bench.clock.advance(11)
    await bench.status(STRANGER)
    for number in range(100, 300):
        await bench.status(f"Bearer guess-{number}")
    await bench.status(STRANGER)
    assert bench.reviews.asked.count("stranger-token") == 2


async def test_no_token_is_kept_or_told() -> None:
    bench = Bench()
    bench.reviews.error = AWAY
    with capture_logs() as lines:
        verdicts: list[Verdict] = [await bench.gate.admit(PROMETHEUS)]
        bench.reviews.error = None
        verdicts.append(await bench.gate.admit(PROMETHEUS))
    assert bench.gate._welcomed._verdicts
    assert "prometheus-token" not in f"{lines} {verdicts} {vars(bench.gate)}"
