"""A bounded retry: how often, after which waits, and what it costs when nothing fails."""

from __future__ import annotations

import asyncio

import pytest
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from tests.fakes.clock import FakeClock, settle
from vso.runtime.attempts import attempt


class Bench:
    """Calls that fail as often as they are told to, and the retrying objects that were made for them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.made = 0
        self.times: list[float] = []

    def retrying(self) -> AsyncRetrying:
        self.made += 1
        return AsyncRetrying(
            sleep=self.clock.sleep,
            stop=stop_after_attempt(3),
            wait=lambda state: float(state.attempt_number),
            retry=retry_if_exception_type(OSError),
            reraise=True,
        )

    async def call(self, name: str, *failures: Exception) -> str:
        todo = list(failures)

        async def once(told: str) -> str:
            self.times.append(self.clock.monotonic())
            if todo:
                raise todo.pop(0)
            return told

        return await attempt(self.retrying, OSError, once, name)


async def test_a_call_that_succeeds_meets_no_retrying_object() -> None:
    bench = Bench()
    assert await bench.call("a") == "a"
    assert (bench.made, bench.times) == (0, [0.0])


async def test_the_first_failure_counts_among_the_attempts_and_for_the_waits() -> None:
    bench = Bench()
    work = asyncio.ensure_future(bench.call("a", OSError("1"), OSError("2")))
    await bench.clock.advance(10)
    assert await work == "a"
    assert bench.times == [0.0, 1.0, 3.0]


async def test_the_last_failure_is_raised_as_it_was() -> None:
    bench = Bench()
    work = asyncio.ensure_future(bench.call("a", *(OSError(str(number)) for number in range(1, 9))))
    await bench.clock.advance(10)
    with pytest.raises(OSError, match="3") as caught:
        await work
    assert caught.value.__context__ is None
    assert bench.times == [0.0, 1.0, 3.0]


@pytest.mark.parametrize("failures", [(ValueError("x"),), (OSError("1"), ValueError("x"))])
async def test_what_is_not_worth_it_is_raised_at_once(failures: tuple[Exception, ...]) -> None:
    bench = Bench()
    work = asyncio.ensure_future(bench.call("a", *failures))
    await bench.clock.advance(10)
    with pytest.raises(ValueError, match="x"):
        await work
    assert len(bench.times) == len(failures)


async def test_calls_that_overlap_have_each_their_own_count() -> None:
    bench = Bench()
    works = [asyncio.ensure_future(bench.call(str(number), OSError(), OSError())) for number in range(5)]
    await settle()
    await bench.clock.advance(10)
    assert [await work for work in works] == ["0", "1", "2", "3", "4"]
    assert len(bench.times) == 15
