from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.unit.sandbox.client import Client

WRAP = {"X-Vault-Wrap-TTL": "60s"}
UNWRAP = "sys/wrapping/unwrap"
SPENT = ["wrapping token is not valid or does not exist"]


@pytest.fixture(autouse=True)
async def engine(vault: Client) -> None:
    await vault("POST", "sys/mounts/database", {"type": "database"})
    await vault("POST", "database/config/pg", {"allowed_roles": "*", "password": "p"})
    await vault("POST", "database/roles/r", {"db_name": "pg", "default_ttl": "20s", "max_ttl": "40s"})


async def wrapped(vault: Client) -> dict[str, Any]:
    status, answer = await vault("GET", "database/creds/r", headers=WRAP)
    assert (status, answer["data"], answer["lease_id"], answer["renewable"]) == (200, None, "", False)
    return dict(answer["wrap_info"])


@pytest.mark.parametrize("named", [False, True], ids=["own-token", "named"])
async def test_what_is_wrapped_has_happened_and_is_handed_out_once(vault: Client, named: bool) -> None:
    info = await wrapped(vault)
    assert (info["ttl"], info["creation_path"]) == (60, "database/creds/r")
    opener = vault if named else vault.with_headers(X_Vault_Token=info["token"])
    body = {"token": info["token"]} if named else None
    status, inside = await opener("PUT", UNWRAP, body)
    assert status == 200
    assert list((await vault("GET", "sys/sandbox/users"))[1]["data"]["users"]) == [inside["data"]["username"]]
    assert (inside["lease_duration"], inside["renewable"], inside["wrap_info"]) == (20, True, None)
    assert (await vault("PUT", "sys/leases/lookup", {"lease_id": inside["lease_id"]}))[0] == 200
    status, again = await opener("PUT", UNWRAP, body)
    assert (status, again["errors"]) == (400, SPENT)


async def test_a_wrapping_ends_with_its_time_and_opens_nothing_else(vault: Client, clock: FakeClock) -> None:
    info = await wrapped(vault)
    inside = vault.with_headers(X_Vault_Token=info["token"])
    assert (await inside("GET", "database/creds/r"))[0] == 403
    info = await wrapped(vault)
    await clock.advance(61)
    status, answer = await vault.with_headers(X_Vault_Token=info["token"])("PUT", UNWRAP)
    assert (status, answer["errors"]) == (400, SPENT)
    assert (await vault("PUT", UNWRAP, {"token": info["token"]}))[0] == 400


async def test_an_answer_of_nothing_and_a_refusal_are_not_wrapped(vault: Client) -> None:
    assert (await vault("PUT", "sys/policies/acl/p", {"policy": ""}, headers=WRAP))[0] == 204
    assert (await vault("GET", "database/creds/none", headers=WRAP))[0] == 400
