"""A poller cancelled at any await leaves no look running and goes on when it is run again."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.runtime import other_tasks
from vso.runtime.poller import Poller


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.looking = 0
        self.looks = 0
        self.notified: list[frozenset[str]] = []
        self.poller: Poller[int, str] = Poller(
            self.clock, self.look, self.notified.append, phase=lambda _: 0.0, concurrency=2
        )
        self.poller.subscribe("x", dict.fromkeys(range(5), 10.0))

    async def look(self, source: int) -> Hashable:
        self.looking += 1
        self.looks += 1
        try:
            await asyncio.sleep(0)
            await self.clock.sleep(1)
            return "same"
        finally:
            await asyncio.sleep(0)
            self.looking -= 1


@pytest.mark.parametrize("seconds", [0, 10, 11, 12, 13])
@pytest.mark.parametrize("turns", range(6))
async def test_cancelled_at_any_await_nothing_is_left_and_the_next_run_looks_at_all(seconds: int, turns: int) -> None:
    bench = Bench()
    running = asyncio.ensure_future(bench.poller.run())
    await settle()
    bench.clock.jump(seconds)
    await bench.clock.advance(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait((running,))
    await settle()
    assert bench.looking == 0
    assert bench.poller.statistics().workers == 0
    assert bench.clock.sleeping == 0
    assert not other_tasks()

    bench.looks = 0
    again = asyncio.ensure_future(bench.poller.run())
    await bench.clock.advance(10)
    await bench.clock.advance(3)
    assert bench.looks == 5
    again.cancel()
    await asyncio.wait((again,))


async def test_a_bug_in_a_look_ends_the_run_loudly_and_leaves_nothing() -> None:
    clock = FakeClock()

    async def look(source: str) -> Hashable:
        raise KeyError(source)

    poller: Poller[str, str] = Poller(clock, look, lambda _: None, phase=lambda _: 0.0)
    poller.subscribe("x", {"a": 10.0})
    running = asyncio.ensure_future(poller.run())
    await clock.advance(10)
    assert isinstance(running.exception(), ExceptionGroup)
    assert not other_tasks()
