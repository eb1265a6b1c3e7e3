"""An elector cancelled at any await has joined its work and does not sit on the lease."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from tests.cancellation.sweep import cancel_after
from tests.fakes.clock import T0, FakeClock
from tests.fakes.runtime import FakeLease, other_tasks
from vso.runtime.leader_election import ElectionConfig, LeaderElector, LeaseRecord

THEIRS = LeaseRecord("them", 15, T0, T0)


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.lease = FakeLease()
        self.working = False
        self.elector = LeaderElector(self.lease.lock("me"), "me", self.clock, random.Random(1), ElectionConfig())

    async def work(self) -> None:
        self.working = True
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.working = False

    def assert_clean(self) -> None:
        assert not self.working
        assert not self.elector.is_leader
        assert self.lease.record is None or self.lease.record.holder != "me"
        assert not other_tasks()


@pytest.mark.parametrize("turns", range(16))
@pytest.mark.parametrize("record", [None, replace(THEIRS, holder=""), THEIRS])
async def test_cancelled_on_the_way_to_the_lead(record: LeaseRecord | None, turns: int) -> None:
    bench = Bench()
    if record is not None:
        bench.lease.store(record)
    running = await cancel_after(turns, bench.elector.run(bench.work))
    await asyncio.wait((running,))
    assert running.cancelled()
    bench.assert_clean()


@pytest.mark.parametrize("turns", range(8))
async def test_cancelled_in_a_renewal(turns: int) -> None:
    bench = Bench()
    running = asyncio.ensure_future(bench.elector.run(bench.work))
    await bench.clock.advance(1.9)
    bench.clock.jump(0.1)
    stepping = asyncio.ensure_future(bench.clock.advance(0))
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait((running, stepping))
    assert running.cancelled()
    bench.assert_clean()


@pytest.mark.parametrize("verb", ["get", "update", "create"])
async def test_cancelled_while_the_server_hangs_the_release_is_bounded(verb: str) -> None:
    bench = Bench()
    bench.lease.hanging.add("me")
    if verb != "create":
        bench.lease.store(THEIRS if verb == "get" else replace(THEIRS, holder=""))
    running = asyncio.ensure_future(bench.elector.run(bench.work))
    await bench.clock.advance(1)
    running.cancel()
    await bench.clock.advance(3)
    assert running.cancelled()
    assert not other_tasks()


async def test_a_second_cancellation_cuts_the_release_short() -> None:
    bench = Bench()
    running = asyncio.ensure_future(bench.elector.run(bench.work))
    await bench.clock.advance(5)
    bench.lease.hanging.add("me")
    running.cancel()
    await bench.clock.advance(0)
    assert not running.done()
    running.cancel()
    await bench.clock.advance(0)
    assert running.cancelled()
    assert not bench.working
    assert not other_tasks()
