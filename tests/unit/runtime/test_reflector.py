"""The list-watch machine: when it lists, where it resumes, how long it rests."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.runtime import Script, ScriptedListWatch, Thing, other_tasks, unavailable
from vso.core.backoff import Backoff
from vso.core.errors import ConfigError, ExpiredError, Reason, VsoError
from vso.runtime.events import Applied, Bookmark, Deleted, Delivery, Interrupted, Page, Relisted, WatchEvent
from vso.runtime.reflector import NeedList, Reflector, State, Watching, after_error

PLAIN = Backoff(initial=1.0, maximum=30.0, multiplier=2.0, randomization=0.0)
EMPTY: list[Script] = [Page((), "10")]


class Bench:
    def __init__(self, lists: list[list[Script]], watches: list[list[Script]]) -> None:
        self.clock = FakeClock()
        self.source = ScriptedListWatch(lists, watches)
        self.heard: list[Delivery[Thing]] = []
        self.reflector = Reflector(self.source, self.heard.append, self.clock, random.Random(1), PLAIN)

    async def run_for(self, seconds: float) -> None:
        running = asyncio.ensure_future(self.reflector.run())
        await self.clock.advance(seconds)
        running.cancel()
        await asyncio.wait((running,))
        assert not other_tasks()
        assert self.source.open_streams == 0


@pytest.mark.parametrize(
    ("state", "error", "expected"),
    [
        pytest.param(NeedList(), unavailable(), NeedList(), id="a-failed-list-lists-again"),
        pytest.param(NeedList(), ExpiredError(), NeedList(), id="an-expired-page-token-lists-again"),
        pytest.param(Watching("7"), unavailable(), Watching("7"), id="a-dropped-stream-resumes"),
        pytest.param(Watching("7"), ConfigError(Reason.KUBERNETES_FORBIDDEN, ""), Watching("7"), id="so-does-a-403"),
        pytest.param(Watching("7"), ExpiredError(), NeedList(), id="410-lists"),
    ],
)
def test_only_an_expired_version_costs_a_list(state: State, error: VsoError, expected: State) -> None:
    assert after_error(state, error) == expected


async def test_all_pages_make_one_list_and_the_last_names_where_to_watch_from() -> None:
    bench = Bench([[Page((Thing("a"),), "3"), Page((Thing("b"),), "5")]], [])
    await bench.run_for(1)
    assert bench.heard == [Relisted((Thing("a"), Thing("b")))]
    assert bench.source.calls == ["list", "watch 5"]


async def test_a_dropped_stream_resumes_without_a_list() -> None:
    bench = Bench([EMPTY], [[Applied(Thing("a", "11")), unavailable()], [Deleted(Thing("a", "12")), unavailable()]])
    await bench.run_for(10)
    assert bench.source.calls == ["list", "watch 10", "watch 11", "watch 12"]


async def test_a_bookmark_moves_where_a_stream_resumes() -> None:
    bench = Bench([EMPTY], [[Bookmark("99"), unavailable()]])
    await bench.run_for(10)
    assert bench.source.calls == ["list", "watch 10", "watch 99"]


async def test_410_in_the_stream_leads_to_one_relist() -> None:
    bench = Bench([EMPTY, [Page((Thing("b"),), "50")]], [[Applied(Thing("a", "11")), ExpiredError()]])
    await bench.run_for(10)
    assert bench.source.calls == ["list", "watch 10", "list", "watch 50"]
    assert bench.heard[-1] == Relisted((Thing("b"),))


async def test_410_when_the_watch_starts_leads_to_one_relist() -> None:
    bench = Bench([EMPTY, [Page((), "50")]], [[ExpiredError()]])
    await bench.run_for(10)
    assert bench.source.calls == ["list", "watch 10", "list", "watch 50"]


async def test_a_list_that_breaks_off_delivers_nothing_of_it() -> None:
    bench = Bench([[Page((Thing("a"),), "3"), unavailable()], EMPTY], [])
    await bench.run_for(10)
    assert [type(delivery) for delivery in bench.heard] == [Interrupted, Relisted]
    assert bench.heard[-1] == Relisted(())


async def test_failures_in_a_row_are_spaced_by_the_back_off() -> None:
    bench = Bench([[unavailable()] for _ in range(4)], [])
    await bench.run_for(0.5)
    assert len(bench.source.calls) == 1
    bench = Bench([[unavailable()] for _ in range(4)], [])
    await bench.run_for(1 + 2 + 4)
    assert len(bench.source.calls) == 4


async def test_a_failure_waits_at_least_as_long_as_the_server_asked() -> None:
    bench = Bench([[unavailable(retry_after=20)], EMPTY], [])
    await bench.run_for(19)
    assert bench.source.calls == ["list"]


async def test_a_server_that_closes_at_once_is_not_asked_in_a_tight_loop() -> None:
    bench = Bench([EMPTY], [[] for _ in range(100)])
    await bench.run_for(1 + 2 + 4 + 8)
    assert bench.source.calls.count("watch 10") == 5


async def test_list_410_list_410_slows_down() -> None:
    bench = Bench([EMPTY for _ in range(100)], [[ExpiredError()] for _ in range(100)])
    await bench.run_for(1 + 2 + 4 + 8)
    assert bench.source.calls.count("list") == 5


async def test_an_event_ends_a_run_of_failures() -> None:
    bench = Bench([EMPTY], [[unavailable()], [unavailable()], [Bookmark("20"), unavailable()], [unavailable()]])
    await bench.run_for(1 + 2 + 1)
    assert bench.source.calls == ["list", "watch 10", "watch 10", "watch 10", "watch 20"]


class Patient:
    """A server whose list is empty and whose streams live for 300 s, but for the first few calls."""

    def __init__(self, clock: FakeClock, failures: dict[int, VsoError]) -> None:
        self.clock = clock
        self.failures = failures
        self.starts: list[float] = []

    async def list(self) -> AsyncIterator[Page[Thing]]:
        yield Page((), "10")

    async def watch(self, resource_version: str) -> AsyncIterator[WatchEvent[Thing]]:
        self.starts.append(self.clock.monotonic())
        failure = self.failures.get(len(self.starts))
        if failure is not None:
            raise failure
        await self.clock.sleep(300)
        silence: list[WatchEvent[Thing]] = []
        for event in silence:
            yield event


@pytest.mark.parametrize(
    ("failures", "starts"),
    [
        pytest.param({}, [0, 300, 600], id="at-once"),
        pytest.param({1: unavailable(), 2: unavailable(), 4: unavailable()}, [0, 1, 3, 303, 304], id="and-forgives"),
    ],
)
async def test_a_stream_that_the_server_closes_after_a_while_is_resumed(
    failures: dict[int, VsoError], starts: list[float]
) -> None:
    clock = FakeClock()
    source = Patient(clock, failures)
    reflector: Reflector[Thing] = Reflector(source, lambda _: None, clock, random.Random(1), PLAIN)
    running = asyncio.ensure_future(reflector.run())
    await clock.advance(601)
    running.cancel()
    assert source.starts == starts
