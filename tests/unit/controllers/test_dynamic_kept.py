"""Leases over restarts whose token is kept: nothing is issued anew, and the status names the right token."""

from __future__ import annotations

from tests.fakes.cluster import key
from tests.fakes.dynamic_house import DynamicHouse, dynamic_house
from tests.fakes.lease_vault import Fault
from tests.fakes.shelf import MemoryShelf
from vso.api.secrets import VaultDynamicSecretSpec
from vso.vault.keeping import client_id

FIRST, SECOND = (client_id(f"accessor-of-hvs.canary-{number}") for number in (1, 2))


def named(house: DynamicHouse) -> str:
    return str(house.status["vaultClientMeta"]["id"])


async def test_however_often_the_process_restarts_the_credentials_stay() -> None:
    async with dynamic_house(ttl=100, token_ttl=120) as house:
        shelf = MemoryShelf()
        house.restart(shelf)
        await house.pass_over()
        for _ in range(8):
            await house.until_due()
            house.restart(shelf)
            await house.pass_over()
        assert house.home.clock.monotonic() > 2 * 120
        assert list(house.vault.lent) == house.vault.live == [house.lease]
        assert named(house) == FIRST


async def test_without_a_shelf_they_are_replaced_before_their_token_ends() -> None:
    async with dynamic_house(ttl=100, token_ttl=120) as house:
        await house.pass_over()
        house.restart()
        await house.pass_over()
        while house.home.clock.monotonic() < 115:
            await house.until_due()
        assert len(house.vault.lent) == 2
        assert house.lease in house.vault.live


async def test_the_status_names_the_token_of_the_lease_and_not_the_newest() -> None:
    async with dynamic_house(ttl=10_000, token_ttl=1000) as house:
        shelf = MemoryShelf()
        house.restart(shelf)
        house.home.tokens.secret("kv/data/other", policy="other")
        await house.pass_over()
        await house.home.clock.advance(60)
        house.home.tokens.role_policies.add("other")
        door = await house.running.desk.last_door(key("db"), VaultDynamicSecretSpec.model_validate(house.spec))
        await door.session.read("kv/data/other")
        assert house.home.tokens.logins == 2
        house.wants(metadata={"labels": {"touched": "yes"}})
        await house.until_due()
        assert named(house) == FIRST
        house.restart(shelf)
        await house.pass_over()
        assert len(house.vault.lent) == 1
        assert house.vault.live == [house.lease]


async def test_a_lease_that_was_cut_off_is_settled_with_the_token_that_it_was_issued_under() -> None:
    async with dynamic_house(ttl=100, token_ttl=120) as house:
        shelf = MemoryShelf()
        house.restart(shelf)
        house.fate.strike(4, Fault.CRASH_AFTER)
        await house.attempt()
        assert house.fate.struck.startswith("POST secrets"), house.fate.struck
        assert house.status["pendingLease"]["clientID"] == FIRST
        house.restart(shelf)
        await house.pass_over()
        assert "pendingLease" not in house.status
        assert named(house) == FIRST
        for _ in range(4):
            await house.until_due()
        assert house.vault.live == [house.lease]
        assert len(house.vault.lent) == 1


async def test_a_lease_whose_token_vault_has_disowned_is_replaced_at_once_and_after_a_failure_still() -> None:
    async with dynamic_house(ttl=10_000, token_ttl=10_000) as house:
        house.home.tokens.secret("kv/data/other")
        await house.pass_over()
        await house.home.clock.advance(60)
        house.home.tokens.revoked.add("hvs.canary-1")
        door = await house.running.desk.last_door(key("db"), VaultDynamicSecretSpec.model_validate(house.spec))
        await door.session.read("kv/data/other")
        house.fate.strike(1, Fault.BROKEN)
        await house.attempt()
        assert house.fate.struck == "GET database/creds/app"
        await house.pass_over()
        assert house.vault.live == [house.lease]
        assert len(house.vault.lent) == 2
        await house.home.clock.advance(60)
        await house.pass_over()
        assert len(house.vault.lent) == 2
