"""Who leads: the judgement by table, the replicas by scenario, the safety by invariant."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from tests.fakes.clock import T0, FakeClock
from tests.fakes.runtime import FakeLease, other_tasks, unavailable
from vso.core.errors import VsoError
from vso.runtime.leader_election import (
    Acquire,
    Create,
    ElectionConfig,
    ElectionPlan,
    LeaderElector,
    LeaseRecord,
    Renew,
    Wait,
    plan_election,
)

CONFIG = ElectionConfig()
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


def raising(error: Exception) -> Callable[[], None]:
    def fault() -> None:
        raise error

    return fault


@dataclass
class Replica:
    """A process: its elector, its work and what it said."""

    name: str
    lease: FakeLease
    clock: FakeClock
    working: set[str]
    said: list[tuple[bool, str]] = field(default_factory=list)
    errors: list[VsoError] = field(default_factory=list)
    log: list[tuple[str, float]] = field(default_factory=list)
    config: ElectionConfig = CONFIG
    cleanup_takes: float = 0.0
    finish: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None

    def start(self) -> None:
        self.elector = LeaderElector(
            self.lease.lock(self.name),
            self.name,
            self.clock,
            random.Random(self.name),
            self.config,
            on_change=self.change,
            on_error=self.errors.append,
        )
        self.task = asyncio.ensure_future(self.elector.run(self.work))

    def change(self, leading: bool, holder: str) -> None:
        self.said.append((leading, holder))
        self.log.append(("leads" if leading else "follows", self.clock.monotonic()))

    async def work(self) -> None:
        assert not self.working, "two leaders work at once"
        self.working.add(self.name)
        self.log.append(("began", self.clock.monotonic()))
        try:
            await self.finish.wait()
            if self.error is not None:
                raise self.error
        finally:
            await self.clock.sleep(self.cleanup_takes)
            self.working.discard(self.name)
            self.log.append(("ended", self.clock.monotonic()))

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait((self.task,))


class Bench:
    def __init__(self, *names: str) -> None:
        self.clock = FakeClock()
        self.lease = FakeLease()
        self.working: set[str] = set()
        self.replicas = [Replica(name, self.lease, self.clock, self.working) for name in names]

    async def start(self) -> None:
        for replica in self.replicas:
            replica.start()
            await self.clock.advance(0)

    async def stop(self) -> None:
        # Or giving the lease back would wait for a clock that stands still.
        self.lease.hanging.clear()
        self.lease.answer_after = None
        for replica in self.replicas:
            replica.cleanup_takes = 0.0
        for replica in self.replicas:
            await replica.stop()
        assert not other_tasks()
        assert not self.working


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


@pytest.mark.parametrize("cut_at", [30.0, 30.5, 31.0, 31.9])
@pytest.mark.parametrize("cleanup", [0.0, 4.9])
async def test_a_leader_cut_off_stops_working_before_another_begins(cut_at: float, cleanup: float) -> None:
    # Replica.work asserts at each start that nobody else is still at work.
    bench = Bench("a", "b")
    await bench.start()
    a, b = bench.replicas
    a.cleanup_takes = cleanup
    await bench.clock.advance(cut_at)
    bench.lease.hanging.add("a")
    await bench.clock.advance(60)
    ended = next(at for what, at in a.log if what == "ended")
    began = next(at for what, at in b.log if what == "began")
    assert ended < began
    assert b.elector.is_leader
    await bench.stop()


async def test_a_renewal_that_the_server_took_but_never_answered_gives_no_extra_time() -> None:
    bench = Bench("a", "b")
    await bench.start()
    a, b = bench.replicas
    await bench.clock.advance(31)
    bench.lease.hanging.add("a answers")
    await bench.clock.advance(3)
    bench.lease.hanging.add("a")  # one renewal got through, unanswered; then nothing does
    await bench.clock.advance(60)
    ended = next(at for what, at in a.log if what == "ended")
    began = next(at for what, at in b.log if what == "began")
    assert ended <= 30 + CONFIG.renew_deadline
    assert began - ended >= CONFIG.lease_duration - CONFIG.renew_deadline
    await bench.stop()


async def test_the_gate_shuts_at_the_deadline_even_before_anybody_has_noticed() -> None:
    bench = Bench("a")
    await bench.start()
    (a,) = bench.replicas
    bench.clock.jump(60)
    assert not a.elector.is_leader
    await bench.stop()


async def test_the_time_that_the_answer_takes_is_the_holders_loss() -> None:
    bench = Bench("a")
    await bench.start()
    (a,) = bench.replicas
    bench.lease.answer_after = lambda: bench.clock.sleep(1.5)
    await bench.clock.advance(3.5)  # the renewal of second 2 is answered
    bench.lease.hanging.add("a")
    await bench.clock.advance(30)
    assert ("ended", 2 + CONFIG.renew_deadline) in a.log
    await bench.stop()


async def test_the_work_ends_at_the_deadline_and_not_at_the_next_retry() -> None:
    bench = Bench("a")
    (a,) = bench.replicas
    a.config = ElectionConfig(retry_period=3.0)
    await bench.start()
    for verb in ("get", "update"):
        bench.lease.faults[verb] = raising(unavailable())
    await bench.clock.advance(11.9)
    assert ("ended", 10) in a.log
    await bench.stop()


async def test_losing_the_lease_cancels_the_work_before_it_says_so() -> None:
    bench = Bench("a")
    await bench.start()
    (a,) = bench.replicas
    a.cleanup_takes = 3.0
    bench.lease.hanging.add("a")
    await bench.clock.advance(20)
    assert a.log == [("leads", 0), ("began", 0), ("ended", 13), ("follows", 13)]
    await bench.stop()


async def test_a_former_leader_stands_by_and_leads_again() -> None:
    bench = Bench("a", "b")
    await bench.start()
    a, b = bench.replicas
    bench.lease.hanging.add("a")
    await bench.clock.advance(60)
    bench.lease.hanging.clear()
    await bench.clock.advance(20)
    assert a.said[-1] == (False, "b")
    await b.stop()
    await bench.clock.advance(2)
    assert a.elector.is_leader
    await bench.stop()


async def test_a_lease_taken_by_another_ends_the_work_at_the_next_renewal() -> None:
    bench = Bench("a")
    await bench.start()
    (a,) = bench.replicas
    a.cleanup_takes = 3.0
    await bench.clock.advance(10)
    assert bench.lease.record is not None
    bench.lease.store(replace(bench.lease.record, holder="them"))
    await bench.clock.advance(4)
    assert bench.working  # it is cleaning up
    assert not a.elector.is_leader
    await bench.clock.advance(3)
    assert not bench.working
    assert a.said[-1] == (False, "them")
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


async def test_a_deleted_lease_is_made_again_by_its_leader() -> None:
    bench = Bench("a")
    await bench.start()
    (a,) = bench.replicas
    await bench.clock.advance(5)
    bench.lease.record = None
    await bench.clock.advance(10)
    assert a.said == [(True, "a")]
    assert await bench.lease.lock("test").get() is not None
    await bench.stop()


async def test_a_short_outage_of_the_api_server_does_not_cost_the_lead() -> None:
    bench = Bench("a")
    await bench.start()
    (a,) = bench.replicas
    bench.lease.faults["update"] = raising(unavailable())
    await bench.clock.advance(7)
    bench.lease.faults.clear()
    await bench.clock.advance(20)
    assert a.said == [(True, "a")]
    assert a.errors
    await bench.stop()


async def test_an_outage_of_the_api_server_ends_the_work_at_the_deadline() -> None:
    bench = Bench("a")
    await bench.start()
    (a,) = bench.replicas
    for verb in ("get", "update"):
        bench.lease.faults[verb] = raising(unavailable())
    await bench.clock.advance(30)
    assert ("ended", 10) in a.log
    bench.lease.faults.clear()
    await bench.clock.advance(20)
    assert a.elector.is_leader
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


async def test_a_cancellation_in_the_same_turn_as_the_loss_is_obeyed() -> None:
    bench = Bench("a")
    await bench.start()
    (a,) = bench.replicas
    a.cleanup_takes = 3.0
    bench.lease.hanging.add("a")
    await bench.clock.advance(11)  # lost at 10; the work is cleaning up
    a.task.cancel()
    await bench.clock.advance(CONFIG.release_within)
    assert a.task.cancelled()
    assert not other_tasks()
    bench.working.clear()


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
