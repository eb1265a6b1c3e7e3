"""A lease that a pass was cut off with, after its credentials had reached the Secret."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.fakes.clock import T0
from tests.fakes.dynamic_house import DynamicHouse, dynamic_house
from tests.fakes.lease_vault import CREDS, Fault
from tests.fakes.shelf import MemoryShelf
from tests.fakes.vault_server import errors

SETTLING = 5
"""Which request of a first pass is the status that says that all is done."""
LEASE = f"{CREDS}/1"


@pytest.fixture
async def house() -> AsyncIterator[DynamicHouse]:
    async with dynamic_house() as opened:
        yield opened


def moment(seconds: float) -> str:
    return (T0 + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def cut_off(house: DynamicHouse, fault: Fault) -> None:
    """Have a first pass end before its last write, and go on 100 s later."""
    house.fate.strike(SETTLING, fault)
    assert not await house.attempt()
    assert house.fate.struck.endswith("/status")
    assert (house.status["pendingLease"]["id"], house.mark) == (LEASE, house.digest(LEASE))
    await house.home.clock.advance(100)
    if fault.deadly:
        house.restart()


@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.BROKEN], ids=["crash", "failed-write"])
async def test_it_keeps_the_life_that_it_was_granted_and_the_end_of_its_token(
    house: DynamicHouse, fault: Fault
) -> None:
    await cut_off(house, fault)
    await house.pass_over()
    told = house.status
    assert (told["secretLease"]["id"], told["secretLease"]["duration"]) == (LEASE, 600)
    assert (told["lastRenewalTime"], told["expires"]) == (int(T0.timestamp()), moment(600))
    # A token is taken to end some seconds before it does.
    assert told["secretLease"]["tokenExpireTime"] == moment(3595)
    assert told["history"][0]["reason"] == "PendingFound"


async def test_its_renewals_ask_for_all_of_its_life(house: DynamicHouse) -> None:
    await cut_off(house, Fault.CRASH_BEFORE)
    await house.pass_over()
    await house.until_due()
    assert [seen.body["increment"] for seen in house.home.vault.asked("sys/leases/renew")] == [600]
    assert house.vault.live == [LEASE]


@pytest.mark.parametrize("answer", [errors(403, "permission denied"), errors(400, "invalid lease")], ids=["403", "400"])
async def test_one_that_nothing_can_be_known_of_is_given_back_and_replaced(house: DynamicHouse, answer: object) -> None:
    await cut_off(house, Fault.CRASH_BEFORE)
    house.home.vault.on("PUT", "sys/leases/lookup", answer)  # type: ignore[arg-type]
    await house.pass_over()
    assert house.lease == f"{CREDS}/2"
    assert house.vault.live == [house.lease]
    assert house.mark == house.digest(house.lease)


WEB = "/apis/apps/v1/namespaces/app/deployments"


def restarts(house: DynamicHouse) -> int:
    return len([asked for asked in house.home.requests("PATCH", "deployments/web") if asked.json])


async def test_one_that_the_secret_holds_is_renewed_while_suspended_and_its_consumers_restart_afterwards(
    house: DynamicHouse,
) -> None:
    house.wants(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    house.home.cluster.workload(WEB, "web")
    shelf = MemoryShelf()
    house.restart(shelf)
    await house.pass_over()
    house.wants(params={"ttl": "5m"})
    house.fate.strike(4, Fault.CRASH_BEFORE)
    assert not await house.attempt()
    assert house.fate.struck.endswith("deployments/web"), house.fate.struck
    new = house.status["pendingLease"]["id"]
    house.restart(shelf)
    house.wants(suspend=True)
    await house.pass_over()
    for _ in range(6):
        await house.until_due()
        assert new in house.vault.live
        assert house.mark == house.digest(new)
    assert (house.lease, "pendingLease" in house.status) == (new, False)
    before = restarts(house)
    house.wants(suspend=False)
    await house.pass_over()
    await house.pass_over()
    assert restarts(house) == before + 1
    assert (house.lease, house.status["rolledOutDigest"]) == (new, house.digest(new))


async def test_one_that_the_secret_does_not_hold_waits_for_the_end_of_the_rest(house: DynamicHouse) -> None:
    await house.pass_over()
    house.wants(params={"ttl": "5m"})
    house.fate.strike(3, Fault.CRASH_BEFORE)
    assert not await house.attempt()
    house.restart()
    house.wants(suspend=True)
    await house.pass_over()
    assert house.named == set(house.vault.live)
    assert (house.lease, house.mark) == (LEASE, house.digest(LEASE))
    assert house.home.vault.asked("sys/leases/revoke") == []
    house.wants(suspend=False)
    await house.pass_over()
    assert "pendingLease" not in house.status
    assert house.lease in house.vault.live


async def test_one_that_cannot_be_given_back_holds_up_no_renewal(house: DynamicHouse) -> None:
    await house.pass_over()
    house.wants(params={"ttl": "5m"})
    house.fate.strike(3, Fault.BROKEN)
    assert not await house.attempt()
    assert house.fate.struck == "PATCH secrets/db"
    lost = house.status["pendingLease"]["id"]
    house.wants(params=None)
    house.home.vault.on("PUT", "sys/leases/revoke", errors(400, "failed to revoke entry: role owns objects"))
    await house.pass_over()
    while house.home.clock.monotonic() < 2 * house.vault.ttl:
        assert house.mark == house.digest(house.lease)
        assert house.lease in house.vault.live
        await house.until_due()
    assert house.named == {house.lease, lost}
    house.home.vault.on("PUT", "sys/leases/revoke", house.vault.revoke)
    await house.until_due()
    assert house.named == {house.lease}


async def test_one_whose_credentials_somebody_has_written_over_since_is_replaced(house: DynamicHouse) -> None:
    await cut_off(house, Fault.CRASH_BEFORE)
    meta = house.home.cluster.secrets.stored["db"]["metadata"]
    meta["managedFields"].append({"manager": "kubectl", "operation": "Update", "time": moment(50),
                                  "fieldsV1": {"f:data": {"f:password": {}}}})  # fmt: skip
    meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 5000)
    await house.pass_over()
    await house.pass_over()
    assert [entry["reason"] for entry in house.status["history"]] == ["SecretDataDrift", "PendingFound"]
