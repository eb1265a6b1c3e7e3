"""Whatever is cut off, and wherever: no lease is lost, and the status tells the truth about the Secret."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.fakes.cluster import key
from tests.fakes.dynamic_house import DynamicHouse, dynamic_house
from tests.fakes.lease_vault import CREDS, Fault

Scene = Callable[[DynamicHouse], Awaitable[None]]
_TRIES = 6


async def first(house: DynamicHouse) -> None:
    """Nothing was issued before."""


async def rotation(house: DynamicHouse) -> None:
    await house.pass_over()
    house.wants(params={"ttl": "5m"})


async def second_rotation(house: DynamicHouse) -> None:
    """A replaced lease is still there: it has to make room."""
    await rotation(house)
    await house.pass_over()
    house.wants(params={"ttl": "6m"})


async def secret_gone(house: DynamicHouse) -> None:
    await house.pass_over()
    gone = house.home.cluster.secrets.stored.pop("db")
    notes = house.running.memories.find(key("db"))
    assert notes is not None
    notes.deleted_uid = gone["metadata"]["uid"]  # as the watch tells it


async def truncated(house: DynamicHouse) -> None:
    await house.pass_over()
    house.vault.max_ttl = house.vault.ttl + 10
    await house.home.clock.advance(house.due_in() or 0)


async def lost_behind_its_back(house: DynamicHouse) -> None:
    await house.pass_over()
    house.vault.take_back(house.lease)
    await house.home.clock.advance(house.due_in() or 0)


async def with_consumers(house: DynamicHouse) -> None:
    house.wants(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    house.home.cluster.workload("/apis/apps/v1/namespaces/app/deployments", "web")
    await house.pass_over()
    house.wants(params={"ttl": "5m"})


SCENES = [first, rotation, second_rotation, secret_gone, truncated, lost_behind_its_back, with_consumers]
CASES = [*((scene, True) for scene in SCENES), (rotation, False)]


def excused(house: DynamicHouse, before: set[str], fault: Fault) -> set[str]:
    """The lease that was issued to a process that died, or never heard of it, before the status could name it."""
    unheard = fault.deadly or house.fate.struck.endswith(CREDS)
    return {name for name in house.vault.lent if name not in before | house.named} if unheard else set()


async def struck(house: DynamicHouse, scene: Scene, at: int, fault: Fault) -> set[str]:
    """Play the scene with a fault; return the leases that nobody can know of."""
    await scene(house)
    before = set(house.vault.lent)
    house.fate.strike(at, fault)
    await house.attempt()
    house.fate.at = 0
    assert house.mark in {"", *map(house.digest, house.named)}, f"the Secret holds what no status names: {at}"
    lost = excused(house, before, fault)
    if fault.deadly:
        house.restart()
    return lost


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize(
    ("scene", "full"), CASES, ids=[f"{scene.__name__}-{'full' if full else 'write-only'}" for scene, full in CASES]
)
async def test_no_lease_is_lost_wherever_it_is_cut_off(scene: Scene, fault: Fault, full: bool) -> None:
    at, reached = 0, True
    while reached:
        at += 1
        async with dynamic_house(full=full) as house:
            lost = await struck(house, scene, at, fault)
            reached, where = bool(house.fate.struck), f"request {at}: {house.fate.struck}"
            for _ in range(_TRIES):
                await house.home.clock.advance(3)
                if await house.attempt():
                    break
            else:
                raise AssertionError(f"never in order again after {where}")
            assert set(house.vault.live) - lost <= house.named, where
            assert house.lease in house.vault.live, where
            assert house.mark == house.digest(house.lease), where
            assert "pendingLease" not in house.status, where
            assert house.vault.most_live - len(lost) <= 2, where
            await house.home.clock.advance(31)
            await house.pass_over()
            assert set(house.vault.live) - lost == {house.lease}, where
    assert at > 3
