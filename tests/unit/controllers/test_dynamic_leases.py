"""What becomes of a lease whose pass is cancelled before the status could name it."""

from __future__ import annotations

import asyncio
import contextlib

from tests.fakes.clock import settle
from tests.fakes.cluster import key
from tests.fakes.dynamic_house import DynamicHouse, dynamic_house
from tests.fakes.vault_server import Hang
from vso.api.secrets import VaultDynamicSecretSpec
from vso.core.errors import ConfigError


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
