"""Deadlines of leases, their timers, and the second look at them."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest

from tests.fakes.clock import FakeClock
from vso.app.dynamic_wiring import LeaseTimers, lease_timers
from vso.controllers.lease_times import LeaseStatistics
from vso.core.backoff import Backoff
from vso.core.keys import ObjectKey
from vso.runtime.rate_limiter import RateLimiter
from vso.runtime.workqueue import WorkQueue

KEY = ObjectKey("app", "db")
MINUTE = timedelta(seconds=60)


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.due: list[float] = []
        self.lost: list[float] = []
        self.timers = LeaseTimers(
            self.clock, lambda _: self.due.append(self.clock.monotonic()), lambda _, seconds: self.lost.append(seconds)
        )
        self.running = asyncio.ensure_future(self.timers.run())

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.wait((self.running,))
        assert self.clock.sleeping == 0


async def test_a_deadline_rings_once_and_one_that_comes_to_nothing_rings_again_before_the_end() -> None:
    bench = Bench()
    bench.timers.times.set(KEY, timedelta(seconds=40), MINUTE)
    await bench.clock.advance(40)
    assert bench.due == [40]
    await bench.clock.advance(14)  # nobody has done anything
    assert len(bench.due) >= 2
    assert bench.due[1] < 0.9 * 60
    assert bench.lost == [moment - 40 for moment in bench.due[1:]]
    await bench.stop()


async def test_what_is_renewed_in_time_is_never_lost_and_what_is_cancelled_never_rings() -> None:
    bench = Bench()
    for _ in range(5):
        bench.timers.times.set(KEY, timedelta(seconds=40), MINUTE)
        await bench.clock.advance(41)
    bench.timers.times.cancel(KEY)
    rang = len(bench.due)
    await bench.clock.advance(600)
    assert rang == len(bench.due) == 5
    assert bench.lost == []
    await bench.stop()


async def test_a_deadline_without_an_end_has_a_minute() -> None:
    bench = Bench()
    bench.timers.times.set(KEY, timedelta(seconds=40))
    await bench.clock.advance(40 + 59)
    assert bench.lost == []
    await bench.clock.advance(5)
    assert len(bench.lost) == 1
    await bench.stop()


async def test_what_has_ended_has_no_deadline_that_could_be_missed() -> None:
    bench = Bench()
    bench.timers.times.set(KEY, timedelta(seconds=5), timedelta(seconds=8), "db/1")
    bench.timers.times.set(KEY, None, timedelta(seconds=-7), "db/1", failing=True)
    await bench.clock.advance(600)
    assert bench.lost == []
    assert bench.timers.statistics() == LeaseStatistics(failing=1, first_end=-607)
    await bench.stop()


# A token that is no more before its time.


async def test_those_who_hold_its_leases_are_woken_at_once_the_first_to_end_first() -> None:
    clock = FakeClock()
    queue: WorkQueue[ObjectKey] = WorkQueue(clock, RateLimiter(Backoff(), random.Random(1)))
    timers = lease_timers(clock, queue, lambda *_: None)
    hour = timedelta(hours=1)
    for number in range(300):
        key = ObjectKey("app", f"db-{number:03}")
        timers.times.set(key, hour, hour * 2 - timedelta(seconds=number), f"lease-{number}")
    timers.times.set(ObjectKey("app", "brief"), timedelta(seconds=1), timedelta(seconds=1.5), "lease-brief")
    timers.times.set(ObjectKey("app", "other"), hour, hour, "lease-of-another-token")
    timers.bereaved({"lease-brief", *(f"lease-{number}" for number in range(300))})
    got: list[tuple[str, float]] = []

    async def take() -> None:
        while True:
            key = await queue.get()
            got.append((key.name, clock.monotonic()))
            queue.done(key)

    taking = asyncio.ensure_future(take())
    await clock.advance(10)
    taking.cancel()
    await asyncio.wait((taking,))
    assert [name for name, _ in got] == ["brief", *(f"db-{number:03}" for number in reversed(range(300)))]
    assert got[0][1] == 0
    assert got[-1][1] == pytest.approx(3)


async def test_nobody_is_woken_later_than_what_is_held_ends() -> None:
    clock, woken = FakeClock(), list[float]()
    timers = LeaseTimers(clock, lambda _: None, lambda *_: None, lambda _, seconds: woken.append(seconds))
    for number in range(1000):
        timers.times.set(ObjectKey("app", f"db-{number}"), MINUTE, timedelta(seconds=2), f"lease-{number}")
    timers.bereaved({f"lease-{number}" for number in range(1000)})
    assert len(woken) == 1000
    assert max(woken) == 2
    timers.times.cancel(ObjectKey("app", "db-0"))
    woken.clear()
    timers.bereaved({"lease-0"})
    assert woken == []


async def test_the_leases_that_fail_are_counted_with_the_end_of_the_first_while_this_process_leads() -> None:
    bench = Bench()
    others = ObjectKey("app", "other"), ObjectKey("app", "fine"), ObjectKey("app", "static")
    bench.timers.times.set(KEY, timedelta(seconds=5), 2 * MINUTE, "db/1", failing=True)
    bench.timers.times.set(others[0], timedelta(seconds=5), MINUTE, "db/2", failing=True)
    bench.timers.times.set(others[1], timedelta(seconds=5), timedelta(seconds=20), "db/3")
    bench.timers.times.set(others[2], timedelta(seconds=5))  # nobody knows when it ends
    assert bench.timers.statistics() == LeaseStatistics()
    await bench.clock.advance(1)
    assert bench.timers.statistics() == LeaseStatistics(in_order=1, failing=2, first_end=59)
    bench.timers.times.set(others[0], timedelta(seconds=40), MINUTE, "db/2")  # renewed
    assert bench.timers.statistics() == LeaseStatistics(in_order=2, failing=1, first_end=119)
    bench.timers.times.set(KEY, None, timedelta(seconds=-7), "db/1", failing=True)
    assert bench.timers.statistics() == LeaseStatistics(in_order=2, failing=1, first_end=-7)
    await bench.stop()
    assert bench.timers.statistics() == LeaseStatistics()
