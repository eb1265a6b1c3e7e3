from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.unit.sandbox.client import Client
from vso.sandbox.sandbox import Sandbox

INVALID_TOKEN = "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"
DENIED = "1 error occurred:\n\t* permission denied\n\n"


async def login_jwt(kube: Client, audience: str = "vault", name: str = "app") -> str:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await kube("POST", accounts, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
    _, answered = await kube("POST", f"{accounts}/{name}/token", {"spec": {"audiences": [audience]}})
    return str(answered["status"]["token"])


async def make_role(vault: Client, **more: Any) -> None:
    role = {"bound_service_account_names": "app", "bound_service_account_namespaces": ["default"], "audience": "vault"}
    await vault("PUT", "sys/policies/acl/app", {"policy": 'path "kv/data/app/config" { capabilities = ["read"] }'})
    await vault("POST", "auth/kubernetes/role/app", role | {"token_policies": ["app"], "token_ttl": "60s"} | more)


async def test_kv_v2_from_write_to_destroy(vault: Client) -> None:
    assert await vault("GET", "kv/data/app/config") == (404, {"errors": []})
    _, first = await vault("POST", "kv/data/app/config", {"data": {"a": "1"}})
    _, second = await vault("PUT", "kv/data/app/config", {"data": {"a": "2"}, "options": {"cas": 1}})
    assert (first["data"]["version"], second["data"]["version"]) == (1, 2)
    assert (await vault("PUT", "kv/data/app/config", {"data": {}, "options": {"cas": 1}}))[0] == 400
    assert (await vault("GET", "kv/data/app/config?version=1"))[1]["data"]["data"] == {"a": "1"}
    assert await vault("GET", "kv/data/app/config?version=9") == (404, {"errors": []})
    assert (await vault("DELETE", "kv/data/app/config"))[0] == 204
    status, gone = await vault("GET", "kv/data/app/config")
    assert (status, gone["data"]["data"], gone["data"]["metadata"]["destroyed"]) == (404, None, False)
    assert gone["data"]["metadata"]["deletion_time"]
    await vault("POST", "kv/undelete/app/config", {"versions": [2]})
    assert (await vault("GET", "kv/data/app/config"))[1]["data"]["data"] == {"a": "2"}
    await vault("POST", "kv/destroy/app/config", {"versions": ["2"]})
    assert (await vault("GET", "kv/data/app/config"))[1]["data"]["metadata"]["destroyed"] is True
    assert (await vault("GET", "kv/metadata/?list=true"))[1]["data"] == {"keys": ["app/"]}
    await vault("DELETE", "kv/metadata/app/config")
    assert await vault("GET", "kv/data/app/config") == (404, {"errors": []})


async def test_kv_v1(vault: Client) -> None:
    assert (await vault("PUT", "kv1/a/b", {"x": "1"}))[0] == 204
    assert (await vault("GET", "kv1/a/b"))[1]["data"] == {"x": "1"}
    assert (await vault("GET", "kv1/?list=true"))[1]["data"] == {"keys": ["a/"]}
    await vault("DELETE", "kv1/a/b")
    assert await vault("GET", "kv1/a/b") == (404, {"errors": []})


async def test_numbers_come_back_in_their_own_digits(vault: Client) -> None:
    literal = '{"data":{"big":12345678901234567890,"html":"<&>","one":1.0,"small":1e-7}}'
    async with vault.session.put(f"{vault.url}kv/data/n", data=literal, headers=vault.headers) as response:
        assert response.status == 200
    async with vault.session.get(f"{vault.url}kv/data/n", headers=vault.headers) as response:
        text = await response.text()
    assert '{"big":12345678901234567890,"html":"\\u003c\\u0026\\u003e","one":1.0,"small":1e-7}' in text


@pytest.mark.parametrize(
    ("path", "token", "status", "error"),
    [
        ("kv/data/x", "bad", 403, INVALID_TOKEN),
        ("kv/data/x", "", 403, "permission denied"),
        ("none/x", "root", 404, 'no handler for route "none/x". route entry not found.'),
    ],
)
async def test_refusals(vault: Client, path: str, token: str, status: int, error: str) -> None:
    assert await vault.with_headers(X_Vault_Token=token)("GET", path) == (status, {"errors": [error]})


async def test_seal_and_unseal(vault: Client, sandbox: Sandbox) -> None:
    await vault("PUT", "kv/data/x", {"data": {"a": "1"}})
    assert (await vault("GET", "sys/health"))[0] == 200
    assert (await vault("PUT", "sys/seal"))[0] == 204
    assert (await vault("GET", "sys/health"))[0] == 503
    assert (await vault("GET", "sys/seal-status"))[1]["sealed"] is True
    assert await vault("GET", "kv/data/x") == (503, {"errors": ["Vault is sealed"]})
    assert (await vault("PUT", "sys/unseal", {"key": "wrong"}))[0] == 400
    assert (await vault("PUT", "sys/unseal", {"key": sandbox.vault.unseal_key}))[1]["sealed"] is False
    assert (await vault("GET", "kv/data/x"))[0] == 200


async def test_a_login_reads_what_its_policy_says_until_its_token_ends(
    kube: Client, vault: Client, clock: FakeClock, tmp_path: Path
) -> None:
    await make_role(vault)
    await vault("PUT", "kv/data/app/config", {"data": {"a": "1"}})
    status, answered = await vault("POST", "auth/kubernetes/login", {"role": "app", "jwt": await login_jwt(kube)})
    auth = answered["auth"]
    assert (status, auth["lease_duration"], auth["policies"]) == (200, 60, ["app", "default"])
    mine = vault.with_headers(X_Vault_Token=auth["client_token"])
    assert (await mine("GET", "kv/data/app/config"))[0] == 200
    assert await mine("GET", "kv/data/app/other") == (403, {"errors": [DENIED]})
    await clock.advance(50)
    assert (await mine("POST", "auth/token/renew-self"))[1]["auth"]["lease_duration"] == 60
    await clock.advance(59)
    assert (await mine("GET", "auth/token/lookup-self"))[1]["data"]["ttl"] == 1
    await clock.advance(1)
    assert await mine("GET", "kv/data/app/config") == (403, {"errors": [INVALID_TOKEN]})
    log = (tmp_path / "vault-audit.log").read_text()
    assert auth["client_token"] not in log
    lines = [json.loads(line) for line in log.splitlines()]
    reads = [
        e
        for e in lines
        if e["type"] == "response" and e.get("auth", {}).get("display_name") == "kubernetes-default-app"
    ]
    assert [(e["request"]["operation"], e["request"]["path"], "error" in e) for e in reads][:3] == [
        ("update", "auth/kubernetes/login", False),
        ("read", "kv/data/app/config", False),
        ("read", "kv/data/app/other", True),
    ]


@pytest.mark.parametrize(
    ("role", "login", "status", "error"),
    [
        ({}, {"role": "nope"}, 400, 'invalid role name "nope"'),
        ({}, {"role": ""}, 400, "missing role"),
        (
            {"audience": "x"},
            {},
            403,
            "invalid audience (aud) claim: audience claim does not match any expected audience",
        ),
        ({"bound_service_account_names": "other"}, {}, 403, "service account name not authorized"),
        ({"bound_service_account_namespaces": "other"}, {}, 403, "namespace not authorized"),
        ({}, {"jwt": "a.b.c"}, 403, "permission denied"),
    ],
)
async def test_a_refused_login_says_why(
    kube: Client, vault: Client, role: dict[str, Any], login: dict[str, str], status: int, error: str
) -> None:
    await make_role(vault, **role)
    body = {"role": "app", "jwt": await login_jwt(kube)} | login
    assert await vault.with_headers(X_Vault_Token="")("POST", "auth/kubernetes/login", body) == (
        status,
        {"errors": [error]},
    )


async def test_a_login_with_the_token_of_a_deleted_account(kube: Client, vault: Client) -> None:
    await make_role(vault)
    jwt = await login_jwt(kube)
    await kube("DELETE", "/api/v1/namespaces/default/serviceaccounts/app")
    answered = await vault("POST", "auth/kubernetes/login", {"role": "app", "jwt": jwt})
    assert answered == (403, {"errors": ["permission denied"]})
    assert (await vault("POST", "auth/elsewhere/login", {"role": "app", "jwt": jwt}))[0] == 404


async def test_num_uses_and_revocation(vault: Client) -> None:
    _, made = await vault("POST", "auth/token/create", {"policies": ["root"], "num_uses": 2})
    mine = vault.with_headers(X_Vault_Token=made["auth"]["client_token"])
    assert [(await mine("GET", "sys/mounts"))[0] for _ in range(3)] == [200, 200, 403]
    _, made = await vault("POST", "auth/token/create", {"ttl": "1h"})
    mine = vault.with_headers(X_Vault_Token=made["auth"]["client_token"])
    assert (await mine("PUT", "auth/token/revoke-self"))[0] == 204
    assert (await mine("GET", "auth/token/lookup-self"))[0] == 403
