"""Losing the lead: the work ends before another begins, and an outage that passes costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.fakes.replicas import CONFIG, Bench
from tests.fakes.runtime import other_tasks, unavailable
from vso.runtime.leader_election import ElectionConfig


def raising(error: Exception) -> Callable[[], None]:
    def fault() -> None:
        raise error

    return fault


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
