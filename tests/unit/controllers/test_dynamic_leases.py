"""Leases and the tokens that they hang on: neither outlives what it is kept for."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.fakes.clock import settle
from tests.fakes.cluster import key
from tests.fakes.dynamic_house import DynamicHouse, dynamic_house
from tests.fakes.lease_vault import CREDS, Fault
from tests.fakes.vault_server import Hang, Reply, Step, errors
from vso.api.secrets import VaultDynamicSecretSpec
from vso.core.errors import ConfigError

REVOKE = "sys/leases/revoke"
OLD, NEW = f"{CREDS}/1", f"{CREDS}/2"


async def logged_in(house: DynamicHouse) -> None:
    """Have a token that nothing hangs on yet."""
    spec = VaultDynamicSecretSpec.model_validate(house.spec)
    door = await house.running.desk.open(key("other"), spec)
    with contextlib.suppress(ConfigError):
        await door.session.read("kv/data/not-there")


async def test_a_pass_that_is_cancelled_while_the_token_is_renewed_gives_the_lease_back() -> None:
    async with dynamic_house(token_ttl=300) as house:
        await logged_in(house)
        await house.home.clock.advance(230)  # past two thirds: to be renewed as soon as a lease hangs on it
        house.home.vault.on("PUT", "auth/token/renew-self", Hang())
        running = asyncio.ensure_future(house.pass_over())
        await settle()
        assert (len(house.vault.live), house.home.vault.hanging) == (1, 1)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        assert house.vault.live == []


# Tokens are kept for leases that somebody wants, and for no others.


async def hangs(house: DynamicHouse, lease_id: str) -> bool:
    """Tell whether a token is kept for the lease."""
    door = await house.running.desk.last_door(key("db"), VaultDynamicSecretSpec.model_validate(house.spec))
    return await door.session.parent(lease_id) is not None


async def replaced(house: DynamicHouse) -> None:
    await house.pass_over()
    house.wants(params={"ttl": "5m"})
    await house.pass_over()
    assert await hangs(house, OLD)
    assert await hangs(house, NEW)


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        pytest.param(errors(403, "permission denied"), {NEW}, id="forbidden"),
        pytest.param(errors(400, "failed to revoke entry: dial tcp"), {OLD, NEW}, id="database-away"),
        pytest.param(Reply(204), {NEW}, id="revoked"),
    ],
)
async def test_no_token_is_kept_for_a_lease_whose_time_is_over_whatever_became_of_it(
    answer: Step, named: set[str]
) -> None:
    async with dynamic_house() as house:
        await replaced(house)
        house.home.vault.on("PUT", REVOKE, answer)
        await house.until_due()
        assert house.named == named
        assert not await hangs(house, OLD)
        assert await hangs(house, NEW)


async def test_no_token_is_kept_for_the_replaced_lease_of_an_object_that_rests() -> None:
    async with dynamic_house() as house:
        await replaced(house)
        house.wants(suspend=True)
        await house.pass_over()
        assert await hangs(house, OLD)
        await house.home.clock.advance(31)
        await house.pass_over()
        assert not await hangs(house, OLD)
        assert await hangs(house, NEW)
        assert house.home.vault.asked(REVOKE) == []


async def test_no_token_is_kept_for_a_lease_that_no_status_could_name() -> None:
    async with dynamic_house() as house:
        house.home.vault.on("PUT", REVOKE, errors(500, "internal error"))
        house.fate.strike(3, Fault.BROKEN)  # the status that would name it
        assert not await house.attempt()
        assert house.named == set()
        assert not await hangs(house, OLD)


async def test_no_token_is_kept_for_what_an_object_leaves_behind() -> None:
    async with dynamic_house() as house:
        await house.pass_over()
        house.home.vault.on("PUT", REVOKE, errors(400, "failed to revoke entry: dial tcp"))
        house.wants(metadata={"deletionTimestamp": house.home.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")})
        await house.home.clock.advance(31)
        assert await hangs(house, OLD)
        door = await house.running.desk.last_door(key("db"), VaultDynamicSecretSpec.model_validate(house.spec))
        await house.pass_over()
        assert house.running.leaked == [1]
        assert await door.session.parent(OLD) is None


async def test_a_superseded_token_goes_with_the_last_lease_that_was_wanted_of_it() -> None:
    async with dynamic_house(token_ttl=600) as house:
        await house.pass_over()
        house.vault.token_max_ttl = 900
        first = house.vault.lent[OLD].token
        house.home.vault.on("PUT", REVOKE, errors(403, "permission denied"))
        while house.lease == OLD:
            await house.until_due()
        assert first not in house.home.tokens.revoked
        while house.named != {NEW}:
            await house.until_due()
        assert first in house.home.tokens.revoked
        assert house.vault.live == [NEW], "Vault has dropped the old lease with its token"


# What the process before has done and could not tell.


async def test_a_renewal_that_no_status_tells_is_asked_for_before_credentials_are_issued_anew() -> None:
    async with dynamic_house() as house:
        await house.pass_over()
        due = house.due_in()
        assert due is not None
        await house.home.clock.advance(due + 0.001)
        house.fate.strike(2, Fault.CRASH_BEFORE)  # the status; Vault has renewed
        assert not await house.attempt()
        assert house.fate.struck.startswith("PATCH")
        await house.home.clock.advance(600 - due + 1)  # over, as far as the status knows
        house.restart()
        await house.pass_over()
        assert house.lease == OLD
        assert house.vault.live == [OLD]
        assert house.named == {OLD}


async def test_a_lease_that_is_over_while_its_object_rests_is_no_failure_after_a_restart() -> None:
    async with dynamic_house() as house:
        await house.pass_over()
        house.wants(suspend=True)
        house.vault.live.clear()
        house.restart()
        await house.home.clock.advance(601)
        assert await house.attempt()
        assert house.status["secretLease"]["id"] == OLD
