"""A lease that the reference operator left behind: taken over with its Secret, and replaced before it can end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.clock import T0
from tests.fakes.cluster import Json
from tests.fakes.dynamic_house import DynamicHouse, dynamic_house
from tests.fakes.lease_vault import CREDS
from tests.fakes.vault_server import errors

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


async def until_replaced(house: DynamicHouse) -> float:
    """Let the time pass until there are new credentials; the seconds."""
    began = house.home.clock.monotonic()
    while house.lease == LEASE:
        assert LEASE in house.vault.live, "the Secret never holds credentials that have ended"
        await house.until_due()
    return house.home.clock.monotonic() - began


@pytest.mark.parametrize("token_ttl", [400, 3600, 100_000], ids=["brief", "long", "longer-than-leases"])
async def test_it_is_replaced_once_in_the_first_quarter_of_a_tokens_life_and_its_consumers_follow(
    house: DynamicHouse, token_ttl: int
) -> None:
    house.home.tokens.ttl = token_ttl
    await house.pass_over()
    restarts = len(writes(house))
    assert await until_replaced(house) <= token_ttl / 4
    assert house.lease == f"{CREDS}/2"
    assert house.status["retiredLeases"][0]["id"] == LEASE
    assert house.mark == house.digest(house.lease)
    assert len([line for line in writes(house)[restarts:] if "deployments" in line]) == 1


async def test_under_a_token_that_does_not_end_it_is_replaced_before_its_first_renewal(house: DynamicHouse) -> None:
    house.home.tokens.ttl = 0
    await house.pass_over()
    assert await until_replaced(house) < 600 * 0.67
    assert house.home.vault.asked("sys/leases/renew") == []


async def test_one_that_is_gone_is_replaced_at_once_and_its_consumers_restart(house: DynamicHouse) -> None:
    house.vault.take_back(LEASE)
    restarts = len(writes(house))
    await house.pass_over()
    assert house.lease == f"{CREDS}/2"
    assert house.status["history"][0]["reason"] == "LeaseNotFound"
    assert len([line for line in writes(house)[restarts:] if "deployments" in line]) == 1


async def test_a_policy_that_lets_nobody_look_leases_up_does_not_stand_in_the_way(house: DynamicHouse) -> None:
    house.home.vault.on("PUT", "sys/leases/lookup", errors(403, "permission denied"))
    await house.pass_over()
    assert (house.lease, house.status["rolledOutDigest"]) == (LEASE, house.digest(LEASE))


async def test_while_vault_is_away_all_stays_and_is_taken_over_afterwards(house: DynamicHouse) -> None:
    secret = house.home.cluster.secrets.stored["db"]
    house.home.vault.on("PUT", "sys/leases/lookup", errors(503, "Vault is sealed"))
    assert not await house.attempt()
    house.home.vault.on("PUT", "sys/leases/lookup", house.vault.lookup)
    await house.home.clock.advance(60)
    await house.pass_over()
    assert house.home.cluster.secrets.stored["db"] == secret
    assert house.status["rolledOutDigest"] == house.digest(LEASE)


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
    house.home.tokens.ttl = 1_000_000
    leave(house, secretLease={"id": LEASE, "duration": 100_000, "renewable": True, "requestID": "r1"})
    house.vault.lent[LEASE].ends = 100_000
    await house.pass_over()
    for _ in range(3):
        await house.home.clock.advance(700)
        await house.pass_over()
    assert (house.vault.live, house.lease) == ([LEASE], LEASE)
