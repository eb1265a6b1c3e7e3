"""Sources of which somebody says that they have changed: looked at at once, and not once for each word."""

from __future__ import annotations

import asyncio
import math

import pytest

from tests.fakes.poll_bench import Bench
from tests.fakes.runtime import unavailable


async def test_a_source_that_is_said_to_have_changed_is_looked_at_at_once_and_then_in_turn() -> None:
    bench = Bench()
    bench.poller.subscribe("x", {"a": 30.0})
    bench.poller.observed("a", "same", by="x")
    running = asyncio.ensure_future(bench.poller.run())
    await bench.clock.advance(4)
    bench.answers["a"] = "new"
    bench.poller.look_now("a")
    await bench.clock.advance(56)
    assert bench.times() == [4.0, 15.0, 45.0]
    assert bench.notified == [frozenset({"x"})]
    running.cancel()
    await asyncio.wait((running,))


async def test_a_hundred_words_of_a_change_make_two_looks_and_the_second_sees_the_last() -> None:
    bench = Bench()
    bench.poller.subscribe("x", {"a": math.inf})
    running = asyncio.ensure_future(bench.poller.run())
    await bench.clock.advance(1)
    for number in range(100):
        bench.answers["a"] = number
        bench.poller.look_now("a")
        await bench.clock.advance(0.005)
    await bench.clock.advance(10)
    assert bench.times() == [1.0, 2.0]
    bench.poller.observed("a", 99)
    assert bench.notified == [frozenset({"x"})] * 2, "the last was known already"
    running.cancel()
    await asyncio.wait((running,))


async def test_a_word_during_a_look_makes_another_look_afterwards() -> None:
    bench = Bench()
    bench.slow["a"] = 3.0
    bench.poller.subscribe("x", {"a": math.inf})
    running = asyncio.ensure_future(bench.poller.run())
    bench.poller.look_now("a")
    await bench.clock.advance(1)
    bench.poller.look_now("a")
    await bench.clock.advance(10)
    assert bench.times() == [0.0, 3.0]
    running.cancel()
    await asyncio.wait((running,))


@pytest.mark.parametrize(("news", "looks"), [(True, [1.0]), (False, [1.0, 2.0])])
async def test_what_shows_nothing_new_is_looked_at_once_more_where_that_is_asked_for(
    news: bool, looks: list[float]
) -> None:
    bench = Bench()
    bench.poller.subscribe("x", {"a": math.inf})
    bench.poller.observed("a", "same", by="x")
    running = asyncio.ensure_future(bench.poller.run())
    await bench.clock.advance(1)
    bench.answers["a"] = "new" if news else "same"
    bench.poller.look_now("a", again=True)
    await bench.clock.advance(60)
    assert bench.times() == looks
    running.cancel()
    await asyncio.wait((running,))


async def test_without_a_period_nothing_is_looked_at_unasked_and_nobody_s_word_counts_for_what_nobody_wants() -> None:
    bench = Bench()
    bench.poller.subscribe("x", {"a": math.inf})
    bench.poller.look_now("b")
    await bench.run_for(7200)
    assert bench.looks == []


async def test_a_periodic_subscriber_beside_one_without_a_period_sets_the_pace_and_takes_it_away() -> None:
    bench = Bench()
    bench.poller.subscribe("x", {"a": math.inf})
    bench.poller.subscribe("y", {"a": 30.0})
    running = asyncio.ensure_future(bench.poller.run())
    await bench.clock.advance(50)
    bench.poller.unsubscribe("y")
    await bench.clock.advance(3600)
    assert bench.times() == [15.0, 45.0]
    running.cancel()
    await asyncio.wait((running,))


async def test_a_word_that_comes_while_the_server_is_to_be_left_alone_is_not_lost() -> None:
    bench = Bench()
    bench.errors["a"] = unavailable(retry_after=20.0)
    bench.poller.subscribe("x", {"a": math.inf})
    running = asyncio.ensure_future(bench.poller.run())
    bench.poller.look_now("a")
    await bench.clock.advance(2)
    bench.errors.clear()
    await bench.clock.advance(60)
    assert bench.times() == [0.0, 30.0]
    running.cancel()
    await asyncio.wait((running,))
