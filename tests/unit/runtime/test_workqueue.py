"""The promises of the queue, one by one."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.queues import PLAIN, take_all
from vso.runtime.rate_limiter import RateLimiter
from vso.runtime.workqueue import Lane, QueueClosed, WorkQueue


@pytest.fixture
def queue(clock: FakeClock) -> WorkQueue[str]:
    return WorkQueue(clock, RateLimiter(PLAIN, random.Random(1)), name="test")


def test_a_key_added_many_times_is_handed_out_once(queue: WorkQueue[str]) -> None:
    for _ in range(3):
        queue.add("a")
    assert take_all(queue) == ["a"]


def test_a_key_in_hand_is_not_handed_out_again_before_done(queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert queue.get_nowait() == "a"
    queue.add("a")
    queue.add("a")
    assert queue.get_nowait() is None
    queue.done("a")
    assert take_all(queue) == ["a"]


async def test_it_says_when_a_key_is_handed_out_again(queue: WorkQueue[str], clock: FakeClock) -> None:
    assert queue.due_in("a") is None
    queue.add("a")
    assert queue.due_in("a") == 0
    queue.get_nowait()
    assert queue.due_in("a") is None
    queue.add_after("a", 9)
    queue.add_after("a", 5)
    await clock.advance(2)
    assert queue.due_in("a") == 3
    queue.add("a")  # it is in hand
    assert queue.due_in("a") == 0
    queue.done("a")
    assert queue.due_in("a") == 0
    queue.shut_down()
    assert queue.due_in("a") is None


async def test_a_key_that_is_set_aside_waits_for_its_group_and_no_timer(clock: FakeClock) -> None:
    queue: WorkQueue[str] = WorkQueue(
        clock, RateLimiter(PLAIN, random.Random(1)), group=lambda _: "vault", group_limit=1
    )
    queue.add("a")
    queue.add("b")
    queue.get_nowait()
    queue.get_nowait()
    assert queue.due_in("b") == 0


def test_first_come_first_served_within_a_lane(queue: WorkQueue[str]) -> None:
    for key in "cab":
        queue.add(key)
    assert take_all(queue) == ["c", "a", "b"]


def test_a_new_key_is_served_before_10_000_due_refreshes(queue: WorkQueue[str]) -> None:
    for number in range(10_000):
        queue.add(str(number), Lane.REFRESH)
    queue.add("new")
    assert queue.get_nowait() == "new"


def test_the_rank_of_a_new_key_is_two_at_worst(queue: WorkQueue[str]) -> None:
    for number in range(10_000):
        queue.add(str(number), Lane.REFRESH)
    for number in range(8):
        queue.add(f"urgent {number}")
    for _ in range(8):
        queue.get_nowait()
    queue.add("new")
    assert [queue.get_nowait(), queue.get_nowait()] == ["0", "new"]


def test_the_refresh_lane_does_not_starve(queue: WorkQueue[str]) -> None:
    queue.add("refresh", Lane.REFRESH)
    for number in range(100):
        queue.add(f"urgent {number}")
    assert take_all(queue).index("refresh") == 8


def test_a_waiting_refresh_that_turns_urgent_is_promoted(queue: WorkQueue[str]) -> None:
    queue.add("a", Lane.REFRESH)
    queue.add("b", Lane.REFRESH)
    queue.add("b", Lane.URGENT)
    assert take_all(queue) == ["b", "a"]


def test_an_urgent_key_is_not_demoted(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add("a", Lane.REFRESH)
    assert queue.statistics().ready_urgent == 1
    assert queue.statistics().ready_refresh == 0


def test_a_key_added_urgently_while_in_hand_comes_back_urgent(queue: WorkQueue[str]) -> None:
    queue.add("a", Lane.REFRESH)
    queue.get_nowait()
    queue.add("a", Lane.REFRESH)
    queue.add("a", Lane.URGENT)
    queue.add("a", Lane.REFRESH)
    queue.done("a")
    assert queue.statistics().ready_urgent == 1


async def test_of_two_wishes_for_later_the_earlier_wins(clock: FakeClock, queue: WorkQueue[str]) -> None:
    queue.add_after("a", 60)
    queue.add_after("a", 10)
    await clock.advance(10)
    assert take_all(queue) == ["a"]
    await clock.advance(100)
    assert take_all(queue) == []


async def test_a_retry_asked_later_than_an_existing_one_changes_nothing(
    clock: FakeClock, queue: WorkQueue[str]
) -> None:
    queue.add_after("a", 10, Lane.REFRESH)
    queue.add_after("a", 60, Lane.URGENT)
    await clock.advance(10)
    assert queue.get_nowait() == "a"
    assert queue.statistics().delayed == 0


async def test_taking_a_key_fulfils_its_wish_for_later(clock: FakeClock, queue: WorkQueue[str]) -> None:
    queue.add_after("a", 60)
    queue.add("a")
    assert take_all(queue) == ["a"]
    await clock.advance(60)
    assert take_all(queue) == []


async def test_a_wish_for_later_made_while_in_hand_is_kept(clock: FakeClock, queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.get_nowait()
    queue.add_after("a", 5)
    await clock.advance(5)
    assert queue.get_nowait() is None
    queue.done("a")
    assert take_all(queue) == ["a"]


def test_failures_in_a_row_back_off_and_forget_starts_anew(queue: WorkQueue[str]) -> None:
    due = []
    for _ in range(3):
        queue.add_rate_limited("a")
        due.append(queue._delayed.get("a"))
        queue._forget_delay("a")
    queue.forget("a")
    queue.add_rate_limited("a")
    assert [*due, queue._delayed.get("a")] == [1, 2, 4, 1]


def test_a_retry_waits_at_least_as_long_as_the_server_asked(queue: WorkQueue[str]) -> None:
    queue.add_rate_limited("a", at_least=30.0)
    assert queue._delayed.get("a") == 30.0


def test_a_spread_moves_the_wish_by_up_to_its_fraction(queue: WorkQueue[str]) -> None:
    for number in range(100):
        queue.add_after(str(number), 300, spread=0.1)
    due = [queue._delayed.get(str(number)) or 0 for number in range(100)]
    assert 270 <= min(due) < 280
    assert 320 < max(due) <= 330


def test_a_dropped_key_is_forgotten_wholly(queue: WorkQueue[str]) -> None:
    queue.add("ready")
    queue.add_rate_limited("failing")
    queue.add("held")
    queue.drop("ready")
    assert queue.get_nowait() == "held"
    queue.add("held")
    queue.drop("held")
    queue.drop("failing")
    queue.done("held")
    stats = queue.statistics()
    assert (len(queue), stats.delayed, stats.processing, stats.failures) == (0, 0, 0, 0)


async def test_a_getter_wakes_for_a_key_added_later(clock: FakeClock, queue: WorkQueue[str]) -> None:
    getting = asyncio.ensure_future(queue.get())
    await settle()
    assert not getting.done()
    queue.add("a")
    assert await getting == "a"


async def test_one_add_wakes_one_getter(clock: FakeClock, queue: WorkQueue[str]) -> None:
    getters = [asyncio.ensure_future(queue.get()) for _ in range(4)]
    await settle()
    queue.add("a")
    await settle()
    assert sum(getter.done() for getter in getters) == 1
    assert queue.statistics().parked == 3
    for getter in getters:
        getter.cancel()


async def test_as_many_getters_wake_as_keys_come(queue: WorkQueue[str]) -> None:
    async with asyncio.TaskGroup() as getters:
        tasks = [getters.create_task(queue.get()) for _ in range(4)]
        await settle()
        for key in "abcd":
            queue.add(key)
    assert sorted(task.result() for task in tasks) == ["a", "b", "c", "d"]


async def test_a_delayed_key_wakes_a_getter_when_it_is_due(clock: FakeClock, queue: WorkQueue[str]) -> None:
    getters = [asyncio.ensure_future(queue.get()) for _ in range(3)]
    await settle()
    queue.add_after("late", 20)
    queue.add_after("early", 10)  # sooner than what the timer was set to
    await clock.advance(9)
    assert not any(getter.done() for getter in getters)
    await clock.advance(1)
    assert [getter.result() for getter in getters if getter.done()] == ["early"]
    await clock.advance(10)
    assert sorted(getter.result() for getter in getters if getter.done()) == ["early", "late"]
    assert clock.sleeping == 0
    getters[-1].cancel()


async def test_only_one_getter_watches_the_timer(clock: FakeClock, queue: WorkQueue[str]) -> None:
    queue.add_after("a", 10)
    getters = [asyncio.ensure_future(queue.get()) for _ in range(32)]
    await settle()
    assert clock.sleeping == 1
    for getter in getters:
        getter.cancel()


async def test_shut_down_hands_out_nothing_more_and_wakes_everyone(clock: FakeClock, queue: WorkQueue[str]) -> None:
    queue.add("held")
    assert await queue.get() == "held"
    getters = [asyncio.ensure_future(queue.get()) for _ in range(3)]
    await settle()
    queue.add("held")
    queue.add_after("later", 1)
    queue.shut_down()
    queue.add("new")
    queue.add_after("newer", 1)
    await settle()
    assert all(isinstance(getter.exception(), QueueClosed) for getter in getters)
    queue.done("held")
    await clock.advance(10)
    with pytest.raises(QueueClosed):
        await queue.get()
    assert queue.statistics().processing == 0


def test_ten_thousand_keys_are_taken_in_linear_time(queue: WorkQueue[str]) -> None:
    # Counted, not timed: popping the front must not walk over what was popped before.
    for number in range(10_000):
        queue.add(str(number), Lane.REFRESH)
    assert take_all(queue) == [str(number) for number in range(10_000)]
