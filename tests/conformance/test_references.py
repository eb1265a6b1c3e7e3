"""References: forms, namespaces, who may follow them, and what a dangling one says."""

from __future__ import annotations

import pytest

from tests.conformance.stage import GROUP, OPERATOR_NAMESPACE, Stage, Team
from tests.testbed.bed import eventually


@pytest.mark.beside("p")
def test_a_reference_with_a_namespace_is_followed_when_allowed(team: Team, stage: Stage) -> None:
    provider = stage.team(f"{team.ns}-p")
    try:
        provider.access(auth={"allowedNamespaces": [team.ns], "kubernetes": {"role": team.ns}})
        team.put("app", {"user": "ada"})
        team.static(vaultAuthRef=f"{provider.ns}/auth")
        team.wait_ready()
    finally:
        provider.disband()


@pytest.mark.beside("p")
def test_a_namespace_that_is_not_allowed_is_stalled(team: Team, stage: Stage) -> None:
    provider = stage.team(f"{team.ns}-p")
    try:
        provider.access(auth={"kubernetes": {"role": team.ns}})
        team.put("app", {"user": "ada"})
        team.static(vaultAuthRef=f"{provider.ns}/auth")
        condition = team.wait_condition("Stalled", reason="NamespaceNotAllowed")
        assert f"{provider.ns}/auth" in condition["message"]
        provider.patch({"spec": {"allowedNamespaces": ["*"]}}, kind="VaultAuth", name="auth")
        team.wait_ready()
    finally:
        provider.disband()


@pytest.mark.beside("p")
def test_a_connection_admits_only_the_namespaces_that_it_lists(team: Team, stage: Stage) -> None:
    provider = stage.team(f"{team.ns}-p")
    try:
        provider.access(connection={"allowedNamespaces": ["nobody"]})
        team.access(auth={"vaultConnectionRef": f"{provider.ns}/vault"})
        team.wait_condition("Stalled", reason="NamespaceNotAllowed", kind="VaultAuth", name="auth")
    finally:
        provider.disband()


def test_no_reference_means_the_default_auth_of_the_operators_namespace(team: Team, stage: Stage) -> None:
    kube = stage.bed.kube
    meta = {"name": "default", "namespace": OPERATOR_NAMESPACE}
    connection = {
        "apiVersion": GROUP,
        "kind": "VaultConnection",
        "metadata": meta,
        "spec": {"address": stage.bed.vault.url},
    }
    auth_spec = {k: v for k, v in team.auth_spec().items() if k != "vaultConnectionRef"}
    auth = {"apiVersion": GROUP, "kind": "VaultAuth", "metadata": meta, "spec": auth_spec}
    kube.apply(connection)
    kube.apply(auth)
    try:
        team.put("app", {"user": "ada"})
        spec = team.secret_spec()
        del spec["vaultAuthRef"]
        team.apply("VaultStaticSecret", "app", spec)
        team.wait_ready()
    finally:
        kube.remove(auth)
        kube.remove(connection)


def test_a_dangling_reference_names_its_prefixed_twin_and_the_fix(team: Team) -> None:
    team.access()
    team.apply("VaultAuth", "prod-va-k8s", team.auth_spec())
    team.static(vaultAuthRef="va-k8s")
    condition = team.wait_condition("Ready", "False", "ReferenceNotFound")
    assert "prod-va-k8s" in condition["message"]
    assert "nameReference" in condition["message"]


def test_a_reference_with_two_slashes_is_refused_with_its_text(team: Team) -> None:
    team.static(vaultAuthRef="a/b/c")
    condition = team.wait_condition("Stalled", reason="InvalidReference")
    assert "a/b/c" in condition["message"]


def test_an_edit_of_the_auth_takes_effect_without_touching_the_secret(team: Team) -> None:
    team.put("app", {"user": "ada"})
    team.access(auth={"kubernetes": {"role": "nonsense"}})
    team.static()
    team.wait_condition("Ready", "False", "VaultLoginRefused")
    team.patch({"spec": {"kubernetes": {"role": team.ns}}}, kind="VaultAuth", name="auth")
    team.wait_ready()


def test_an_edit_of_the_connection_takes_effect_at_once(team: Team) -> None:
    team.put("app", {"user": "ada"})
    team.access(address="http://127.0.0.1:9")
    team.static()
    team.wait_condition("Ready", "False", "VaultUnavailable")
    team.patch({"spec": {"address": team.bed.vault.url}}, kind="VaultConnection", name="vault")
    team.wait_ready(timeout=15)


def test_a_secret_comes_before_its_auth_and_connection_and_waits_for_them(team: Team) -> None:
    team.put("app", {"user": "ada"})
    team.static()
    team.apply("VaultAuth", "auth", team.auth_spec())
    team.wait_condition("Ready", "False", "ReferenceNotFound")
    team.apply("VaultConnection", "vault", {"address": team.bed.vault.url})
    team.wait_ready(timeout=10)


def test_an_unknown_service_account_is_named(team: Team) -> None:
    team.grant("serviceaccounts/token", "nobody", "create")
    team.access(auth={"kubernetes": {"serviceAccount": "nobody"}})
    team.put("app", {"user": "ada"})
    team.static()
    condition = team.wait_condition("Ready", "False", "ServiceAccountNotFound")
    assert f"{team.ns}/nobody" in condition["message"]


def test_an_incomplete_auth_names_the_missing_fields(team: Team) -> None:
    team.apply("VaultConnection", "vault", {"address": team.bed.vault.url})
    team.apply("VaultAuth", "auth", {"vaultConnectionRef": "vault", "method": "kubernetes", "mount": "kubernetes"})
    condition = team.wait_condition("Stalled", reason="InvalidSpec", kind="VaultAuth", name="auth")
    assert "spec.kubernetes.role" in condition["message"]
    assert "spec.kubernetes.serviceAccount" in condition["message"]


def test_deleting_the_auth_keeps_the_secret_and_says_what_dangles(team: Team) -> None:
    team.access()
    team.put("app", {"user": "ada"})
    team.static()
    team.wait_ready()
    team.bed.kube.delete("VaultAuth", team.ns, "auth")
    eventually(
        lambda: team.condition("Healthy").get("reason") == "ReferenceNotFound", message="the dangling ref is told"
    )
    assert team.the_data()["user"] == "ada"
