"""Passengers leave at any moment; the fetch lives exactly as long as somebody waits for it."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.fakes.clock import settle
from tests.fakes.runtime import other_tasks
from vso.runtime.single_flight import SingleFlight


class Fetching:
    """A fetch of five awaits that counts how many of it run."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0

    async def __call__(self) -> str:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for _ in range(5):
                await asyncio.sleep(0)
            return "answer"
        finally:
            self.running -= 1


@pytest.mark.parametrize("turns", range(12))
async def test_the_only_caller_cancelled_at_any_await_leaves_no_fetch(turns: int) -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    fetching = Fetching()
    call = asyncio.ensure_future(flights.run("k", fetching))
    for _ in range(turns):
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait((call,))
    assert fetching.running == 0
    await settle()
    assert flights.statistics().flights == 0
    assert not other_tasks()


@pytest.mark.parametrize("turns", range(12))
async def test_the_first_caller_cancelled_at_any_await_leaves_the_second_its_answer(turns: int) -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    fetching = Fetching()
    first = asyncio.ensure_future(flights.run("k", fetching))
    second = asyncio.ensure_future(flights.run("k", fetching))
    for _ in range(turns):
        await asyncio.sleep(0)
    first.cancel()
    assert await second == "answer"
    assert fetching.most == 1
    await settle()
    assert not other_tasks()


@pytest.mark.parametrize("seed", range(20))
async def test_whoever_leaves_whenever_the_others_get_their_answers(seed: int) -> None:
    rng = random.Random(seed)
    flights: SingleFlight[str, str] = SingleFlight()
    fetching = Fetching()
    staying: list[asyncio.Task[str]] = []
    for _ in range(30):
        call = asyncio.ensure_future(flights.run(rng.choice("ab"), fetching))
        if rng.random() < 0.5:
            staying.append(call)
        else:
            asyncio.get_running_loop().call_later(0, call.cancel)
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
    done, pending = await asyncio.wait(staying)
    assert {task.result() for task in done} == {"answer"}
    assert not pending
    await settle()
    assert fetching.running == 0
    assert flights.statistics() == type(flights.statistics())(0, 0)
    assert not other_tasks()


async def test_a_caller_cancelled_twice_leaves_at_once_and_the_fetch_still_ends() -> None:
    flights: SingleFlight[str, str] = SingleFlight()
    ended = asyncio.Event()
    slow_cleanup = asyncio.Event()

    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
            return "never"
        finally:
            await slow_cleanup.wait()
            ended.set()

    call = asyncio.ensure_future(flights.run("k", stubborn))
    await settle()
    call.cancel()
    await settle()
    assert not call.done()
    call.cancel()
    await settle()
    assert call.cancelled()
    slow_cleanup.set()
    await settle()
    assert ended.is_set()
    assert not other_tasks()
