"""A namespaced install: a list of namespaces and Roles in them, and no ClusterRole at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.install import INSTALLS, Install, shipped
from tests.conformance.stage import MANIFESTS, OPERATOR_NAMESPACE, OPERATOR_USER, Stage, Team
from tests.testbed.bed import ApiCall, Bed, Mark, eventually
from tests.testbed.real import RealBed

RESTARTED_AT = "vso.secrets.hashicorp.com/restartedAt"
pytestmark = pytest.mark.only_in("full", because="it has both modes of an install for namespaces itself")


class Setup:
    """The operator in one mode, its two namespaces, and a third that it knows nothing of."""

    def __init__(self, bed: Bed, install: Install) -> None:
        names = [f"{install.mode}-{letter}" for letter in "abc"]
        self.stage = Stage(bed, install, names[:2])
        self.mark: Mark = bed.mark()
        self.stage.start_operator("--drift-interval=2s")  # where no watch shows a foreign edit
        self.watched = tuple(self.stage.team(name) for name in names[:2])
        self.unwatched = Team(self.stage, names[2])
        self.unwatched.found()

    def calls(self, mark: Mark | None = None) -> list[ApiCall]:
        """Everything that the operator asked of the API server."""
        return [call for call in self.stage.bed.kube_audit(mark or self.mark) if call.user == OPERATOR_USER]


@pytest.fixture(scope="module", params=["namespaced-full", "namespaced-write-only"])
def setup(prepared: Bed, request: pytest.FixtureRequest) -> Iterator[Setup]:
    """The operator under the roles of single namespaces alone; its own is none of them."""
    setup = Setup(prepared, INSTALLS[request.param])
    yield setup
    setup.stage.close()
    setup.unwatched.disband()


def apply_everything(team: Team, **changes: Any) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.static(**changes)


def deploy(team: Team) -> None:
    labels = {"app": "app"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    meta = {"name": "app", "namespace": team.ns}
    team.bed.kube.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})


def test_secrets_follow_vault_in_every_watched_namespace_and_in_no_other(setup: Setup) -> None:
    apply_everything(setup.unwatched)
    for team in setup.watched:
        apply_everything(team)
    for team in setup.watched:
        team.wait_ready()
        team.put("app", {"password": "v2"})
    for team in setup.watched:
        team.wait_data(lambda data: data["password"] == "v2")
    assert setup.unwatched.secret() is None
    assert setup.unwatched.get()["status"]["observedGeneration"] == -1


def test_a_workload_is_restarted_under_a_role_of_its_own(setup: Setup) -> None:
    team = setup.watched[0]
    deploy(team)
    apply_everything(team, rolloutRestartTargets=[{"kind": "Deployment", "name": "app"}])
    team.wait_ready()
    team.put("app", {"password": "restarted"})
    template = eventually(
        lambda: team.bed.kube.find("Deployment", team.ns, "app")["spec"]["template"]["metadata"].get("annotations"),
        message="the Deployment is restarted",
    )
    assert RESTARTED_AT in template


def test_a_reference_into_an_unwatched_namespace_says_so(setup: Setup) -> None:
    team = setup.watched[1]
    team.static("far", vaultAuthRef=f"{setup.unwatched.ns}/auth", refreshAfter="1h")
    condition = team.wait_condition("Ready", "False", name="far")
    assert "does not watch" in condition["message"]
    assert f"{setup.unwatched.ns}/auth" in condition["message"]


def test_what_is_repaired_and_deleted_needs_no_more_rights(setup: Setup) -> None:
    team = setup.watched[0]
    apply_everything(team)
    team.wait_ready()
    team.patch({"spec": {"destination": {"name": "renamed"}}})
    team.wait_data(lambda data: "password" in data, name="renamed")


def test_what_somebody_edits_or_deletes_is_put_back_in_every_watched_namespace(setup: Setup) -> None:
    edited, deleted = setup.watched
    for team in setup.watched:
        team.access()
        team.put("kept", {"password": "v1"})
        team.static("kept", "kept", refreshAfter="1h")
        team.wait_ready("kept")
    mark = setup.stage.bed.mark()
    edited.bed.kube.patch("Secret", edited.ns, "kept", {"stringData": {"password": "hacked", "extra": "1"}})
    deleted.bed.kube.delete("Secret", deleted.ns, "kept")
    for team in setup.watched:
        team.wait_data(lambda data: data["password"] == "v1" and "extra" not in data, name="kept", timeout=10)
        eventually(partial(team.events, "kept", "DestinationDrifted"), message="it is told")
    secrets = {(call.verb, call.namespace) for call in setup.calls(mark) if call.resource == "secrets"}
    assert secrets >= {("patch", edited.ns), ("create", deleted.ns)}
    assert {verb for verb, _ in secrets} <= {
        "create",
        "patch",
        *(("list", "watch") if setup.stage.install.full else ()),
    }


def test_every_request_stays_inside_and_none_is_refused(setup: Setup) -> None:
    calls = setup.calls()
    inside = {OPERATOR_NAMESPACE, *(team.ns for team in setup.watched)}
    assert {call.resource for call in calls} >= {"vaultstaticsecrets", "secrets", "serviceaccounts", "events", "leases"}
    assert [call.uri for call in calls if call.namespace not in inside] == []
    assert [call.uri for call in calls if call.code == 403] == []
    own = {(call.verb, call.resource) for call in calls if call.namespace == OPERATOR_NAMESPACE}
    assert own <= {("get", "secrets"), ("create", "secrets"), *((v, "leases") for v in ("get", "create", "patch"))}


def test_no_cluster_role_is_bound_to_the_operator(setup: Setup) -> None:
    bindings = setup.stage.bed.kube.list("ClusterRoleBinding")
    subjects = [(s.get("namespace"), s["name"]) for b in bindings for s in b.get("subjects") or ()]
    assert (OPERATOR_NAMESPACE, "vault-secrets-operator") not in subjects


@pytest.mark.real
@pytest.mark.parametrize("mode", ["full", "write-only"])
def test_kustomize_fills_the_namespace_in_and_nothing_else(real_bed: RealBed, tmp_path: Path, mode: str) -> None:
    base = os.path.relpath(MANIFESTS / "rbac" / "namespaced" / mode, tmp_path)
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"namespace": "team-a", "resources": [base]}))
    built = list(yaml.safe_load_all(real_bed.kubectl("kustomize", str(tmp_path))))
    expected = shipped(f"namespaced/{mode}")
    for document in expected:
        document["metadata"]["namespace"] = "team-a"
    assert sorted(built, key=str) == sorted(expected, key=str)
