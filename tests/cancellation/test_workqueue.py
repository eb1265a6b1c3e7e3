"""A getter or a worker that is cancelled takes no key, no turn and no timer with it."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.cancellation.sweep import cancel_after
from tests.fakes.clock import FakeClock, settle
from tests.fakes.runtime import Observed, other_tasks
from vso.core.backoff import Backoff
from vso.runtime.controller import Controller, ControllerConfig
from vso.runtime.rate_limiter import RateLimiter, TokenBucket
from vso.runtime.reconcile import Result
from vso.runtime.workqueue import WorkQueue


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.queue: WorkQueue[str] = WorkQueue(self.clock, RateLimiter(Backoff(), random.Random(1)))

    def getters(self, number: int) -> list[asyncio.Task[str]]:
        return [asyncio.ensure_future(self.queue.get()) for _ in range(number)]


async def test_a_getter_cancelled_before_it_wakes_passes_its_turn_on() -> None:
    bench = Bench()
    first, second = bench.getters(2)
    await settle()
    bench.queue.add("a")  # wakes the first
    first.cancel()
    await settle()
    assert second.result() == "a"
    assert not other_tasks()


async def test_the_keeper_of_the_timer_passes_it_on_when_cancelled() -> None:
    bench = Bench()
    bench.queue.add_after("a", 10)
    keeper, other = bench.getters(2)
    await settle()
    keeper.cancel()
    await bench.clock.advance(10)
    assert other.result() == "a"


async def test_a_successor_of_the_keeper_that_is_cancelled_before_it_wakes_passes_it_on_too() -> None:
    bench = Bench()
    bench.queue.add_after("a", 10)
    keeper, successor, other = bench.getters(3)
    await settle()
    keeper.cancel()
    await asyncio.sleep(0)
    successor.cancel()
    await bench.clock.advance(10)
    assert other.result() == "a"


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancelled_getter_leaves_its_key_to_the_next(turns: int) -> None:
    bench = Bench()

    async def late_add() -> None:
        await asyncio.sleep(0)
        bench.queue.add("a")

    adding = asyncio.ensure_future(late_add())
    cancelled = await cancel_after(turns, bench.queue.get())
    await asyncio.wait((adding, cancelled))
    if cancelled.cancelled():
        assert await bench.queue.get() == "a"
    bench.queue.done("a")
    assert bench.queue.statistics().processing == 0
    assert bench.queue.statistics().parked == 0
    assert not other_tasks()


@pytest.mark.parametrize("seed", range(20))
async def test_whoever_is_cancelled_every_key_is_handed_out_once(seed: int) -> None:
    rng = random.Random(seed)
    bench = Bench()
    taken: list[str] = []

    async def worker() -> None:
        while True:
            key = await bench.queue.get()
            taken.append(key)
            bench.queue.done(key)

    workers = [asyncio.ensure_future(worker()) for _ in range(10)]
    for number in range(60):
        bench.queue.add(f"now {number}")
        bench.queue.add_after(f"later {number}", rng.randint(1, 30))
        if len(workers) > 1 and rng.random() < 0.3:
            workers.pop(rng.randrange(len(workers))).cancel()
        if rng.random() < 0.5:
            await asyncio.sleep(0)
        if rng.random() < 0.2:
            await bench.clock.advance(1)
    await bench.clock.advance(31)
    assert len(taken) == len(set(taken)) == 120
    for survivor in workers:
        survivor.cancel()
    await settle()
    assert not other_tasks()


class Hanging:
    """A pass with several awaits, the last of which never ends."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.inside = 0

    async def reconcile(self, key: str) -> Result:
        self.inside += 1
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            await asyncio.Event().wait()
            return Result()
        finally:
            await asyncio.sleep(0)
            self.inside -= 1


@pytest.mark.parametrize("turns", range(12))
async def test_a_controller_cancelled_at_any_await_holds_no_key(turns: int) -> None:
    bench = Bench()
    reconciler = Hanging(bench.clock)
    config = ControllerConfig(workers=3)
    controller = Controller("test", bench.queue, reconciler, bench.clock, config, Observed())
    for key in "abcdef":
        bench.queue.add(key)
    task = await cancel_after(turns, controller.run())
    await asyncio.wait((task,))
    await settle()
    stats = bench.queue.statistics()
    assert task.cancelled()
    assert (stats.processing, stats.parked, reconciler.inside) == (0, 0, 0)
    assert bench.clock.sleeping == 0
    assert not other_tasks()


@pytest.mark.parametrize("turns", range(4))
async def test_a_cancelled_acquire_loses_no_token(turns: int) -> None:
    clock = FakeClock()
    bucket = TokenBucket(clock, rate=1.0, burst=1)
    await bucket.acquire()
    task = await cancel_after(turns, bucket.acquire())
    await asyncio.wait((task,))
    assert bucket.try_acquire_nowait() == pytest.approx(1.0)
    assert clock.sleeping == 0
