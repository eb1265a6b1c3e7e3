from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.unit.sandbox.client import Client

ROTATION_LAG = 2
CAPPED = 'TTL of "{}" exceeded the effective max_ttl of "{}"; TTL value is capped accordingly'


@pytest.fixture(autouse=True)
async def engine(vault: Client) -> None:
    await vault("POST", "sys/mounts/database", {"type": "database"})
    await vault("POST", "database/config/pg", {"allowed_roles": "*", "password": "p"})
    await vault("POST", "database/roles/r", {"db_name": "pg", "default_ttl": "20s", "max_ttl": "40s"})
    await vault("PUT", "sys/policies/acl/p", {"policy": 'path "database/creds/*" { capabilities = ["read"] }'})


async def users(vault: Client) -> list[str]:
    return list((await vault("GET", "sys/sandbox/users"))[1]["data"]["users"])


async def token(vault: Client, **more: Any) -> tuple[Client, dict[str, Any]]:
    auth = (await vault("POST", "auth/token/create", {"policies": ["p"], **more}))[1]["auth"]
    return vault.with_headers(X_Vault_Token=auth["client_token"]), auth


async def lease(vault: Client, verb: str, lease_id: str, **more: Any) -> tuple[int, Any]:
    return await vault("PUT", f"sys/leases/{verb}", {"lease_id": lease_id, **more})


async def error(vault: Client, method: str, path: str, body: object = None) -> tuple[int, str]:
    status, answered = await vault(method, path, body)
    return status, answered["errors"][0].strip().removeprefix("1 error occurred:\n\t* ")


async def test_a_lease_from_issue_to_its_longest_life(vault: Client, clock: FakeClock, tmp_path: Path) -> None:
    status, issued = await vault("GET", "database/creds/r")
    lease_id = issued["lease_id"]
    assert (status, issued["lease_duration"], issued["renewable"]) == (200, 20, True)
    assert lease_id.startswith("database/creds/r/")
    assert len(lease_id.rpartition("/")[2]) == 24
    assert await users(vault) == [issued["data"]["username"]]
    await clock.advance(10)
    _, renewed = await lease(vault, "renew", lease_id)
    assert (renewed["lease_id"], renewed["lease_duration"], renewed["data"]) == (lease_id, 20, None)
    assert (await lease(vault, "renew", lease_id, increment=5))[1]["lease_duration"] == 5
    assert (await lease(vault, "renew", lease_id, increment="1h"))[1]["warnings"] == [CAPPED.format("1h", "30s")]
    assert (await lease(vault, "lookup", lease_id))[1]["data"] == {
        "id": lease_id,
        "issue_time": "2026-01-01T12:00:00.000000Z",
        "expire_time": "2026-01-01T12:00:40.000000Z",
        "last_renewal": "2026-01-01T12:00:10.000000Z",
        "renewable": True,
        "ttl": 30,
    }
    await clock.advance(30)
    assert await users(vault) == []
    assert await lease(vault, "renew", lease_id) == (400, {"errors": ["lease not found"]})
    assert await lease(vault, "lookup", lease_id) == (400, {"errors": ["invalid lease"]})
    assert (await lease(vault, "revoke", lease_id))[0] == 204
    log = (tmp_path / "vault-audit.log").read_text()
    assert issued["data"]["password"] not in log
    answers = [line for line in map(json.loads, log.splitlines()) if line["type"] == "response"]
    told = [(line["request"]["path"], line.get("error", ""), "secret" in line["response"]) for line in answers]
    assert ("database/creds/r", "", True) in told
    assert ("sys/leases/renew", "1 error occurred:\n\t* invalid request\n\n", False) in told


@pytest.mark.parametrize("end", ["ttl", "revoke-self", "revoke-accessor"])
async def test_a_lease_ends_with_its_token(vault: Client, clock: FakeClock, end: str) -> None:
    mine, auth = await token(vault, ttl="8s")
    _, issued = await mine("GET", "database/creds/r")
    assert issued["lease_duration"] == 20, "a service token's life is not seen in the lease"
    if end == "ttl":
        await clock.advance(8)
    elif end == "revoke-self":
        await mine("PUT", "auth/token/revoke-self")
    else:
        await vault("PUT", "auth/token/revoke-accessor", {"accessor": auth["accessor"]})
    assert await users(vault) == []
    assert (await lease(vault, "lookup", issued["lease_id"]))[0] == 400


async def test_what_a_tenant_may_do_with_leases(vault: Client) -> None:
    mine, _ = await token(vault)
    lease_id = (await mine("GET", "database/creds/r"))[1]["lease_id"]
    allowed = [(await lease(mine, verb, lease_id))[0] for verb in ("lookup", "renew", "revoke")]
    assert allowed == [200, 200, 403]
    forbidden = [("PUT", "sys/leases/revoke-prefix/database"), ("GET", "sys/sandbox/users")]
    assert [(await mine(*request))[0] for request in forbidden] == [403, 403]
    assert (await vault("GET", "sys/leases/lookup/database/creds/r?list=true"))[1]["data"]["keys"] == [lease_id[-24:]]
    assert (await vault("PUT", "sys/leases/revoke-prefix/database/creds/r"))[0] == 204
    assert await users(vault) == []


async def test_a_batch_token_caps_its_lease_and_lives_as_it_was_made(vault: Client, clock: FakeClock) -> None:
    mine, auth = await token(vault, ttl="10s", type="batch")
    assert (auth["accessor"], auth["renewable"], auth["token_type"]) == ("", False, "batch")
    lease_id = (await mine("GET", "database/creds/r"))[1]["lease_id"]
    await clock.advance(3)
    assert (await lease(vault, "renew", lease_id, increment=30))[1]["lease_duration"] == 7
    assert await error(mine, "PUT", "auth/token/renew-self") == (400, "batch tokens cannot be renewed")
    assert await error(mine, "PUT", "auth/token/revoke-self") == (400, "batch tokens cannot be revoked")


async def test_while_the_database_is_away(vault: Client, clock: FakeClock) -> None:
    lease_id = (await vault("GET", "database/creds/r"))[1]["lease_id"]
    await vault("PUT", "sys/sandbox/database", {"up": False})
    away = "failed to connect to `host=sandbox user=vault database=sandbox`: connection refused"
    assert await error(vault, "GET", "database/creds/r") == (500, away)
    entry = "entry: resp: (*logical.Response)(nil) err: "
    refused = await error(vault, "PUT", "sys/leases/renew", {"lease_id": lease_id})
    assert refused == (400, f"failed to renew {entry}1 error occurred:\n\t* {away}")
    refused = await error(vault, "PUT", "sys/leases/revoke", {"lease_id": lease_id})
    assert refused == (400, f"failed to revoke {entry}{away}")
    await clock.advance(24)
    data = (await lease(vault, "lookup", lease_id))[1]["data"]
    assert (data["renewable"], data["ttl"]) == (False, -4), "it stays, expired"
    assert await lease(vault, "renew", lease_id) == (400, {"errors": ["lease expired"]})
    assert len(await users(vault)) == 1
    await vault("PUT", "sys/sandbox/database", {"up": True})
    assert await users(vault) == []


@pytest.mark.parametrize(
    ("method", "path", "body", "answer"),
    [
        ("GET", "database/creds/none", None, (400, "unknown role: none")),
        ("PUT", "database/creds/r", {}, (405, "unsupported operation")),
        ("GET", "database/nothing/x", None, (404, "unsupported path")),
        ("GET", "database/static-creds/none", None, (400, "unknown role: none")),
        ("PUT", "database/rotate-role/none", {}, (400, "no static role found for role name")),
        ("PUT", "database/roles/x", {}, (400, "database name is required")),
        ("PUT", "database/static-roles/x", {"rotation_period": 2}, (400, "rotation_period must be 5 seconds or more")),
        (
            "PUT",
            "database/static-roles/x",
            {"db_name": "nope", "rotation_period": 9},
            (500, 'failed to find entry for connection with name: "nope"'),
        ),
        ("PUT", "sys/leases/renew", {}, (400, "lease_id must be specified")),
        ("PUT", "auth/token/renew-self", {}, (400, "lease is not renewable")),
        ("PUT", "auth/token/renew-accessor", {"accessor": "nope"}, (400, "invalid accessor")),
        ("PUT", "auth/token/revoke-accessor", {}, (400, "missing accessor")),
    ],
)
async def test_refusals(vault: Client, method: str, path: str, body: object, answer: tuple[int, str]) -> None:
    assert await error(vault, method, path, body) == answer


async def test_the_renewal_of_a_token_is_cut_at_its_end(vault: Client, clock: FakeClock) -> None:
    mine, auth = await token(vault, ttl="8s", explicit_max_ttl="12s")
    await clock.advance(6)
    _, renewed = await mine("PUT", "auth/token/renew-self", {"increment": 3600})
    assert (renewed["auth"]["lease_duration"], renewed["warnings"]) == (6, [CAPPED.format("1h", "6s")])
    data = (await mine("GET", "auth/token/lookup-self"))[1]["data"]
    assert (data["ttl"], data["explicit_max_ttl"], data["type"]) == (6, 12, "service")
    assert (data["expire_time"], data["renewable"]) == ("2026-01-01T12:00:12.000000Z", True)
    renewed = (await vault("PUT", "auth/token/renew-accessor", {"accessor": auth["accessor"], "increment": 5}))[1]
    assert (renewed["auth"]["client_token"], renewed["auth"]["lease_duration"]) == ("", 5)
    assert (await vault("PUT", "auth/token/lookup-accessor", {"accessor": auth["accessor"]}))[1]["data"]["id"] == ""
    assert (await mine("PUT", "auth/token/renew-accessor", {"accessor": auth["accessor"]}))[0] == 403


async def test_a_periodic_token_is_renewed_by_its_period_for_ever(vault: Client, clock: FakeClock) -> None:
    mine, _ = await token(vault, period="30s")
    for _ in range(3):
        await clock.advance(29)
        assert (await mine("PUT", "auth/token/renew-self", {"increment": 100}))[1]["auth"]["lease_duration"] == 30
    assert (await mine("GET", "auth/token/lookup-self"))[1]["data"]["period"] == 30


async def test_a_static_role_stays_due_for_a_while_and_then_switches_at_once(vault: Client, clock: FakeClock) -> None:
    await vault("POST", "sys/sandbox/users/app", {"password": "old"})
    body = {"db_name": "pg", "username": "app", "rotation_period": "30s"}
    assert (await vault("POST", "database/static-roles/s", body))[0] == 204
    _, first = await vault("GET", "database/static-creds/s")
    assert (first["lease_id"], first["renewable"], first["data"]["ttl"]) == ("", False, 30)
    await clock.advance(30)
    due = (await vault("GET", "database/static-creds/s"))[1]["data"]
    assert due == first["data"] | {"ttl": 0}
    assert (await vault("POST", "sys/sandbox/login", due))[1]["data"] == {"accepted": True}
    await clock.advance(ROTATION_LAG)
    turned = (await vault("GET", "database/static-creds/s"))[1]["data"]
    assert (turned["last_vault_rotation"], turned["ttl"]) == ("2026-01-01T12:00:32.000000Z", 30)
    assert [(await vault("POST", "sys/sandbox/login", d))[1]["data"]["accepted"] for d in (due, turned)] == [
        False,
        True,
    ]
    await clock.advance(1)
    assert (await vault("PUT", "database/rotate-role/s"))[0] == 204
    assert (await vault("GET", "database/static-creds/s"))[1]["data"]["password"] != turned["password"]


async def test_a_static_role_is_not_rotated_while_its_database_is_away(vault: Client, clock: FakeClock) -> None:
    await vault("POST", "sys/sandbox/users/app", {"password": "old"})
    await vault("POST", "database/static-roles/s", {"db_name": "pg", "username": "app", "rotation_period": "30s"})
    await vault("PUT", "sys/sandbox/database", {"up": False})
    await clock.advance(60)
    assert (await vault("GET", "database/static-creds/s"))[1]["data"]["ttl"] == 0
    await vault("PUT", "sys/sandbox/database", {"up": True})
    data = (await vault("GET", "database/static-creds/s"))[1]["data"]
    assert (data["last_vault_rotation"], data["ttl"]) == ("2026-01-01T12:01:00.000000Z", 30)


async def test_unmounting_takes_the_users_away(vault: Client) -> None:
    await vault("GET", "database/creds/r")
    assert len(await users(vault)) == 1
    await vault("DELETE", "sys/mounts/database")
    assert await users(vault) == []
