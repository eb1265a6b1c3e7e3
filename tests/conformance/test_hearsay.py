"""What a tenant reads of another's namespace in statuses and events of its own: not a name that it did not write."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.stage import Stage, Team
from vso.core.keys import Kind

LASTS = 15
pytestmark = pytest.mark.beside("victim")
KEPT = "stripe-live"
NAMED = "live"
"""What kustomize could have made the other name of: at home the help with that names it."""


@pytest.fixture
def victim(team: Team, stage: Stage) -> Iterator[Team]:
    """A neighbour with an object of each kind under a name that nobody else is to know."""
    victim = stage.team(f"{team.ns}-victim")
    victim.apply("VaultConnection", KEPT, {"address": victim.bed.vault.url})
    victim.apply("VaultAuth", KEPT, victim.auth_spec(vaultConnectionRef=KEPT))
    victim.apply("VaultAuthGlobal", KEPT, {"defaultMount": "kubernetes"})
    for kind in ("VaultConnection", "VaultAuth", "VaultAuthGlobal"):
        victim.wait_ready(KEPT, kind)
    yield victim
    victim.disband()


def all_read_by(team: Team) -> str:
    """Everything that its people see in their namespace."""
    objects = [team.bed.kube.list(kind, team.ns) for kind in Kind]
    return str([objects, team.bed.kube.get(f"/api/v1/namespaces/{team.ns}/events")])


def test_a_reference_into_another_namespace_tells_no_name_of_what_is_there(team: Team, victim: Team) -> None:
    team.static("login", vaultAuthRef=f"{victim.ns}/{NAMED}")
    team.apply("VaultAuth", "connected", team.auth_spec(vaultConnectionRef=f"{victim.ns}/{NAMED}"))
    reference = {"name": NAMED, "namespace": victim.ns}
    team.apply("VaultAuth", "defaulted", team.auth_spec(vaultAuthGlobalRef=reference))
    for kind, name in (("VaultStaticSecret", "login"), ("VaultAuth", "connected"), ("VaultAuth", "defaulted")):
        told = team.wait_condition("Ready", "False", "ReferenceNotFound", kind=kind, name=name)
        assert f"{victim.ns}/{NAMED}, which does not exist" in told["message"]
    assert KEPT not in all_read_by(team)


def test_a_login_that_is_shared_tells_no_name_of_what_its_own_references_miss(team: Team, victim: Team) -> None:
    victim.apply("VaultAuth", "shared", victim.auth_spec(vaultConnectionRef=NAMED, allowedNamespaces=[team.ns]))
    reference = {"name": NAMED}
    victim.apply("VaultAuth", "defaulted", victim.auth_spec(vaultAuthGlobalRef=reference, allowedNamespaces=[team.ns]))
    for name in ("shared", "defaulted"):
        team.static(name, vaultAuthRef=f"{victim.ns}/{name}")
        told = victim.wait_condition("Ready", "False", "ReferenceNotFound", kind="VaultAuth", name=name)
        assert f"{victim.ns}/{KEPT} does" in told["message"], "at home it helps"
        told = team.wait_condition("Ready", "False", "ReferenceNotFound", name=name)
        assert f"{victim.ns}/{NAMED}, which does not exist" in told["message"]
    assert KEPT not in all_read_by(team)
