"""A lease that the reference operator left behind: taken over with its Secret, and replaced before it can end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.clock import T0
from tests.fakes.cluster import Json
from tests.fakes.dynamic_house import DYNAMIC, DynamicHouse, dynamic_house
from tests.fakes.lease_vault import CREDS

LEASE = f"{CREDS}/1"
PATH = "/apis/secrets.hashicorp.com/v1beta1/namespaces/app/vaultdynamicsecrets/db"
WEB = "/apis/apps/v1/namespaces/app/deployments"


@pytest.fixture(params=[True, False], ids=["full", "write-only"])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[DynamicHouse]:
    """Credentials as the reference operator leaves them, and a process of ours that knows nothing yet."""
    async with dynamic_house(full=request.param) as opened:
        opened.wants(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
        opened.home.cluster.workload(WEB, "web")
        await opened.pass_over()
        leave(opened)
        opened.restart()
        yield opened


def leave(house: DynamicHouse, **changes: Any) -> None:
    """Turn what our own process has written into what the reference operator writes."""
    cluster = house.home.cluster
    stored = cluster.objects[PATH]
    lease = {"id": LEASE, "duration": 600, "renewable": True, "requestID": "r1"}
    conditions = [{"type": name, "status": "True", "reason": name, "message": name} for name in ("Healthy", "Ready")]
    status: Json = {
        "lastRenewalTime": int(T0.timestamp()),
        "lastGeneration": stored["metadata"]["generation"],
        "secretLease": lease,
        "lastRuntimePodUID": "theirs",
        "vaultClientMeta": {"cacheKey": "kubernetes-2a8108711ae49ac0faa724", "id": "0" * 64},
        "conditions": conditions,
        **changes,
    }
    cluster.objects[PATH] = {**stored, "status": status}
    meta = cluster.secrets.stored["db"]["metadata"]
    meta.pop("annotations", None)
    meta["managedFields"][0]["manager"] = "theirs"


def writes(house: DynamicHouse) -> list[str]:
    """What reached a Secret or a workload and was no dry run."""
    seen = house.home.api.requests
    return [
        asked.path
        for asked in seen
        if asked.path.endswith(("namespaces/app/secrets/db", "deployments/web"))
        and asked.json
        and "dryRun" not in asked.query
    ]


async def test_neither_lease_nor_secret_nor_consumer_is_touched(house: DynamicHouse) -> None:
    secret = house.home.cluster.secrets.stored["db"]
    before = writes(house)
    await house.pass_over()
    assert house.home.cluster.secrets.stored["db"] == secret
    assert (house.vault.live, house.lease, writes(house)) == ([LEASE], LEASE, before)
    assert house.home.vault.asked("sys/leases/renew") == []
    told = house.status
    assert told["destination"]["resourceVersion"] == secret["metadata"]["resourceVersion"]
    assert told["rolledOutDigest"] == house.digest(LEASE)
    assert told["expires"] == T0.replace(minute=T0.minute + 10).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert {c["type"]: c["status"] for c in told["conditions"]}["Ready"] == "True"


async def test_a_second_look_asks_for_nothing(house: DynamicHouse) -> None:
    await house.pass_over()
    status, seen = house.status, len(house.home.api.requests)
    await house.pass_over()
    assert (house.status, len(house.home.api.requests)) == (status, seen)


async def test_it_is_replaced_once_before_its_first_renewal_and_its_consumers_follow(house: DynamicHouse) -> None:
    await house.pass_over()
    due = house.due_in()
    assert due is not None
    assert 0 < due < 600 * 0.67
    restarts = len(writes(house))
    await house.until_due()
    assert house.home.vault.asked("sys/leases/renew") == []
    assert house.lease == f"{CREDS}/2"
    assert house.status["retiredLeases"][0]["id"] == LEASE
    assert house.mark == house.digest(house.lease)
    assert len([line for line in writes(house)[restarts:] if "deployments" in line]) == 1


async def test_a_secret_that_is_gone_brings_new_credentials_and_the_old_lease_is_retired(house: DynamicHouse) -> None:
    del house.home.cluster.secrets.stored["db"]
    await house.pass_over()
    assert house.lease == f"{CREDS}/2"
    assert house.status["retiredLeases"][0]["id"] == LEASE


async def test_a_secret_of_another_object_is_not_taken_over(house: DynamicHouse) -> None:
    meta = house.home.cluster.secrets.stored["db"]["metadata"]
    meta["labels"]["secrets.hashicorp.com/vso-ownerRefUID"] = "somebody-elses"
    assert not await house.attempt() or "destination" not in house.status
    assert "destination" not in house.status


async def test_an_edit_that_the_reference_has_not_seen_brings_new_credentials(house: DynamicHouse) -> None:
    house.wants(params={"ttl": "5m"})
    await house.pass_over()
    assert house.lease == f"{CREDS}/2"


async def test_nobody_who_wrote_before_the_change_counts_as_a_stranger_afterwards(house: DynamicHouse) -> None:
    house.vault.ttl = 100_000
    leave(house, secretLease={"id": LEASE, "duration": 100_000, "renewable": True, "requestID": "r1"})
    house.vault.lent[LEASE].ends = 100_000
    await house.pass_over()
    for _ in range(3):
        await house.home.clock.advance(700)
        await house.pass_over()
    assert (house.vault.live, house.lease) == ([LEASE], LEASE)
