"""Who leads: the judgement by table, the replicas by scenario, the safety by invariant."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.fakes.clock import T0
from tests.fakes.replicas import CONFIG, Bench
from tests.fakes.runtime import other_tasks
from vso.runtime.leader_election import (
    Acquire,
    Create,
    ElectionConfig,
    ElectionPlan,
    LeaseRecord,
    Renew,
    Wait,
    plan_election,
)

MINE = LeaseRecord("me", 15, T0, T0, resource_version="3")
THEIRS = replace(MINE, holder="them")
FREE = replace(MINE, holder="", duration_seconds=1)


@pytest.mark.parametrize(
    ("record", "now", "expected"),
    [
        pytest.param(None, 100.0, Create(), id="no-lease"),
        pytest.param(MINE, 100.0, Renew(MINE), id="mine"),
        pytest.param(FREE, 100.0, Acquire(FREE), id="given-back-is-taken-at-once"),
        pytest.param(THEIRS, 100.0, Wait("them", 1.0), id="theirs-and-alive"),
        pytest.param(THEIRS, 114.9, Wait("them", 1.0), id="theirs-and-about-to-expire"),
        pytest.param(THEIRS, 115.0, Acquire(THEIRS), id="theirs-and-dead"),
        pytest.param(replace(THEIRS, duration_seconds=60), 150.0, Wait("them", 1.0), id="they-asked-for-longer"),
        pytest.param(replace(THEIRS, duration_seconds=0), 110.0, Wait("them", 1.0), id="nonsense-is-not-trusted"),
    ],
)
def test_the_plan(record: LeaseRecord | None, now: float, expected: ElectionPlan) -> None:
    assert plan_election(record, "me", 100.0, now, CONFIG) == expected


@pytest.mark.parametrize(
    "bad",
    [
        {"lease_duration": 10.0, "renew_deadline": 10.0},
        {"renew_deadline": 2.0, "retry_period": 2.0},
        {"standby_poll": 0.0},
    ],
)
def test_a_config_whose_deadline_is_not_strictly_before_the_leases_end_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="leader election needs"):
        ElectionConfig(**bad)


async def test_the_first_to_come_leads_and_the_others_stand_by() -> None:
    bench = Bench("a", "b")
    await bench.start()
    await bench.clock.advance(120)
    a, b = bench.replicas
    assert a.elector.is_leader
    assert not b.elector.is_leader
    assert a.said == [(True, "a")]
    assert b.said == [(False, "a")]
    await bench.stop()


async def test_a_leader_renews_every_two_seconds_with_one_request() -> None:
    bench = Bench("a")
    await bench.start()
    bench.lease.calls.clear()
    await bench.clock.advance(20)
    assert bench.lease.calls == ["a update"] * 10
    await bench.stop()


async def test_a_released_lease_is_taken_within_one_second() -> None:
    for moment in (33.0, 33.3, 33.9):
        bench = Bench("a", "b")
        await bench.start()
        a, b = bench.replicas
        await bench.clock.advance(moment)
        await a.stop()
        released_at = bench.clock.monotonic()
        await bench.clock.advance(1.0)
        assert b.elector.is_leader
        assert b.log[-1][1] - released_at <= 1.0
        await bench.stop()


async def test_the_lease_is_given_back_only_after_the_work_has_ended() -> None:
    bench = Bench("a", "b")
    await bench.start()
    a, b = bench.replicas
    a.cleanup_takes = 4.0
    await bench.clock.advance(10)
    a.task.cancel()
    await bench.clock.advance(3.9)
    assert bench.lease.record is not None
    assert bench.lease.record.holder == "a"
    await bench.clock.advance(1.2)
    assert b.elector.is_leader
    await bench.stop()


async def test_a_dead_leader_is_succeeded_after_the_lease_has_run_out() -> None:
    bench = Bench("a", "b")
    await bench.start()
    _, b = bench.replicas
    await bench.clock.advance(30)
    bench.lease.hanging.add("a")
    await bench.clock.advance(13)
    assert b.said == [(False, "a")]
    await bench.clock.advance(4)
    assert b.elector.is_leader
    assert bench.lease.record is not None
    assert bench.lease.record.transitions == 1
    await bench.stop()


async def test_an_edit_of_labels_costs_a_leader_nothing() -> None:
    bench = Bench("a")
    await bench.start()
    (a,) = bench.replicas
    for _ in range(20):
        await bench.clock.advance(3)
        assert bench.lease.record is not None
        bench.lease.store(bench.lease.record)  # only the version moves
    assert a.said == [(True, "a")]
    await bench.stop()


async def test_edits_of_labels_are_no_sign_of_life_of_a_dead_leader() -> None:
    bench = Bench("a", "b")
    await bench.start()
    _, b = bench.replicas
    bench.lease.hanging.add("a")
    for _ in range(20):
        await bench.clock.advance(1)
        assert bench.lease.record is not None
        if bench.lease.record.holder == "a":
            bench.lease.store(bench.lease.record)
    assert b.elector.is_leader
    await bench.stop()


async def test_a_release_that_hangs_is_bounded() -> None:
    bench = Bench("a")
    await bench.start()
    (a,) = bench.replicas
    await bench.clock.advance(1)
    bench.lease.hanging.add("a")
    a.task.cancel()
    await bench.clock.advance(CONFIG.release_within)
    assert a.task.cancelled()
    assert not other_tasks()
    assert a.errors


async def test_a_renewal_cut_off_after_the_server_took_it_does_not_spoil_the_release() -> None:
    bench = Bench("a")
    await bench.start()
    (a,) = bench.replicas
    await bench.clock.advance(3)
    bench.lease.hanging.add("a answers")
    await bench.clock.advance(2)  # the renewal at 4 s is under way
    a.task.cancel()
    await asyncio.sleep(0)
    bench.lease.hanging.clear()
    await bench.clock.advance(1)
    assert a.task.cancelled()
    assert bench.lease.record is not None
    assert bench.lease.record.holder == ""


async def test_work_that_ends_by_itself_gives_the_lease_back_and_ends_the_run() -> None:
    bench = Bench("a", "b")
    await bench.start()
    a, b = bench.replicas
    await bench.clock.advance(3)
    a.finish.set()
    await bench.clock.advance(1)
    assert a.task.done()
    assert a.task.result() is None
    assert a.said[-1] == (False, "")
    assert b.elector.is_leader
    await bench.stop()


async def test_work_that_fails_gives_the_lease_back_and_its_error_comes_out() -> None:
    bench = Bench("a")
    await bench.start()
    (a,) = bench.replicas
    a.error = KeyError("bug")
    a.finish.set()
    await bench.clock.advance(1)
    assert isinstance(a.task.exception(), ExceptionGroup)
    assert bench.lease.record is not None
    assert bench.lease.record.holder == ""


async def test_of_many_candidates_exactly_one_takes_a_lease_given_back() -> None:
    bench = Bench(*"abcdefgh")
    await bench.start()
    await bench.clock.advance(10)
    await bench.replicas[0].stop()
    await bench.clock.advance(1)
    assert sum(replica.elector.is_leader for replica in bench.replicas[1:]) == 1
    await bench.clock.advance(60)
    assert sum(replica.elector.is_leader for replica in bench.replicas[1:]) == 1
    await bench.stop()
