"""Deadlines of leases, their timers, and the second look at them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tests.fakes.clock import FakeClock
from vso.app.dynamic_wiring import LeaseTimers
from vso.core.keys import ObjectKey

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
