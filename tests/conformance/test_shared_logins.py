"""What tenants share by a VaultAuth, a VaultAuthGlobal or a VaultConnection: never each other's Secrets, nor sockets
that one of them could stop.
"""

from __future__ import annotations

from functools import partial

import pytest

from tests.conformance.audit import read_in
from tests.conformance.stage import Json, Stage, Team

LASTS = 20
pytestmark = pytest.mark.long  # on the sandbox: `make test` has the other attacks
CANARY = "canary-of-a-neighbour"

METHODS: dict[str, Json] = {
    "approle": {"appRole": {"roleId": "app", "secretRef": "creds"}},
    "userpass": {"userpass": {"username": "ada", "secretRef": "creds"}},
    "ldap": {"ldap": {"username": "ada", "secretRef": "creds"}},
    "token": {"token": {"secretRef": "creds"}},
    "jwt": {"jwt": {"role": "app", "secretRef": "creds"}},
    "cert": {"cert": {"secretRef": "creds"}},
    "aws": {"aws": {"role": "app", "secretRef": "creds"}},
    "generic": {"generic": {"bodyFrom": [{"field": "password", "secretRef": "creds", "key": "password"}]}},
}


@pytest.mark.refused("get secrets")
@pytest.mark.beside("victim")
@pytest.mark.parametrize("given", ["VaultAuth", "VaultAuthGlobal"])
@pytest.mark.parametrize("method", METHODS)
def test_the_secret_of_a_shared_login_is_the_consumers_own(team: Team, stage: Stage, method: str, given: str) -> None:
    victim = stage.team(f"{team.ns}-victim")
    victim.keep("creds", **dict.fromkeys(("id", "password", "token", "jwt", "tls.crt", "tls.key"), CANARY))
    team.apply("VaultConnection", "vault", {"address": stage.bed.vault.url})
    victim.apply("VaultConnection", "vault", {"address": stage.bed.vault.url})
    says = {"mount": "login", **METHODS[method]}
    shared = f"{victim.ns}/auth"
    if given == "VaultAuth":
        admits = {"vaultConnectionRef": "vault", "allowedNamespaces": [team.ns]}
        victim.apply("VaultAuth", "auth", {"method": method, **says, **admits})
    else:
        block = next(iter(METHODS[method]))
        defaults = {block: {**METHODS[method][block], "mount": "login"}, "allowedNamespaces": [team.ns]}
        victim.apply("VaultAuthGlobal", "defaults", defaults)
        ref = {"name": "defaults", "namespace": victim.ns}
        team.apply("VaultAuth", "auth", {"vaultConnectionRef": "vault", "method": method, "vaultAuthGlobalRef": ref})
        shared = "auth"
    mark = stage.bed.mark()
    team.static(vaultAuthRef=shared)
    told = team.wait_condition("Ready", "False", timeout=40)
    assert "creds" in told["message"], told
    assert CANARY not in told["message"]
    assert read_in(stage, mark, victim.ns) == set()
    assert read_in(stage, mark, team.ns) == {("secrets", "creds")}
    victim.disband()


FRAMING = {
    "Host": "elsewhere.invalid",
    "Content-Length": "100000",
    "Transfer-Encoding": "chunked",
    "Expect": "100-continue",
    "Upgrade": "websocket",
    "connection": "close",
}


@pytest.mark.parametrize("name", FRAMING)
@pytest.mark.beside("victim")
def test_no_header_of_a_login_says_where_a_request_goes_or_ends_on_a_shared_socket(
    team: Team, stage: Stage, name: str
) -> None:
    victim = stage.team(f"{team.ns}-victim")
    victim.ready()
    team.access(auth={"headers": {name: FRAMING[name]}, "vaultConnectionRef": f"{victim.ns}/vault"})
    team.static()
    told = team.wait_condition("Stalled", reason="InvalidSpec")
    assert f"{name} cannot be overridden" in told["message"]
    victim.put("app", {"password": "v2"})
    victim.wait_data(lambda data: data["password"] == "v2", timeout=5)
    victim.disband()


def holds(password: str, data: dict[str, str]) -> bool:
    return data["password"] == password


@pytest.mark.beside("victim")
def test_a_login_that_vault_does_not_even_answer_shuts_no_neighbour_out(team: Team, stage: Stage) -> None:
    victim = stage.team(f"{team.ns}-victim")
    victim.ready()
    over = {f"X-{number}": "x" * 100_000 for number in range(12)}
    team.access(auth={"headers": over, "vaultConnectionRef": f"{victim.ns}/vault"})
    for number in range(8):
        team.static(f"app-{number}")
    team.wait_condition("Ready", "False", name="app-7", timeout=40)
    for number in range(2, 6):
        victim.put("app", {"password": f"v{number}"})
        victim.wait_data(partial(holds, f"v{number}"), timeout=5)
        assert victim.condition("Healthy")["status"] == "True"
    victim.disband()
