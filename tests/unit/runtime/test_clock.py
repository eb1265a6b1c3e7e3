"""The fake clock itself, and the limit that is measured by a clock."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.runtime import other_tasks
from vso.runtime.deadline import within


async def test_a_wait_ends_by_its_event_or_by_its_seconds() -> None:
    clock, event = FakeClock(), asyncio.Event()
    early = asyncio.ensure_future(clock.wait(event, 10))
    late = asyncio.ensure_future(clock.wait(asyncio.Event(), 10))
    await clock.advance(5)
    event.set()
    await settle()
    assert early.result() is True
    assert not late.done()
    await clock.advance(5)
    assert late.result() is False


async def test_a_cancelled_wait_leaves_no_task_and_no_sleeper() -> None:
    clock = FakeClock()
    waiting = asyncio.ensure_future(clock.wait(asyncio.Event(), 10))
    await settle()
    waiting.cancel()
    await settle()
    assert waiting.cancelled()
    assert clock.sleeping == 0
    assert not other_tasks()


async def test_work_that_ends_in_time_returns_its_value() -> None:
    clock = FakeClock()

    async def work() -> str:
        await clock.sleep(9)
        return "done"

    running = asyncio.ensure_future(within(clock, 10, work()))
    await clock.advance(9)
    assert running.result() == "done"
    assert clock.sleeping == 0
    assert not other_tasks()


async def test_work_that_takes_too_long_is_cancelled_where_it_waits() -> None:
    clock, ended = FakeClock(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(clock.monotonic())

    running = asyncio.ensure_future(within(clock, 10, work()))
    await clock.advance(11)
    with pytest.raises(TimeoutError):
        running.result()
    assert ended == [10]
    assert not other_tasks()


async def test_an_error_of_the_work_comes_out_as_it_is() -> None:
    async def work() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await within(FakeClock(), 10, work())


async def test_cancelling_the_caller_cancels_the_work_and_the_timer() -> None:
    clock = FakeClock()
    running = asyncio.ensure_future(within(clock, 10, asyncio.Event().wait()))
    await settle()
    running.cancel()
    await settle()
    assert running.cancelled()
    assert clock.sleeping == 0
    assert not other_tasks()
