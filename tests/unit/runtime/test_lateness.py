"""How late a lease is seen to that is due: alone, and while everything else is looked at too."""

from __future__ import annotations

import asyncio
import random

from tests.fakes.clock import FakeClock
from vso.core.backoff import Backoff
from vso.decide.schedule import phase
from vso.runtime.lease_scheduler import LeaseScheduler
from vso.runtime.rate_limiter import RateLimiter
from vso.runtime.workqueue import Lane, WorkQueue

LEASES = OBJECTS = 10_000
LIFE = 60.0
WORKERS = 100
PASS = 0.1
"""Seconds that each pass takes."""


class Shop:
    """A queue with its workers, and leases that ring in it; each lease is due once."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.queue: WorkQueue[str] = WorkQueue(self.clock, RateLimiter(Backoff(), random.Random(1)))
        self.scheduler: LeaseScheduler[str] = LeaseScheduler(self.clock, self.queue.add)
        self.due = {f"lease-{number}": LIFE * phase(f"lease-{number}") for number in range(LEASES)}
        for key, at in self.due.items():
            self.scheduler.set(key, at)
        self.late: list[float] = []
        self.looked_at = 0
        work = [self.work() for _ in range(WORKERS)]
        self.tasks = [asyncio.ensure_future(task) for task in (self.scheduler.run(), *work)]

    async def work(self) -> None:
        while True:
            key = await self.queue.get()
            if key in self.due:
                self.late.append(self.clock.monotonic() - self.due.pop(key))
            else:
                self.looked_at += 1
            await self.clock.sleep(PASS)
            self.queue.done(key)

    def p99(self) -> float:
        ordered = sorted(self.late)
        return ordered[len(ordered) * 99 // 100]

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


async def test_ten_thousand_leases_are_seen_to_in_time_alone_and_beside_ten_thousand_objects() -> None:
    shop = Shop()
    await shop.clock.advance(5)
    assert len(shop.late) > 0.9 * LEASES * 5 / LIFE
    assert shop.p99() <= 0.05
    shop.late.clear()
    for number in range(OBJECTS):
        shop.queue.add(f"object-{number}", Lane.REFRESH)
    await shop.clock.advance(OBJECTS * PASS / WORKERS)
    assert 0 < shop.looked_at < OBJECTS, "the leases came first, and the objects came too"
    assert len(shop.late) > 0.9 * LEASES * 10 / LIFE
    assert shop.p99() <= 1.0
    await shop.clock.advance(10)
    assert shop.looked_at == OBJECTS
    await shop.close()
