"""The outcome table, and workers that nothing but cancellation ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.runtime import Observed, other_tasks, unavailable
from vso.core.backoff import Backoff
from vso.core.errors import ConfigError, ExpiredError, Reason, TerminalError
from vso.runtime.controller import Controller, ControllerConfig
from vso.runtime.rate_limiter import RateLimiter
from vso.runtime.reconcile import Result
from vso.runtime.workqueue import WorkQueue

PLAIN = Backoff(initial=5.0, maximum=60.0, multiplier=2.0, randomization=0.0)
CONFIG = ControllerConfig(workers=2, recheck_spread=0.0)


class Scripted:
    """Plays what it is told for each pass, and counts how many passes run at once."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.outcomes: list[Result | Exception | Callable[[], None]] = []
        self.began: list[tuple[str, float]] = []
        self.now_running: set[str] = set()
        self.lasts = 0.0

    async def reconcile(self, key: str) -> Result:
        assert key not in self.now_running, "two workers hold one key"
        self.now_running.add(key)
        self.began.append((key, self.clock.monotonic()))
        try:
            await self.clock.sleep(self.lasts)
            outcome = self.outcomes.pop(0) if self.outcomes else Result()
            if isinstance(outcome, Exception):
                raise outcome
            assert isinstance(outcome, Result)
            return outcome
        finally:
            self.now_running.discard(key)


class Bench:
    def __init__(self, config: ControllerConfig = CONFIG) -> None:
        self.clock = FakeClock()
        self.queue: WorkQueue[str] = WorkQueue(self.clock, RateLimiter(PLAIN, random.Random(1)))
        self.reconciler = Scripted(self.clock)
        self.observed = Observed()
        self.controller = Controller("test", self.queue, self.reconciler, self.clock, config, self.observed)

    async def run_for(self, seconds: float) -> None:
        running = asyncio.ensure_future(self.controller.run())
        await self.clock.advance(seconds)
        running.cancel()
        await asyncio.wait((running,))
        assert not other_tasks()

    def times(self) -> list[float]:
        return [at for _, at in self.reconciler.began]


BUG = KeyError("bug")


@pytest.mark.parametrize(
    ("outcome", "name", "again_at"),
    [
        pytest.param(Result(), "ok", [], id="a-result-waits-for-an-event"),
        pytest.param(Result(40), "ok", [40], id="a-result-names-when-to-look-again"),
        pytest.param(Result(0), "ok", [0], id="a-result-may-ask-for-now"),
        pytest.param(unavailable(), "transient", [5], id="a-transient-error-backs-off"),
        pytest.param(unavailable(30), "transient", [30], id="a-transient-error-waits-as-long-as-asked"),
        pytest.param(ConfigError(Reason.INVALID_SPEC, ""), "config", [300], id="a-config-error-is-looked-at-slowly"),
        pytest.param(TerminalError(Reason.UNSUPPORTED, ""), "terminal", [], id="a-terminal-error-waits-for-an-edit"),
        pytest.param(TimeoutError(), "timeout", [5], id="a-pass-out-of-time-backs-off"),
        pytest.param(BUG, "bug", [5], id="a-bug-backs-off"),
        pytest.param(ExpiredError(), "bug", [5], id="an-error-that-no-pass-should-raise-is-a-bug"),
    ],
)
async def test_the_outcome_decides_when_the_key_comes_again(
    outcome: Result | Exception, name: str, again_at: list[float]
) -> None:
    bench = Bench()
    bench.reconciler.outcomes = [outcome]
    bench.queue.add("a")
    await bench.run_for(1000)
    assert bench.times() == [0, *again_at]
    assert bench.observed.passes[0] == ("a", name)
    told = [(name, outcome, again_at[0] if again_at else None)] if isinstance(outcome, Exception) else []
    assert [failure[1:] for failure in bench.observed.failures] == told
    assert bench.queue.statistics().processing == 0


async def test_a_bug_is_reported_with_its_error_and_the_worker_lives_on() -> None:
    bench = Bench(ControllerConfig(workers=1))
    bench.reconciler.outcomes = [BUG]
    bench.queue.add("a")
    bench.queue.add("b")
    await bench.run_for(1)
    assert [failure[:3] for failure in bench.observed.failures] == [("a", "bug", BUG)]
    assert bench.observed.passes == [("a", "bug"), ("b", "ok")]


async def test_failures_in_a_row_are_spaced_wider_until_one_pass_is_well() -> None:
    bench = Bench()
    bench.reconciler.outcomes = [unavailable(), unavailable(), unavailable(), Result(100), unavailable()]
    bench.queue.add("a")
    await bench.run_for(1000)
    assert bench.times() == [0, 5, 15, 35, 135, 140]


@pytest.mark.parametrize(("urgent", "first"), [(True, "half-done"), (False, "routine")])
async def test_what_is_half_done_goes_before_routine_looks(urgent: bool, first: str) -> None:
    bench = Bench(replace(CONFIG, workers=1))
    bench.reconciler.outcomes = [Result(10, urgent=urgent)]
    bench.queue.add("half-done")
    bench.queue.add_after("holds-the-worker", 9.5)
    bench.queue.add_after("routine", 9.9)
    running = asyncio.ensure_future(bench.controller.run())
    await bench.clock.advance(1)
    bench.reconciler.lasts = 2.0
    await bench.clock.advance(20)
    bench.controller.shut_down()
    await running
    assert [key for key, _ in bench.reconciler.began][:3] == ["half-done", "holds-the-worker", first]


async def test_the_next_pass_is_told_as_the_queue_has_it_even_where_another_wish_is_sooner() -> None:
    bench = Bench()
    bench.reconciler.outcomes = [unavailable(), unavailable(), unavailable()]
    bench.reconciler.lasts = 1.0
    running = asyncio.ensure_future(bench.controller.run())
    bench.queue.add("a")
    await bench.clock.advance(1)
    bench.queue.add_after("a", 3)
    await bench.clock.advance(3.5)
    bench.queue.add("a")  # during the second pass
    await bench.clock.advance(0.5)
    running.cancel()
    await asyncio.wait((running,))
    assert [again for *_, again in bench.observed.failures] == [5, 0]


async def test_a_config_error_ends_a_run_of_failures() -> None:
    bench = Bench()
    bench.reconciler.outcomes = [unavailable(), unavailable(), ConfigError(Reason.INVALID_SPEC, ""), unavailable()]
    bench.queue.add("a")
    await bench.run_for(1000)
    assert bench.times() == [0, 5, 15, 315, 320]


async def test_a_pass_that_hangs_is_cut_off_and_the_key_is_let_go() -> None:
    bench = Bench(ControllerConfig(workers=1, pass_timeout=60))
    bench.reconciler.lasts = 1e9
    bench.queue.add("a")
    await bench.run_for(64)
    assert bench.observed.passes == [("a", "timeout")]
    assert bench.queue.statistics().processing == 0
    assert bench.queue.statistics().delayed == 1


async def test_no_more_passes_at_once_than_workers() -> None:
    bench = Bench(ControllerConfig(workers=3))
    bench.reconciler.lasts = 1.0
    for number in range(9):
        bench.queue.add(str(number))
    await bench.run_for(10)
    assert bench.times() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


async def test_a_key_added_during_its_pass_gets_another_pass_and_never_two_at_once() -> None:
    bench = Bench()
    bench.reconciler.lasts = 2.0
    running = asyncio.ensure_future(bench.controller.run())
    bench.queue.add("a")
    await bench.clock.advance(1)
    bench.queue.add("a")
    await bench.clock.advance(10)
    assert bench.times() == [0, 2]
    bench.controller.shut_down()
    await running


async def test_shut_down_finishes_what_is_in_hand_and_takes_no_more() -> None:
    bench = Bench(ControllerConfig(workers=2))
    bench.reconciler.lasts = 5.0
    for key in "abc":
        bench.queue.add(key)
    running = asyncio.ensure_future(bench.controller.run())
    await bench.clock.advance(1)
    bench.controller.shut_down()
    await settle()
    assert not running.done()
    await bench.clock.advance(4)
    await running
    assert [key for key, _ in bench.observed.passes] == ["a", "b"]
    assert not other_tasks()


def test_a_config_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="needs a worker"):
        ControllerConfig(workers=0)
