"""Many sources of one share, and few of another, before one server."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from tests.fakes.poll_bench import Bench

CROWD = [f"vault/crowd-{number}" for number in range(300)]
CONCURRENCY = 10
LONGEST = 2.0
"""Seconds between two looks of the neighbour at most: its period, and what a look of the crowd takes."""


def crowded() -> Bench:
    """Before a server, a crowd that asks each second for three times as much as it can have in ten."""
    bench = Bench(concurrency=CONCURRENCY)
    bench.slow = dict.fromkeys(CROWD, 1.0)
    for source in CROWD:
        bench.poller.subscribe(f"crowd/{source}", {source: 1.0})
    return bench


def longest_gap(bench: Bench, source: str) -> float:
    return max(later - earlier for earlier, later in itertools.pairwise([0.0, *bench.times(source), 60.0]))


async def test_a_crowd_of_slow_sources_costs_a_neighbour_one_turn() -> None:
    bench = crowded()
    bench.poller.subscribe("neighbour/app", {"vault/app": 1.0})
    await bench.run_for(60)
    assert longest_gap(bench, "vault/app") <= LONGEST
    assert longest_gap(bench, CROWD[0]) >= len(CROWD) / CONCURRENCY, "the crowd waits for itself"


@pytest.mark.parametrize("subscribers", [("crowd/app", "neighbour/app"), ("neighbour/app", "crowd/app")], ids=" ".join)
async def test_a_source_that_is_shared_with_a_crowd_waits_for_whom_it_comes_first(subscribers: tuple[str, ...]) -> None:
    bench = crowded()
    for subscriber in subscribers:
        bench.poller.subscribe(subscriber, {"vault/app": 1.0})
    await bench.run_for(60)
    assert longest_gap(bench, "vault/app") <= LONGEST


async def test_a_source_that_one_share_leaves_while_it_waits_and_another_joins_is_looked_at_once() -> None:
    bench = Bench(concurrency=2)
    bench.slow = {"vault/x": 25.0, "vault/y": 25.0, "vault/app": 1.0}
    bench.poller.subscribe("a/others", {"vault/x": 10.0, "vault/y": 10.0})
    bench.poller.subscribe("a/app", {"vault/app": 10.0})
    running = asyncio.ensure_future(bench.poller.run())
    await bench.clock.advance(12)
    assert bench.poller.statistics().waiting == 1
    bench.poller.unsubscribe("a/app")
    assert bench.poller.statistics().waiting == 0
    bench.poller.subscribe("b/app", {"vault/app": 10.0})
    await bench.clock.advance(26)
    assert bench.times("vault/app") == [35.0]
    running.cancel()
    await asyncio.wait((running,))
