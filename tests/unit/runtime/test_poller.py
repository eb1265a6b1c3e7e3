"""Sources looked at once for all who want to know, at instants that a restart does not move."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Hashable
from datetime import timedelta

import pytest

from tests.fakes.clock import T0, FakeClock, settle
from tests.fakes.poll_bench import PHASES, Bench
from tests.fakes.runtime import unavailable
from vso.runtime.poller import Poller, next_look


@pytest.mark.parametrize(
    ("after", "expected"),
    [(0.0, 15.0), (14.9, 15.0), (15.0, 45.0), (44.0, 45.0), (45.5, 75.0)],
)
def test_the_next_instant_is_later_and_at_the_phase(after: float, expected: float) -> None:
    assert next_look(after, 30.0, 0.5) == expected


async def test_the_mean_period_equals_the_asked_one_exactly() -> None:
    bench = Bench()
    bench.slow["a"] = 1.7  # what a look takes does not add up
    bench.poller.subscribe("x", {"a": 30.0})
    await bench.run_for(3600)
    assert bench.times() == [15.0 + 30.0 * number for number in range(120)]


async def test_a_restart_keeps_the_phase() -> None:
    first = Bench()
    first.poller.subscribe("x", {"a": 30.0})
    await first.run_for(100)
    second = Bench(start=100.0)
    second.poller.subscribe("x", {"a": 30.0})
    await second.run_for(100)
    assert first.times() + second.times() == [15.0 + 30.0 * number for number in range(7)]


async def test_a_poller_that_ran_before_runs_again_in_phase() -> None:
    bench = Bench()
    bench.slow["a"] = 5.0
    bench.poller.subscribe("x", {"a": 30.0})
    await bench.run_for(17)  # cut off in the middle of a look
    await bench.run_for(60)
    assert bench.times() == [15.0, 45.0, 75.0]


async def test_two_subscribers_with_30_s_and_60_s_make_one_poll_each_30_s() -> None:
    bench = Bench()
    bench.poller.subscribe("x", {"a": 60.0})
    bench.poller.subscribe("y", {"a": 30.0})
    await bench.run_for(120)
    assert bench.times() == [15.0, 45.0, 75.0, 105.0]


async def test_a_hundred_subscribers_make_one_poll_and_each_hears_of_the_change() -> None:
    bench = Bench()
    keys = frozenset(str(number) for number in range(100))
    for key in keys:
        bench.poller.subscribe(key, {"a": 30.0})
        bench.poller.observed("a", "same", by=key)
    await bench.run_for(31)
    bench.answers["a"] = "new"
    await bench.run_for(31)
    assert len(bench.looks) == 2
    assert bench.notified == [keys]


async def test_the_slower_period_is_back_when_the_fast_subscriber_leaves() -> None:
    bench = Bench()
    bench.poller.subscribe("slow", {"a": 60.0})
    bench.poller.subscribe("fast", {"a": 10.0})
    running = asyncio.ensure_future(bench.poller.run())
    await bench.clock.advance(20)
    bench.poller.unsubscribe("fast")
    await bench.clock.advance(100)
    assert bench.times() == [5.0, 15.0, 30.0, 90.0]
    running.cancel()


async def test_subscribing_anew_replaces_what_the_key_wanted() -> None:
    bench = Bench()
    bench.poller.subscribe("x", {"a": 10.0, "b": 10.0})
    bench.poller.subscribe("x", {"b": 10.0, "c": 10.0})
    assert bench.poller.sources() == 2
    await bench.run_for(10)
    assert {source for source, _ in bench.looks} == {"b", "c"}


async def test_a_pass_that_subscribes_to_the_same_again_moves_nothing() -> None:
    bench = Bench()
    running = asyncio.ensure_future(bench.poller.run())
    for _ in range(60):
        bench.poller.subscribe("x", {"a": 30.0})
        await bench.clock.advance(1)
    running.cancel()
    assert bench.times() == [15.0, 45.0]


async def test_a_source_that_nobody_wants_is_forgotten() -> None:
    bench = Bench()
    bench.poller.subscribe("x", {"a": 30.0})
    bench.poller.unsubscribe("x")
    bench.poller.unsubscribe("x")
    await bench.run_for(100)
    assert bench.looks == []
    assert bench.poller.statistics().sources == 0
    assert bench.clock.sleeping == 0


async def test_only_a_change_is_told() -> None:
    bench = Bench()
    bench.poller.subscribe("x", {"a": 30.0})
    bench.poller.observed("a", "same", by="x")
    await bench.run_for(120)
    assert bench.notified == []
    bench.answers["a"] = "new"
    await bench.run_for(120)
    assert bench.notified == [{"x"}]


async def test_a_source_of_which_nothing_is_known_tells_at_its_first_look() -> None:
    bench = Bench()
    bench.poller.subscribe("x", {"a": 30.0})
    await bench.run_for(120)
    assert bench.notified == [{"x"}]


def test_what_one_pass_read_is_told_to_the_other_subscribers() -> None:
    bench = Bench()
    for key in ("x", "y", "z"):
        bench.poller.subscribe(key, {"a": 30.0})
    bench.poller.observed("a", "one", by="x")  # nothing was known: no news
    bench.poller.observed("a", "one", by="y")
    assert bench.notified == []
    bench.poller.observed("a", "two", by="x")
    assert bench.notified == [{"y", "z"}]


def test_an_observation_of_a_source_that_nobody_polls_is_ignored() -> None:
    bench = Bench()
    bench.poller.observed("a", "one", by="x")
    assert bench.poller.statistics().sources == 0


async def test_a_failure_is_told_once_and_so_is_its_end() -> None:
    bench = Bench()
    bench.poller.subscribe("x", {"a": 30.0})
    bench.poller.observed("a", "same", by="x")
    bench.answers["a"] = ("failed", "no answer")
    await bench.run_for(90)
    assert bench.notified == [{"x"}]
    bench.answers.clear()
    await bench.run_for(90)
    assert bench.notified == [{"x"}, {"x"}]


async def test_a_look_that_is_put_off_tells_nothing_and_is_made_when_the_server_may_be_asked() -> None:
    bench = Bench()
    bench.poller.subscribe("x", {"a": 60.0})
    bench.poller.observed("a", "same", by="x")
    bench.errors["a"] = unavailable(retry_after=4.0)
    bench.lasts = 34.0
    await bench.run_for(120)
    assert bench.times() == [30.0, 36.0, 90.0]  # 4 s and half of 4 s again, which is its phase; then as ever
    assert bench.notified == []


async def test_looks_that_are_put_off_together_do_not_come_back_together() -> None:
    bench = Bench()
    for source in PHASES:
        bench.poller.subscribe(source, {source: 60.0})
        bench.errors[source] = unavailable(retry_after=10.0)
    await bench.run_for(55)
    first = {source: bench.times(source)[:2] for source in PHASES}
    assert first == {"a": [30.0, 45.0], "b": [6.0, 17.0], "c": [54.0]}


async def test_a_look_that_is_put_off_for_no_time_does_not_spin() -> None:
    bench = Bench()
    bench.poller.subscribe("x", {"a": 10.0})
    bench.errors["a"] = unavailable()
    await bench.run_for(10)
    assert bench.times() == [5.0, 6.0, 7.0, 8.0, 9.0, 10.0]


async def test_who_left_while_a_look_was_put_off_is_not_looked_for_again() -> None:
    bench = Bench()
    bench.poller.subscribe("x", {"a": 10.0})
    bench.slow["a"], bench.errors["a"] = 1.0, unavailable(retry_after=1.0)
    running = asyncio.ensure_future(bench.poller.run())
    await bench.clock.advance(5.5)
    bench.poller.unsubscribe("x")
    await bench.clock.advance(30)
    running.cancel()
    await asyncio.wait((running,))
    assert bench.times() == [5.0]


async def test_a_look_that_outlasts_its_period_is_not_joined_by_another() -> None:
    bench = Bench()
    bench.slow["a"] = 25.0
    bench.poller.subscribe("x", {"a": 10.0})
    await bench.run_for(70)
    assert bench.times() == [5.0, 35.0, 65.0]


async def test_a_faster_subscriber_that_comes_during_a_look_waits_for_its_end() -> None:
    bench = Bench()
    bench.slow["a"] = 12.0
    bench.poller.subscribe("slow", {"a": 60.0})
    running = asyncio.ensure_future(bench.poller.run())
    await bench.clock.advance(31)
    bench.poller.subscribe("fast", {"a": 10.0})
    await bench.clock.advance(18)
    assert bench.times() == [30.0, 45.0]
    running.cancel()


@pytest.mark.parametrize("fails", [False, True])
async def test_who_wants_a_source_anew_during_its_last_look_waits_for_the_end_of_that(fails: bool) -> None:
    bench = Bench()
    bench.slow["a"] = 12.0
    bench.errors, bench.lasts = ({"a": unavailable()} if fails else {}), 20.0
    bench.poller.subscribe("x", {"a": 10.0})
    running = asyncio.ensure_future(bench.poller.run())
    await bench.clock.advance(6)
    bench.poller.unsubscribe("x")
    bench.poller.subscribe("y", {"a": 10.0})
    await bench.clock.advance(23)
    assert bench.times() == [5.0, 25.0]
    assert bench.notified == [], "the first was begun before that was wanted"
    await bench.clock.advance(9)
    assert bench.notified == [frozenset({"y"})]
    running.cancel()
    await asyncio.wait((running,))


@pytest.mark.parametrize("period", [10 / 3, 7.3, 0.7, 86.4, 1 / 7])
@pytest.mark.parametrize("phase", [0.0, 1 / 3, 0.1, 0.999999])
async def test_rounding_neither_doubles_nor_skips_a_look(period: float, phase: float) -> None:
    clock = FakeClock(T0 + timedelta(seconds=0.123456))
    looks: list[float] = []

    async def look(source: str) -> Hashable:
        looks.append(clock.monotonic())
        return "same"

    poller: Poller[str, str] = Poller(clock, look, lambda _: None, phase=lambda _: phase)
    poller.subscribe("x", {"a": period})
    running = asyncio.ensure_future(poller.run())
    await clock.advance(period * 500)
    running.cancel()
    assert len(looks) in (499, 500, 501)
    gaps = [later - earlier for earlier, later in itertools.pairwise(looks)]
    assert min(gaps) > 0.99 * period
    assert max(gaps) < 1.01 * period


async def test_no_more_looks_at_once_than_allowed_in_a_group() -> None:
    bench = Bench(concurrency=2)
    sources = [f"vault/{number}" for number in range(5)]
    bench.slow = dict.fromkeys(sources, 1.0)
    bench.poller.subscribe("x", dict.fromkeys(sources, 60.0))
    await bench.run_for(65)
    assert sorted(at for _, at in bench.looks) == [60.0, 60.0, 61.0, 61.0, 62.0]


async def test_a_black_holed_group_does_not_delay_another() -> None:
    bench = Bench(concurrency=2)
    holes = [f"hole/{number}" for number in range(50)]
    bench.slow = dict.fromkeys(holes, 1e6)
    bench.poller.subscribe("x", dict.fromkeys([*holes, "well/1"], 60.0))
    await bench.run_for(185)
    assert bench.times("well/1") == [60.0, 120.0, 180.0]
    assert len(bench.looks) == 5


async def test_ten_thousand_sources_cost_one_timer_and_no_tasks() -> None:
    bench = Bench()
    for number in range(10_000):
        bench.poller.subscribe(f"key {number}", {f"source {number}": 3600.0})
    running = asyncio.ensure_future(bench.poller.run())
    await settle()
    assert bench.clock.sleeping == 1
    assert len(asyncio.all_tasks()) == 2
    running.cancel()


async def test_who_left_while_a_look_was_under_way_is_not_told() -> None:
    bench = Bench()
    bench.slow["a"] = 5.0
    bench.poller.subscribe("x", {"a": 30.0})
    running = asyncio.ensure_future(bench.poller.run())
    await bench.clock.advance(16)
    bench.poller.unsubscribe("x")
    await bench.clock.advance(100)
    running.cancel()
    assert bench.notified == []
    assert len(bench.looks) == 1


def test_a_period_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="more than none"):
        Bench().poller.subscribe("x", {"a": 0.0})
