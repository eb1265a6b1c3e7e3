"""One alarm per key, last write wins."""

from __future__ import annotations

import asyncio

from tests.fakes.clock import FakeClock
from vso.runtime.lease_scheduler import LeaseScheduler


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.rang: list[tuple[str, float]] = []
        self.scheduler: LeaseScheduler[str] = LeaseScheduler(self.clock, self.ring)
        self.running = asyncio.ensure_future(self.scheduler.run())

    def ring(self, key: str) -> None:
        self.rang.append((key, self.clock.monotonic()))

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.wait((self.running,))
        assert self.clock.sleeping == 0


async def test_keys_ring_at_their_deadlines_in_order() -> None:
    bench = Bench()
    for key, deadline in (("c", 30.0), ("a", 10.0), ("b", 20.0)):
        bench.scheduler.set(key, deadline)
    await bench.clock.advance(60)
    assert bench.rang == [("a", 10), ("b", 20), ("c", 30)]
    await bench.stop()


async def test_the_last_write_wins_whether_it_is_later_or_sooner() -> None:
    bench = Bench()
    bench.scheduler.set("later", 10.0)
    bench.scheduler.set("sooner", 50.0)
    await bench.clock.advance(5)
    bench.scheduler.set("later", 40.0)
    bench.scheduler.set("sooner", 20.0)
    await bench.clock.advance(60)
    assert bench.rang == [("sooner", 20), ("later", 40)]
    await bench.stop()


async def test_a_cancelled_key_does_not_ring() -> None:
    bench = Bench()
    bench.scheduler.set("a", 10.0)
    await bench.clock.advance(5)
    bench.scheduler.cancel("a")
    bench.scheduler.cancel("never there")
    await bench.clock.advance(60)
    assert bench.rang == []
    assert len(bench.scheduler) == 0
    await bench.stop()


async def test_a_deadline_in_the_past_rings_at_once() -> None:
    bench = Bench()
    await bench.clock.advance(5)
    bench.scheduler.set("a", 1.0)
    await bench.clock.advance(0)
    assert bench.rang == [("a", 5)]
    await bench.stop()


async def test_a_key_may_set_itself_again_when_it_rings() -> None:
    clock = FakeClock()
    rang: list[float] = []

    def again(key: str) -> None:
        rang.append(clock.monotonic())
        scheduler.set(key, clock.monotonic() + 10)

    scheduler: LeaseScheduler[str] = LeaseScheduler(clock, again)
    scheduler.set("a", 10.0)
    running = asyncio.ensure_future(scheduler.run())
    await clock.advance(35)
    assert rang == [10, 20, 30]
    assert scheduler.deadline("a") == 40
    running.cancel()


async def test_ten_thousand_deadlines_cost_one_timer() -> None:
    bench = Bench()
    for number in range(10_000):
        bench.scheduler.set(str(number), 100.0 + number)
    await bench.clock.advance(1)
    assert bench.clock.sleeping == 1
    assert len(asyncio.all_tasks()) == 2
    await bench.stop()
