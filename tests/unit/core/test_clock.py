"""The machine's clock; none of these waits for anything."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from vso.core.clock import SystemClock


def test_the_wall_time_is_aware_and_in_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_the_monotonic_clock_never_goes_back() -> None:
    clock = SystemClock()
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)


async def test_a_sleep_of_nothing_or_less_lets_others_run() -> None:
    ran: list[str] = []
    asyncio.get_running_loop().call_soon(ran.append, "other")
    await SystemClock().sleep(-1)
    assert ran == ["other"]


async def test_a_wait_ends_by_its_event() -> None:
    clock, event = SystemClock(), asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)
    assert await clock.wait(event, None) is True
    assert await clock.wait(event, 0) is True


async def test_a_wait_for_nothing_ends_at_once() -> None:
    assert await SystemClock().wait(asyncio.Event(), 0) is False
