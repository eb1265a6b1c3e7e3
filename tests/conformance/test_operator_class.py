"""Two operators in one cluster: labels say whose an object is, and neither touches what is the other's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.chart_cases import of_kind, render
from tests.conformance.install import moved
from tests.conformance.stage import AUDIENCE, OPERATOR_NAMESPACE, OPERATOR_USER, Stage, Team
from tests.testbed.bed import ApiCall, Mark, always, eventually
from tests.testbed.helm import Helm
from tests.testbed.operator import Identity, Operator, Setting

LASTS = 20
BLUE_NAMESPACE = "vso-blue"
BLUE_USER = f"system:serviceaccount:{BLUE_NAMESPACE}:vault-secrets-operator"
BLUE = {"vso.hashicorp.com/operator-class": "blue"}


def install(stage: Stage) -> None:
    """Install a second operator: the shipped objects, as the overlay of manifests/README.md moves them."""
    kube = stage.bed.kube
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": BLUE_NAMESPACE}})
    meta = {"name": "vault-secrets-operator", "namespace": BLUE_NAMESPACE}
    kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    for document in stage.install.roles(stage.watched):
        kube.apply(moved(document, BLUE_NAMESPACE))


@pytest.fixture(scope="module", autouse=True)
def blue(stage: Stage) -> Iterator[Operator]:
    """The operator of class blue; of its objects it leaves those alone that are for later."""
    install(stage)
    setting = Setting(name="blue", identity=Identity(namespace=BLUE_NAMESPACE))
    watched = [BLUE_NAMESPACE if name == OPERATOR_NAMESPACE else name for name in stage.watched]
    args = (*stage.install.flags(watched), "--operator-class=blue", "--watch-label-selector=when!=later")
    operator = Operator(stage.bed, *args, setting=setting)
    operator.start()
    operator.wait_ready()
    yield operator
    operator.stop()
    assert "Traceback" not in operator.log_text()


def writes(stage: Stage, mark: Mark, user: str, team: Team) -> list[ApiCall]:
    found = [call for call in stage.bed.kube_audit(mark) if call.user == user and call.writes]
    return [call for call in found if call.namespace == team.ns]


def access_of_blue(team: Team) -> None:
    """Apply a VaultConnection and a VaultAuth of class blue beside the others."""
    team.apply("VaultConnection", "vault-blue", {"address": team.bed.vault.url}, labels=BLUE)
    team.apply("VaultAuth", "auth-blue", team.auth_spec(vaultConnectionRef="vault-blue"), labels=BLUE)


def test_each_looks_after_its_own_and_writes_to_nothing_else(team: Team, stage: Stage) -> None:
    mark = stage.bed.mark()
    team.put("app", {"password": "v1"})
    access_of_blue(team)
    team.static(vaultAuthRef="auth-blue", metadata={"labels": BLUE})
    team.wait_ready()
    team.wait_condition("Ready", kind="VaultAuth", name="auth-blue")
    assert writes(stage, mark, BLUE_USER, team)
    assert writes(stage, mark, OPERATOR_USER, team) == []
    mark = stage.bed.mark()
    team.access()
    team.static("own")
    team.wait_ready("own")
    team.wait_condition("Ready", kind="VaultAuth", name="auth")
    assert writes(stage, mark, OPERATOR_USER, team)
    assert writes(stage, mark, BLUE_USER, team) == []


def test_an_object_changes_hands_and_its_secret_stays_as_it_is(team: Team, stage: Stage) -> None:
    access_of_blue(team)
    team.ready()
    secret = team.the_secret()
    mark = stage.bed.mark()
    team.patch({"metadata": {"labels": BLUE}, "spec": {"vaultAuthRef": "auth-blue"}})
    team.wait_ready()
    eventually(lambda: writes(stage, mark, BLUE_USER, team), message="the other one has taken it over")
    assert team.the_secret()["metadata"]["resourceVersion"] == secret["metadata"]["resourceVersion"]
    mark = stage.bed.mark()
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")
    assert team.the_secret()["metadata"]["uid"] == secret["metadata"]["uid"]
    assert writes(stage, mark, OPERATOR_USER, team) == []
    assert team.events("app", "ForeignWriter") == []


def test_a_reference_to_what_is_the_others_is_refused(team: Team) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.static(metadata={"labels": BLUE})
    told = team.wait_condition("Ready", "False", "ReferenceNotFound", timeout=40)
    assert f"VaultAuth {team.ns}/auth, whose labels leave it to another operator" in told["message"]
    access_of_blue(team)
    team.patch({"spec": {"vaultAuthRef": "auth-blue"}})
    team.wait_ready()


@pytest.mark.parametrize("kept", ["Delete", "Retain"])
def test_a_secret_of_the_others_object_is_not_taken_over(team: Team, kept: str) -> None:
    access_of_blue(team)
    team.access()
    team.put("app", {"password": "v1"})
    owned = {"name": "app", "onDelete": kept}
    team.static(vaultAuthRef="auth-blue", metadata={"labels": BLUE}, refreshAfter="1h", destination=owned)
    team.wait_ready()
    secret = team.the_secret()
    team.put("stolen", {"password": "stolen"})
    team.static("thief", "stolen", destination={"name": "app", "overwrite": True})
    told = team.wait_condition("Stalled", reason="DestinationConflict", name="thief")
    assert f"belongs to VaultStaticSecret {team.ns}/app" in told["message"]
    assert team.the_secret() == secret


def test_an_object_that_changes_its_class_loses_what_it_referred_to_and_takes_nothing_along(team: Team) -> None:
    team.ready(refreshAfter="1h")
    secret = team.the_secret()
    team.patch({"metadata": {"labels": BLUE}})
    team.wait_condition("Healthy", "False", "ReferenceNotFound", timeout=40)
    assert team.the_secret()["data"] == secret["data"]
    team.patch({"metadata": {"labels": dict.fromkeys(BLUE)}})
    team.wait_condition("Healthy", timeout=40)
    assert team.the_secret()["metadata"]["uid"] == secret["metadata"]["uid"]


def test_what_the_selector_leaves_out_is_left_alone_until_its_labels_change(team: Team, stage: Stage) -> None:
    mark = stage.bed.mark()
    access_of_blue(team)
    team.put("app", {"password": "v1"})
    team.static(vaultAuthRef="auth-blue", metadata={"labels": {**BLUE, "when": "later"}})
    team.wait_condition("Ready", kind="VaultAuth", name="auth-blue")
    always(lambda: team.get()["status"] == {"observedGeneration": -1}, during=2)
    assert team.secret() is None
    assert writes(stage, mark, OPERATOR_USER, team) == []
    team.patch({"metadata": {"labels": {"when": "now"}}})
    team.wait_ready()
    team.patch({"metadata": {"labels": {"when": "later"}}})
    team.put("app", {"password": "v2"})
    always(lambda: team.the_data()["password"] == "v1", during=2)


@pytest.mark.real
def test_the_defaults_of_the_chart_are_those_of_its_own_operator(team: Team, tmp_path: Path) -> None:
    kube, login = team.bed.kube, "defaultAuthMethod"
    said = {
        "namespaceOverride": BLUE_NAMESPACE,
        "operator.watchLabelSelector": "when!=later",
        "defaultVaultConnection.address": team.bed.vault.url,
        f"{login}.kubernetes.role": team.ns,
        f"{login}.kubernetes.serviceAccount": "app",
        f"{login}.kubernetes.tokenAudiences": f"{{{AUDIENCE}}}",
    }
    settings = ",".join(f"{path}={value}" for path, value in said.items())
    objects = render(Helm(tmp_path), "operator-class-defaults", "--set", settings)
    access = [
        found for found in of_kind(objects, "VaultConnection", "VaultAuth") if found["metadata"]["name"] == "default"
    ]
    team.access()
    team.put("app", {"password": "v1"})
    try:
        for found in access:
            kube.apply(found)
        spec = {key: value for key, value in team.secret_spec().items() if key != "vaultAuthRef"}
        team.apply("VaultStaticSecret", "app", spec, labels=BLUE)
        team.wait_ready()
        for found in access:
            assert kube.find(found["kind"], BLUE_NAMESPACE, "default")["status"]["observedGeneration"] == 1
    finally:
        for found in access:
            kube.remove(found)
