"""The promises of the queue to namespaces and groups: no crowd delays another, none has more in hand than its limit."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.queues import PLAIN, take, take_all
from vso.runtime.rate_limiter import RateLimiter
from vso.runtime.workqueue import Lane, WorkQueue


def shared(clock: FakeClock, **more: Any) -> WorkQueue[str]:
    """A queue whose keys name whose they are before a slash."""
    return WorkQueue(clock, RateLimiter(PLAIN, random.Random(1)), share=lambda key: key.partition("/")[0], **more)


@pytest.mark.parametrize("lane", Lane)
def test_a_crowd_in_one_namespace_costs_another_one_place_for_each_of_its_keys(clock: FakeClock, lane: Lane) -> None:
    queue = shared(clock)
    for number in range(5_000):
        queue.add(f"crowd/{number}", lane)
    for number in range(3):
        queue.add(f"team/{number}", lane)
    ranks = {key: rank for rank, key in enumerate(take_all(queue))}
    assert [ranks[f"team/{number}"] for number in range(3)] == [1, 3, 5]
    assert [key for key in ranks if key.startswith("crowd/")] == [f"crowd/{number}" for number in range(5_000)]


async def test_a_crowd_that_fails_all_the_time_costs_another_no_more_than_its_share(clock: FakeClock) -> None:
    queue = shared(clock)
    for number in range(5_000):
        queue.add_rate_limited(f"crowd/{number}")
    queue.add_after("team/refresh", 100.0)
    await clock.advance(100)
    assert queue.get_nowait() == "crowd/0"
    queue.add_rate_limited("crowd/0")
    queue.done("crowd/0")
    assert queue.get_nowait() == "team/refresh"


def test_a_crowd_that_waits_for_its_vault_lets_another_namespace_of_that_vault_pass(clock: FakeClock) -> None:
    queue = shared(clock, group=lambda _: "vault", group_limit=3)
    for number in range(5_000):
        queue.add(f"crowd/{number}")
    assert take(queue) == ["crowd/0", "crowd/1", "crowd/2"]
    queue.add("team/new")
    assert take(queue) == []
    queue.done("crowd/1")
    queue.done("crowd/0")
    assert "team/new" in take(queue)


def grouped(clock: FakeClock, limit: int) -> WorkQueue[str]:
    """A queue whose keys name their group before a slash; a key without one has none."""
    return WorkQueue(
        clock,
        RateLimiter(PLAIN, random.Random(1)),
        group=lambda key: key.partition("/")[0] if "/" in key else None,
        group_limit=limit,
    )


def test_a_group_has_no_more_in_hand_than_its_limit_and_lets_the_others_pass(clock: FakeClock) -> None:
    queue = grouped(clock, 2)
    for number in range(100):
        queue.add(f"hole/{number}")
    queue.add("well/1", Lane.REFRESH)
    queue.add("alone", Lane.REFRESH)
    assert take(queue) == ["hole/0", "hole/1", "well/1", "alone"]
    assert queue.statistics().set_aside == 98
    queue.done("hole/1")
    assert take(queue) == ["hole/2"]


def test_a_key_set_aside_is_handed_out_once_and_remembers_how_urgent_it_is(clock: FakeClock) -> None:
    queue = grouped(clock, 1)
    for key in ("a/1", "a/2"):
        queue.add(key, Lane.REFRESH)
    assert take(queue) == ["a/1"]
    queue.add("a/2", Lane.URGENT)
    queue.add("b/1", Lane.URGENT)
    queue.done("a/1")
    assert take(queue) == ["a/2", "b/1"]
    queue.done("a/2")
    assert take(queue) == []


def test_the_refreshes_of_a_group_leave_two_places_to_what_is_urgent(clock: FakeClock) -> None:
    queue = grouped(clock, 4)
    for number in range(6):
        queue.add(f"slow/{number}", Lane.REFRESH)
    assert take(queue) == ["slow/0", "slow/1"]
    queue.add("slow/new")
    assert take(queue) == ["slow/new"]
    queue.add("slow/5")  # urgent now, and there is room for one that is
    assert take(queue) == ["slow/5"]
    queue.done("slow/new")
    assert take(queue) == []
    queue.done("slow/0")
    assert take(queue) == ["slow/2"]


def test_of_those_set_aside_the_urgent_have_the_first_place(clock: FakeClock) -> None:
    queue = grouped(clock, 1)
    for number in range(3):
        queue.add(f"slow/{number}", Lane.REFRESH)
    take(queue)
    queue.add("slow/new")
    assert take(queue) == []
    queue.done("slow/0")
    assert take(queue) == ["slow/new"]


def test_a_key_set_aside_can_be_dropped(clock: FakeClock) -> None:
    queue = grouped(clock, 1)
    for key in ("a/1", "a/2", "a/3"):
        queue.add(key)
    take(queue)
    queue.drop("a/2")
    queue.done("a/1")
    assert take(queue) == ["a/3"]
    queue.done("a/3")
    assert queue._crowds == {}


def test_a_place_kept_for_a_key_that_is_dropped_goes_to_the_next(clock: FakeClock) -> None:
    queue = grouped(clock, 1)
    for key in ("a/1", "a/2", "a/3"):
        queue.add(key)
    take(queue)
    queue.done("a/1")  # a/2 is ready again
    queue.drop("a/2")
    assert take(queue) == ["a/3"]


def test_a_place_kept_for_a_key_that_changes_its_group_goes_to_the_next(clock: FakeClock) -> None:
    groups = {"x": "a", "y": "a", "z": "a"}
    queue: WorkQueue[str] = WorkQueue(
        clock, RateLimiter(PLAIN, random.Random(1)), group=lambda key: groups[key], group_limit=1
    )
    for key in groups:
        queue.add(key)
    assert take(queue) == ["x"]
    groups["x"] = groups["y"] = "b"  # the place of x is still in the group that it was taken from
    queue.done("x")
    assert take(queue) == ["y", "z"]
    for key in ("y", "z"):
        queue.done(key)
    assert queue._crowds == {}


def test_a_shut_down_queue_hands_out_nothing_that_was_set_aside(clock: FakeClock) -> None:
    queue = grouped(clock, 1)
    for key in ("a/1", "a/2"):
        queue.add(key)
    take(queue)
    queue.shut_down()
    queue.done("a/1")
    assert take(queue) == []
    assert queue.statistics().set_aside == 0


async def test_done_wakes_a_getter_for_a_key_that_was_set_aside(clock: FakeClock) -> None:
    queue = grouped(clock, 1)
    for key in ("a/1", "a/2"):
        queue.add(key)
    assert await queue.get() == "a/1"
    getting = asyncio.ensure_future(queue.get())
    await settle()
    assert not getting.done()
    queue.done("a/1")
    assert await getting == "a/2"
