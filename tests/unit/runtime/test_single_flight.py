"""Identical calls share one fetch, and no fetch is left without an owner."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.runtime import other_tasks
from vso.runtime.single_flight import SingleFlight


class Server:
    """Answers after a second; counts."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.asked = 0
        self.cancelled = 0
        self.error: Exception | None = None

    async def fetch(self) -> int:
        self.asked += 1
        number = self.asked
        try:
            await self.clock.sleep(1)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return number


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.server = Server(self.clock)
        self.flights: SingleFlight[str, int] = SingleFlight()

    def call(self, key: str = "k") -> asyncio.Task[int]:
        return asyncio.ensure_future(self.flights.run(key, self.server.fetch))


async def test_identical_calls_in_flight_share_one_fetch() -> None:
    bench = Bench()
    calls = [bench.call() for _ in range(100)]
    await settle()
    assert bench.flights.statistics().passengers == 100
    await bench.clock.advance(1)
    assert {call.result() for call in calls} == {1}
    assert bench.server.asked == 1


async def test_different_keys_do_not_share() -> None:
    bench = Bench()
    calls = [bench.call("a"), bench.call("b")]
    await bench.clock.advance(1)
    assert [call.result() for call in calls] == [1, 2]


async def test_nothing_is_cached_once_the_answer_is_there() -> None:
    bench = Bench()
    first = bench.call()
    await bench.clock.advance(1)
    second = bench.call()
    await bench.clock.advance(1)
    assert [first.result(), second.result()] == [1, 2]
    assert bench.flights.statistics().flights == 0


async def test_an_error_reaches_every_caller_and_the_next_call_asks_anew() -> None:
    bench = Bench()
    bench.server.error = KeyError("no")
    calls = [bench.call() for _ in range(3)]
    await bench.clock.advance(1)
    assert all(isinstance(call.exception(), KeyError) for call in calls)
    bench.server.error = None
    again = bench.call()
    await bench.clock.advance(1)
    assert again.result() == 2


async def test_a_cancelled_caller_does_not_cancel_the_others_even_if_it_came_first() -> None:
    bench = Bench()
    first, second = bench.call(), bench.call()
    await settle()
    first.cancel()
    await bench.clock.advance(1)
    assert first.cancelled()
    assert second.result() == 1
    assert bench.server.cancelled == 0


async def test_the_last_callers_cancellation_cancels_the_fetch_and_waits_for_it() -> None:
    bench = Bench()
    calls = [bench.call() for _ in range(3)]
    await settle()
    for call in calls:
        call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calls[-1]
    assert bench.server.cancelled == 1
    await settle()
    assert not other_tasks()
    assert bench.flights.statistics().flights == 0


async def test_who_asks_while_a_fetch_is_being_cancelled_gets_a_new_one() -> None:
    bench = Bench()
    first = bench.call()
    await settle()
    first.cancel()
    await asyncio.sleep(0)  # the caller has left, the fetch has not ended yet
    second = bench.call()
    await bench.clock.advance(1)
    assert second.result() == 2
    assert not other_tasks()
