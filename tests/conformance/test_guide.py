"""The objects of `GUIDE.md`, applied as they are written; only Vault's address is the bed's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.conformance import readme
from tests.conformance.stage import AUDIENCE, OPERATOR_NAMESPACE, ROOT, Stage, Team
from tests.conformance.workloads import deployment
from tests.testbed.bed import eventually

LASTS = 15

GUIDE = ROOT / "GUIDE.md"
PLACEHOLDER = "https://vault.example.com:8200"
ROLE = "app"


def apply(team: Team, name: str, *kinds: str) -> None:
    """Apply the objects of a block, or those of some kinds, in the team's namespace where they name none."""
    text = readme.block(GUIDE, name).replace(PLACEHOLDER, team.bed.vault.url)
    for found in yaml.safe_load_all(text):
        if not kinds or found["kind"] in kinds:
            found["metadata"].setdefault("namespace", team.ns)
            team.bed.kube.apply(found)


def let_in(team: Team, policy: str) -> None:
    """Set Vault up for the role that the page names."""
    team.bed.vault.policy(ROLE, policy)
    role = {"bound_service_account_names": "app", "bound_service_account_namespaces": team.ns, "audience": AUDIENCE}
    team.bed.vault.write(f"auth/kubernetes/role/{ROLE}", {**role, "token_policies": ROLE, "token_ttl": "20m"})


@pytest.fixture
def team_a(stage: Stage) -> Iterator[Team]:
    """The team of the page that takes defaults over."""
    team = stage.team("team-a")
    yield team
    team.disband()
    for kind, name in (("VaultAuthGlobal", "default"), ("VaultConnection", "vault")):
        stage.bed.kube.delete(kind, OPERATOR_NAMESPACE, name)


def test_the_example_makes_a_secret_of_exactly_the_listed_keys(team: Team) -> None:
    team.bed.vault.kv2_put("kv", "app/config", {"username": "ada", "password": "v1"})
    let_in(team, 'path "kv/data/app/config" { capabilities = ["read"] }')
    apply(team, "example")
    team.wait_ready("app-config")
    assert team.the_data("app-config") == {"DB_PASSWORD": "v1"}


@pytest.mark.only_in("full", "write-only", because="the page names its namespace, which is none of the scenarios'")
def test_a_vault_auth_takes_the_defaults_over(team_a: Team) -> None:
    meta = {"name": "vault", "namespace": OPERATOR_NAMESPACE}
    spec = {"address": team_a.bed.vault.url}
    team_a.bed.kube.apply({**team_a.manifest("VaultConnection", "vault", spec), "metadata": meta})
    apply(team_a, "defaults")
    team_a.put("app", {"password": "v1"})
    team_a.static(vaultAuthRef="va-k8s")
    team_a.wait_ready()
    assert team_a.the_data()["password"] == "v1"


def test_a_dynamic_secret_holds_a_user_that_lives(team: Team) -> None:
    database = team.bed.database()
    database.role(ROLE, default_ttl="1h")
    let_in(
        team,
        'path "database/creds/app" { capabilities = ["read"] }\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n',
    )
    team.bed.kube.apply(deployment(team.ns))
    apply(team, "example", "VaultConnection", "VaultAuth")
    apply(team, "dynamic")
    team.wait_ready("db", "VaultDynamicSecret", timeout=30)
    assert database.users(ROLE) == [team.the_data("db")["username"]]
    team.bed.kube.delete("VaultDynamicSecret", team.ns, "db")
    eventually(lambda: database.users(ROLE) == [], message="the lease is given back")
