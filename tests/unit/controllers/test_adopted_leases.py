"""A lease that the reference operator left behind: taken over with its Secret, and replaced before it can end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.clock import T0
from tests.fakes.cluster import Json
from tests.fakes.dynamic_house import DynamicHouse, dynamic_house
from tests.fakes.lease_vault import CREDS, Fault
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
    good = ("Healthy", "Ready", "SecretSynced")
    conditions = [{"type": name, "status": "True", "reason": name, "message": name} for name in good]
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


def label(house: DynamicHouse, at: str = "") -> None:
    """Have somebody else put a label on, or write data at that time."""
    meta = house.home.cluster.secrets.stored["db"]["metadata"]
    meta["labels"]["foreign"] = "yes"
    meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 5000)
    if at:
        meta["managedFields"].append({"manager": "kubectl", "operation": "Update", "time": at,
                                      "fieldsV1": {"f:data": {"f:password": {}}}})  # fmt: skip


def stamp(house: DynamicHouse) -> str:
    return house.home.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def deployments(house: DynamicHouse) -> int:
    return len([line for line in writes(house) if "deployments" in line])


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


def long_lease(house: DynamicHouse, **changes: Any) -> None:
    """A lease of days, under a token of an hour."""
    house.home.tokens.ttl = 3600
    leave(house, secretLease={"id": LEASE, "duration": 500_000, "renewable": True, "requestID": "r1"}, **changes)
    house.vault.lent[LEASE].ends = 500_000


async def test_where_leases_may_not_be_looked_up_it_is_replaced_before_its_token_can_end(house: DynamicHouse) -> None:
    long_lease(house)
    house.home.vault.on("PUT", "sys/leases/lookup", errors(403, "permission denied"))
    await house.pass_over()
    assert (house.lease, house.status["rolledOutDigest"]) == (LEASE, house.digest(LEASE))
    assert await until_replaced(house) <= 900


@pytest.mark.parametrize(("seconds", "kept"), [(800, True), (890, False), (2000, False)])
async def test_the_life_of_its_token_counts_from_the_last_sign_of_the_reference(
    house: DynamicHouse, seconds: float, kept: bool
) -> None:
    long_lease(house)
    await house.home.clock.advance(seconds)
    await house.pass_over()
    assert (house.lease == LEASE) is kept
    if kept:
        assert await until_replaced(house) <= 900 - seconds
        return
    assert LEASE in house.vault.live, "its consumers use it until they have restarted"
    assert house.status["history"][0]["reason"] == "VaultTokenRotated"
    assert house.status["retiredLeases"][0]["id"] == LEASE
    assert deployments(house) == 1


@pytest.mark.parametrize(
    "conditions",
    [
        pytest.param([], id="none"),
        pytest.param([{"type": "Healthy", "status": "True"}, {"type": "SecretSynced", "status": "False"}], id="failed"),
        pytest.param([{"type": "Healthy", "status": "False"}, {"type": "SecretSynced", "status": "True"}], id="ill"),
        pytest.param(
            [
                {"type": "Healthy", "status": "True", "observedGeneration": 1},
                {"type": "SecretSynced", "status": "True", "observedGeneration": 7},
            ],
            id="of-another-generation",
        ),
    ],
)
@pytest.mark.parametrize("away", [False, True])
async def test_an_edit_that_the_reference_failed_with_brings_new_credentials(
    house: DynamicHouse, conditions: list[Json], away: bool
) -> None:
    leave(house, conditions=[{"reason": "x", "message": "x", "lastTransitionTime": None, **c} for c in conditions])
    if away:
        house.vault.fate.strike(1, Fault.BROKEN)
        await house.attempt()
        await house.home.clock.advance(60)
    await house.pass_over()
    assert house.lease == f"{CREDS}/2"
    assert house.status["retiredLeases"][0]["id"] == LEASE
    assert deployments(house) == 1


async def test_what_was_asked_for_by_annotation_before_is_handled(house: DynamicHouse) -> None:
    house.wants(metadata={"annotations": {"vso.hashicorp.com/resync": "long ago"}})
    leave(house)
    await house.pass_over()
    await house.pass_over()
    assert (house.lease, house.status["lastHandledResync"]) == (LEASE, "long ago")


async def test_a_foreign_label_on_what_was_taken_over_is_no_reason_for_new_credentials(house: DynamicHouse) -> None:
    await house.pass_over()
    label(house)
    house.restart()
    await house.pass_over()
    assert house.lease == LEASE


async def test_new_labels_of_its_own_are_no_reason_for_new_credentials_either(house: DynamicHouse) -> None:
    await house.pass_over()
    house.wants(destination={**house.spec["destination"], "labels": {"team": "a"}})
    await house.pass_over()
    label(house)
    house.restart()
    await house.pass_over()
    assert house.lease == LEASE


async def test_a_foreign_write_to_what_was_taken_over_is_replaced(house: DynamicHouse) -> None:
    await house.pass_over()
    await house.home.clock.advance(5)
    label(house, stamp(house))
    house.restart()
    await house.pass_over()
    await house.home.clock.advance(700)
    await house.pass_over()
    assert house.status["history"][-1]["reason"] == "SecretDataDrift"


async def test_one_that_is_replaced_at_once_is_replaced_once_while_its_restart_waits_for_company() -> None:
    async with dynamic_house(company=5.0) as house:
        house.wants(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
        house.home.cluster.workload(WEB, "web")
        await house.pass_over()
        house.restart()
        long_lease(house)
        await house.home.clock.advance(2000)
        await house.pass_over()
        for _ in range(3):
            await house.until_due()
        assert list(house.vault.lent) == [LEASE, f"{CREDS}/2"]
        assert [entry["reason"] for entry in house.status["history"]] == ["VaultTokenRotated"]
