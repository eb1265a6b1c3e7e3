from __future__ import annotations

import asyncio

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.vault_parts import until
from vso.core.errors import Reason
from vso.runtime.workqueue import Lane
from vso.vault.errors import BreakerOpenError
from vso.vault.limiter import Limiter


class Crowd:
    """Tasks that hold a slot until they are let go, in the order of their entering."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.inside: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._gates: dict[str, asyncio.Event] = {}

    async def come(self, *names: str) -> None:
        for name in names:
            lane = Lane.URGENT if name.startswith("u") else Lane.REFRESH
            self._gates[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._stay(name, lane))
            await settle()

    async def leave(self, name: str) -> None:
        self._gates[name].set()
        await settle()

    async def empty(self) -> None:
        for gate in self._gates.values():
            gate.set()
        await asyncio.wait(self.tasks.values())

    async def _stay(self, name: str, lane: Lane) -> None:
        async with self.limiter.slot(lane):
            self.inside.append(name)
            await self._gates[name].wait()


async def test_two_slots_are_kept_for_the_urgent_lane(clock: FakeClock) -> None:
    crowd = Crowd(Limiter(clock, 4))
    await crowd.come("r1", "r2", "r3", "r4")
    assert crowd.inside == ["r1", "r2"]
    await crowd.come("u1", "u2", "u3")
    assert crowd.inside == ["r1", "r2", "u1", "u2"]
    await crowd.leave("r1")
    assert crowd.inside[-1] == "u3"
    await crowd.leave("u1")
    assert crowd.inside[-1] == "r3"
    await crowd.empty()
    assert crowd.limiter.statistics().active == 0


async def test_a_limit_of_one_still_serves_both_lanes(clock: FakeClock) -> None:
    crowd = Crowd(Limiter(clock, 1))
    await crowd.come("r1", "r2", "u1")
    await crowd.leave("r1")
    await crowd.leave("u1")
    assert crowd.inside == ["r1", "u1", "r2"]
    await crowd.empty()


async def test_a_cancelled_waiter_loses_no_slot(clock: FakeClock) -> None:
    crowd = Crowd(Limiter(clock, 3))
    await crowd.come("r1", "r2", "r3")
    crowd.tasks["r2"].cancel()
    await settle()
    await crowd.leave("r1")
    assert crowd.inside == ["r1", "r3"]
    await crowd.empty()
    assert crowd.limiter.statistics().active == 0


async def test_a_waiter_cancelled_while_it_is_handed_a_slot_gives_it_back(clock: FakeClock) -> None:
    crowd = Crowd(Limiter(clock, 3))
    await crowd.come("r1", "r2", "r3")
    crowd._gates["r1"].set()
    await until(lambda: crowd.limiter.statistics().waiting_refresh == 1)
    crowd.tasks["r2"].cancel()
    await settle()
    assert crowd.inside == ["r1", "r3"]
    await crowd.empty()
    assert crowd.limiter.statistics().active == 0


async def test_waiters_are_woken_with_the_cause(clock: FakeClock) -> None:
    crowd = Crowd(Limiter(clock, 3))
    await crowd.come("r1", "r2", "r3")
    crowd.limiter.fail_waiting(lambda: BreakerOpenError(Reason.VAULT_SEALED, "sealed"))
    await settle()
    for name in ("r2", "r3"):
        with pytest.raises(BreakerOpenError, match="sealed"):
            await crowd.tasks[name]
    await crowd.empty()
    assert crowd.limiter.statistics().active == 0


async def test_the_rate_holds_and_the_urgent_goes_first(clock: FakeClock) -> None:
    crowd = Crowd(Limiter(clock, 16, (1.0, 2)))
    await crowd.come("r1", "r2", "r3", "r4", "u1")
    assert crowd.inside == ["r1", "r2"]
    for _ in range(40):
        await clock.advance(0.1)
    assert crowd.inside[2] == "u1"
    assert 4 <= len(crowd.inside) <= 5
    await clock.advance(5)
    assert len(crowd.inside) == 5
    await crowd.empty()
