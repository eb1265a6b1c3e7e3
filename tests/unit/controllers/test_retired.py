"""A replaced lease lives on while consumers change over, and no longer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fakes.cluster import Json
from tests.fakes.dynamic_house import DynamicHouse, dynamic_house
from tests.fakes.lease_vault import CREDS
from tests.fakes.vault_server import errors

REVOKE = "sys/leases/revoke"
WEB = "/apis/apps/v1/namespaces/app/deployments"
OLD, NEW = f"{CREDS}/1", f"{CREDS}/2"


@pytest.fixture
async def house() -> AsyncIterator[DynamicHouse]:
    async with dynamic_house() as opened:
        yield opened


async def rotated(house: DynamicHouse) -> None:
    await house.pass_over()
    house.wants(params={"ttl": "5m"})
    await house.pass_over()


def consumer(house: DynamicHouse, **status: int) -> Json:
    house.wants(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    house.home.cluster.workload(WEB, "web")["status"] = status
    return house.home.cluster.workloads[f"{WEB}/web"]


async def test_without_consumers_it_lives_as_long_as_is_set(house: DynamicHouse) -> None:
    await rotated(house)
    assert (house.vault.live, house.due_in()) == ([OLD, NEW], 30)
    await house.home.clock.advance(29)
    await house.pass_over()
    assert house.vault.live == [OLD, NEW]
    await house.until_due()
    assert (house.vault.live, house.named) == ([NEW], {NEW})


async def test_it_goes_as_soon_as_the_consumers_have_changed_over(house: DynamicHouse) -> None:
    consumer(house, updatedReplicas=0)
    await rotated(house)
    assert house.due_in() == 2
    await house.until_due()
    assert house.vault.live == [OLD, NEW]
    done = {"updatedReplicas": 1, "availableReplicas": 1, "replicas": 1}
    house.home.cluster.workloads[f"{WEB}/web"]["status"] = done
    await house.until_due()
    assert (house.vault.live, house.named) == ([NEW], {NEW})


async def test_consumers_that_never_change_over_do_not_keep_it(house: DynamicHouse) -> None:
    consumer(house, updatedReplicas=0)
    await rotated(house)
    for _ in range(16):
        await house.until_due()
    assert house.vault.live == [NEW]


async def test_it_is_given_back_later_while_vault_cannot(house: DynamicHouse) -> None:
    await rotated(house)
    house.home.vault.on("PUT", REVOKE, errors(500, "internal error"))
    await house.until_due()
    assert house.named == {OLD, NEW}
    assert house.due_in() == pytest.approx(10)
    house.home.vault.on("PUT", REVOKE, house.vault.revoke)
    await house.until_due()
    assert (house.vault.live, house.named) == ([NEW], {NEW})


async def test_what_the_policy_forbids_is_left_to_its_end(house: DynamicHouse) -> None:
    await rotated(house)
    house.home.vault.on("PUT", REVOKE, errors(403, "permission denied"))
    await house.until_due()
    assert house.named == {NEW}


async def test_a_third_lease_waits_until_the_first_is_given_back(house: DynamicHouse) -> None:
    await rotated(house)
    house.home.vault.on("PUT", REVOKE, errors(500, "internal error"))
    house.wants(params={"ttl": "6m"})
    assert not await house.attempt()
    assert (house.vault.most_live, house.lease) == (2, NEW)
