"""An object with leases goes: they are given back, in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.fakes.clock import settle
from tests.fakes.dynamic_house import DYNAMIC, FINALIZER, DynamicHouse, dynamic_house
from tests.fakes.vault_server import Hang, Seen, Step, errors
from vso.api.secrets import LeaseRef, PendingLease, SecretLease, VaultDynamicSecretStatus
from vso.controllers.leaving import leases_of
from vso.core.errors import Reason, TransientError, VsoError

REVOKE = "sys/leases/revoke"


@pytest.fixture
async def house() -> AsyncIterator[DynamicHouse]:
    async with dynamic_house() as opened:
        await opened.pass_over()
        yield opened


def deleted(house: DynamicHouse, **changes: Any) -> None:
    now = house.home.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    house.wants(**changes, metadata={"deletionTimestamp": now})


def held_by(house: DynamicHouse) -> list[str]:
    metadata = house.home.cluster.objects[f"/apis/secrets.hashicorp.com/v1beta1/namespaces/app/{DYNAMIC.plural}/db"]
    found: list[str] = metadata["metadata"].get("finalizers", [])
    return found


async def test_its_leases_are_revoked_and_then_it_may_go(house: DynamicHouse) -> None:
    house.wants(params={"ttl": "5m"})
    await house.pass_over()
    assert len(house.vault.live) == 2
    assert held_by(house) == [FINALIZER]
    deleted(house)
    await house.pass_over()
    assert (house.vault.live, held_by(house), house.due_in()) == ([], [], None)


async def test_what_is_not_to_be_revoked_stays(house: DynamicHouse) -> None:
    deleted(house, revoke=False)
    await house.pass_over()
    assert (len(house.vault.live), held_by(house)) == (1, [])


async def test_leases_that_may_not_be_revoked_hold_nobody_up_and_are_told_and_counted(house: DynamicHouse) -> None:
    house.wants(params={"ttl": "5m"})
    await house.pass_over()
    house.home.vault.on("PUT", REVOKE, errors(403, "permission denied"))
    deleted(house)
    with capture_logs() as lines:
        await house.pass_over()
    assert (held_by(house), house.running.leaked) == ([], [2])
    assert len(await house.told(Reason.REVOKE_FORBIDDEN)) == 1
    [line] = [line for line in lines if line["event"] == "leases outlive their object"]
    assert (line["leases"], line["reason"], line["object"]) == (2, "RevokeForbidden", "app/db")


async def test_one_that_may_not_be_revoked_does_not_keep_another_from_being_tried_again(house: DynamicHouse) -> None:
    house.wants(params={"ttl": "5m"})
    await house.pass_over()
    first, _ = house.vault.live
    once = iter([errors(500, "internal error")])

    def revoke(seen: Seen) -> Step:
        if seen.body["lease_id"] == first:
            return next(once, None) or house.vault.revoke(seen)
        return errors(403, "permission denied")

    house.home.vault.on("PUT", REVOKE, revoke)
    deleted(house)
    with pytest.raises(TransientError):
        await house.pass_over()
    assert (held_by(house), house.running.leaked) == ([FINALIZER], [])
    await house.home.clock.advance(3)
    await house.pass_over()
    assert (held_by(house), house.running.leaked) == ([], [1])
    assert first not in house.vault.live


async def test_while_vault_cannot_it_is_asked_again_for_half_a_minute_and_no_longer(house: DynamicHouse) -> None:
    house.home.vault.on("PUT", REVOKE, errors(400, "failed to revoke entry: dial tcp"))
    deleted(house)
    for _ in range(10):
        with pytest.raises(VsoError) as caught:
            await house.pass_over()
        assert isinstance(caught.value, TransientError)
        assert held_by(house) == [FINALIZER]
        await house.home.clock.advance(3)
    await house.pass_over()
    assert (held_by(house), house.running.leaked) == ([], [1])


async def test_a_vault_that_does_not_answer_holds_it_up_for_half_a_minute_all_told(house: DynamicHouse) -> None:
    house.wants(params={"ttl": "5m"})
    await house.pass_over()
    assert len(house.named) == 2
    house.home.vault.on("PUT", REVOKE, Hang())
    deleted(house)
    running = asyncio.ensure_future(house.pass_over())
    await settle()
    for number in (1, 2):  # one that hangs keeps no other from being revoked
        assert len(house.home.vault.asked(REVOKE)) == number
        await house.home.clock.advance(15)
        await settle()
    await running
    assert (held_by(house), house.running.leaked) == ([], [2])


async def test_a_deletion_that_is_found_late_still_asks_once(house: DynamicHouse) -> None:
    deleted(house)
    await house.home.clock.advance(360)
    house.restart()
    await house.pass_over()
    assert (house.vault.live, held_by(house), house.running.leaked) == ([], [], [])


async def test_it_is_looked_at_when_the_half_minute_is_over_whatever_the_back_off_says(house: DynamicHouse) -> None:
    house.home.vault.on("PUT", REVOKE, errors(400, "failed to revoke entry: dial tcp"))
    deleted(house)
    await house.home.clock.advance(10)
    assert not await house.attempt()
    assert house.due_in() == pytest.approx(20)
    await house.until_due()
    assert (held_by(house), house.running.leaked, house.due_in()) == ([], [1], None)


async def test_it_goes_by_the_way_it_came_when_its_references_are_gone(house: DynamicHouse) -> None:
    deleted(house, vaultAuthRef="gone")
    await house.pass_over()
    assert (house.vault.live, held_by(house)) == ([], [])


async def test_one_that_cannot_be_understood_goes_too(house: DynamicHouse) -> None:
    deleted(house, destination=7)
    await house.pass_over()
    assert held_by(house) == []


def test_every_lease_that_the_status_names_is_given_back() -> None:
    status = VaultDynamicSecretStatus(
        secret_lease=SecretLease(id="a"),
        retired_leases=(LeaseRef(id="b"), LeaseRef(id="a"), LeaseRef(id="")),
        pending_lease=PendingLease(id="c"),
    )
    assert leases_of(status) == ("a", "b", "c")
