"""A replaced lease lives on while consumers change over, and no longer; a third one waits for its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from tests.fakes.clock import T0
from tests.fakes.dynamic_house import NEW, OLD, REVOKE, THIRD, WEB, DynamicHouse, consumer, dynamic_house, rotated
from tests.fakes.lease_vault import CREDS
from tests.fakes.vault_server import Reply, errors
from vso.controllers.dynamic_status import MOST_RETIRED
from vso.core.errors import Reason


@pytest.fixture
async def house() -> AsyncIterator[DynamicHouse]:
    async with dynamic_house() as opened:
        yield opened


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
    [text] = await house.told(Reason.REVOKE_FORBIDDEN)
    assert 'add path "sys/leases/revoke" { capabilities = ["update"] } to the Vault policy' in text
    await house.home.clock.advance(1)
    await house.pass_over()
    assert len(await house.told(Reason.REVOKE_FORBIDDEN)) == 1


async def test_that_the_policy_forbids_it_is_told_too_where_it_has_to_make_room(house: DynamicHouse) -> None:
    await rotated(house)
    house.home.vault.on("PUT", REVOKE, errors(403, "permission denied"))
    house.wants(params={"ttl": "6m"})
    await house.pass_over()
    assert (house.lease, house.named) == (THIRD, {NEW, THIRD})
    assert len(await house.told(Reason.REVOKE_FORBIDDEN)) == 1
    assert await house.told(Reason.LEASE_LEAKED) == []


async def test_what_a_renewal_that_was_cut_short_has_granted_is_its_to_live(house: DynamicHouse) -> None:
    house.wants(overlap="1h")
    house.vault.max_ttl = house.vault.ttl + 5
    await house.pass_over()
    while house.lease == OLD:
        await house.until_due()
    [ref] = house.status["retiredLeases"]
    granted = T0 + timedelta(seconds=house.vault.max_ttl)
    assert timedelta(0) <= granted - datetime.fromisoformat(ref["notAfter"]) <= timedelta(seconds=1)
    while OLD in house.named:
        assert OLD in house.vault.live
        await house.until_due()


# A third lease waits until the first is given back, as long as there are credentials that live.

FORSAKEN = errors(400, "failed to revoke entry: role owns objects")


@pytest.mark.parametrize("answer", [errors(500, "internal error"), FORSAKEN], ids=["broken", "refused"])
async def test_a_third_lease_waits_until_the_first_has_had_its_time(house: DynamicHouse, answer: Reply) -> None:
    await rotated(house)
    house.home.vault.on("PUT", REVOKE, answer)
    house.wants(params={"ttl": "6m"})
    assert not await house.attempt()
    assert (house.vault.most_live, house.lease) == (2, NEW)
    assert await house.told(Reason.LEASE_LEAKED) == []
    await house.home.clock.advance(31)
    await house.pass_over()
    assert (house.lease, house.named) == (THIRD, {OLD, NEW, THIRD})
    [text] = await house.told(Reason.LEASE_LEAKED)
    assert "replaced leases are not given back (1)" in text
    assert "revoke the lease in Vault" in text
    house.home.vault.on("PUT", REVOKE, house.vault.revoke)
    await house.home.clock.advance(31)
    await house.pass_over()
    assert (house.vault.live, house.named) == ([THIRD], {THIRD})


async def test_a_third_lease_is_not_waited_with_near_the_end_of_the_second(house: DynamicHouse) -> None:
    house.vault.renewable = False
    house.wants(overlap="1h")
    await rotated(house)
    house.home.vault.on("PUT", REVOKE, FORSAKEN)
    attempts = 0
    while house.lease == NEW:
        await house.home.clock.advance((house.due_in() or 0) + 0.001)
        attempts += not await house.attempt()
        assert house.lease in house.vault.live, "the Secret holds what has ended"
    assert attempts > 2
    assert house.lease == THIRD
    assert NEW in house.vault.live


async def test_a_third_lease_is_not_waited_with_when_the_second_is_gone(house: DynamicHouse) -> None:
    house.wants(overlap="1h")
    await rotated(house)
    house.home.vault.on("PUT", REVOKE, FORSAKEN)
    house.vault.take_back(NEW)
    await house.until_due()
    assert (house.lease, house.vault.live) == (THIRD, [OLD, THIRD])


async def test_leases_that_are_never_given_back_do_not_fill_the_status(house: DynamicHouse) -> None:
    await rotated(house)
    house.home.vault.on("PUT", REVOKE, FORSAKEN)
    for number in range(2 * MOST_RETIRED):
        await house.home.clock.advance(31)
        house.wants(params={"ttl": f"{number + 10}m"})
        await house.pass_over()
    assert len(house.named) == MOST_RETIRED + 1
    assert f"{CREDS}/{2 * MOST_RETIRED + 1}" in house.named, "the newest ones stay"


# Static credentials take the place of a lease by the same rules.

STATIC = "database/static-creds/app"


def static(house: DynamicHouse, number: int) -> None:
    data = {"username": "app", "password": f"canary-{number}"}
    house.home.vault.on("GET", STATIC, Reply(200, {"request_id": "r", "data": data, "lease_id": ""}))
    house.wants(path="static-creds/app", allowStaticCreds=True, refreshAfter="1h")


async def test_a_lease_that_static_credentials_replace_lives_on_and_is_given_back(house: DynamicHouse) -> None:
    await house.pass_over()
    static(house, 1)
    await house.pass_over()
    assert (house.lease, house.named, house.vault.live) == ("", {OLD}, [OLD])
    await house.until_due()
    assert (house.named, house.vault.live) == (set(), [])


async def test_leases_and_static_credentials_by_turns_do_not_fill_the_status(house: DynamicHouse) -> None:
    house.home.vault.on("PUT", REVOKE, FORSAKEN)
    for number in range(2 * MOST_RETIRED):
        house.wants(path="creds/app", allowStaticCreds=True, refreshAfter="1h")
        await house.pass_over()
        static(house, number)
        await house.home.clock.advance(31)
        await house.pass_over()
        assert len(house.named) <= MOST_RETIRED
    assert f"{CREDS}/{2 * MOST_RETIRED}" in house.named, "the newest ones stay"
    assert await house.told(Reason.LEASE_LEAKED)


async def test_where_static_credentials_were_allowed_a_third_lease_waits_too(house: DynamicHouse) -> None:
    house.wants(allowStaticCreds=True)
    await rotated(house)
    assert (house.lease, house.vault.live) == (NEW, [OLD, NEW])
    house.home.vault.on("PUT", REVOKE, FORSAKEN)
    house.wants(params={"ttl": "6m"})
    assert not await house.attempt()
    assert (house.vault.most_live, house.lease) == (2, NEW)
    house.home.vault.on("PUT", REVOKE, house.vault.revoke)
    await house.home.clock.advance(31)
    await house.pass_over()
    assert (house.lease, house.vault.most_live) == (THIRD, 2)
