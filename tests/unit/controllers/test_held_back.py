"""A Vault that asked to be left alone: what the objects on its connection say meanwhile."""

from __future__ import annotations

import pytest

from tests.fakes.house import House
from tests.fakes.vault_server import errors
from vso.core.errors import Reason, TransientError
from vso.vault.client import VaultClient, VaultRequest
from vso.vault.errors import HeldError


async def client_of(home: House) -> VaultClient:
    return await home.resolver.client(home.resolver.path("vault", "app").connection)


async def test_who_is_held_back_says_so_and_wakes_nobody_who_shares_its_source(home: House) -> None:
    home.holds({"password": "canary-1"})
    for name in ("db", "other"):
        home.static(name, destination={"name": name, "create": True})
        await home.pass_over(name)
    home.vault.on("GET", "busy", errors(429, "quota", retry_after="5"))
    with pytest.raises(TransientError):
        await (await client_of(home)).send(VaultRequest("GET", "busy"))
    home.static(
        "db", destination={"name": "db", "create": True}, metadata={"annotations": {"vso.hashicorp.com/resync": "1"}}
    )
    before = home.reads()
    with pytest.raises(HeldError) as caught:
        await home.pass_over("db")
    assert (caught.value.reason, caught.value.retry_after) == (Reason.VAULT_THROTTLED, 5.0)
    assert home.condition("Healthy", "db")["reason"] == "VaultThrottled"
    assert home.condition("Ready", "db")["status"] == "True"
    assert home.woken == []
    assert home.reads() == before
    await home.clock.advance(5)
    await home.pass_over("db")
    assert home.condition("Healthy", "db")["status"] == "True"
    assert home.woken == []
