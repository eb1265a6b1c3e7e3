"""A namespaced install: a list of namespaces and Roles in them, and no ClusterRole at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.stage import MANIFESTS, OPERATOR_NAMESPACE, OPERATOR_USER, Json, Stage, Team, documents
from tests.testbed.bed import ApiCall, Bed, Mark, eventually
from tests.testbed.operator import Operator
from tests.testbed.real import RealBed

NAMESPACED = MANIFESTS / "rbac" / "namespaced"
SERVICE_ACCOUNT = "app-sa"  # the one that the shipped Roles name
RESTARTED_AT = "vso.secrets.hashicorp.com/restartedAt"


class Install:
    """The operator in one mode, its two namespaces, and a third that it knows nothing of."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.mark: Mark = stage.bed.mark()
        self.watched = tuple(found(stage, f"{stage.mode}-{name}") for name in ("a", "b"))
        self.unwatched = found(stage, f"{stage.mode}-c")
        for team in self.watched:
            for document in templates(stage.mode):
                document["metadata"]["namespace"] = team.ns
                stage.bed.kube.apply(document)

    def start(self) -> None:
        """Start the operator for its namespaces."""
        names = ",".join(team.ns for team in self.watched)
        self.stage.put_on(
            Operator(self.stage.bed, f"--secrets-access={self.stage.mode}", f"--watch-namespaces={names}")
        )

    def calls(self) -> list[ApiCall]:
        """Everything that the operator asked of the API server."""
        return [call for call in self.stage.bed.kube_audit(self.mark) if call.user == OPERATOR_USER]


def templates(folder: str) -> list[Json]:
    """The shipped objects of a folder."""
    every = (d for path in sorted((NAMESPACED / folder).glob("*.yaml")) for d in documents(path))
    return [d for d in every if d["kind"] != "Kustomization"]


def found(stage: Stage, name: str) -> Team:
    """Found a team whose ServiceAccount is the one of the shipped Roles."""
    team = stage.team(name)
    meta = {"name": SERVICE_ACCOUNT, "namespace": team.ns}
    team.bed.kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    team.role(bound_service_account_names=SERVICE_ACCOUNT)
    return team


@pytest.fixture(scope="module", params=["full", "write-only"])
def install(prepared: Bed, request: pytest.FixtureRequest) -> Iterator[Install]:
    """The operator under the namespaced Roles alone."""
    stage = Stage(prepared, mode=request.param)
    for mode in ("full", "write-only"):
        for document in stage.roles(mode):
            prepared.kube.remove(document)
    for document in templates("operator"):
        prepared.kube.apply(document)
    install = Install(stage)
    install.start()
    yield install
    stage.close()
    for team in (*install.watched, install.unwatched):
        team.disband()


def apply_everything(team: Team, **changes: Any) -> None:
    team.access(auth={"kubernetes": {"serviceAccount": SERVICE_ACCOUNT}})
    team.put("app", {"password": "v1"})
    team.static(**changes)


def deploy(team: Team) -> None:
    labels = {"app": "app"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    meta = {"name": "app", "namespace": team.ns}
    team.bed.kube.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})


def test_secrets_follow_vault_in_every_watched_namespace_and_in_no_other(install: Install) -> None:
    apply_everything(install.unwatched)
    for team in install.watched:
        apply_everything(team)
    for team in install.watched:
        team.wait_ready()
        team.put("app", {"password": "v2"})
    for team in install.watched:
        team.wait_data(lambda data: data["password"] == "v2")
    assert install.unwatched.secret() is None
    assert install.unwatched.get()["status"]["observedGeneration"] == -1


def test_a_workload_is_restarted_under_a_role_of_its_own(install: Install) -> None:
    team = install.watched[0]
    deploy(team)
    apply_everything(team, rolloutRestartTargets=[{"kind": "Deployment", "name": "app"}])
    team.wait_ready()
    team.put("app", {"password": "restarted"})
    template = eventually(
        lambda: team.bed.kube.find("Deployment", team.ns, "app")["spec"]["template"]["metadata"].get("annotations"),
        message="the Deployment is restarted",
    )
    assert RESTARTED_AT in template


def test_a_reference_into_an_unwatched_namespace_says_so(install: Install) -> None:
    team = install.watched[1]
    team.static("far", vaultAuthRef=f"{install.unwatched.ns}/auth", refreshAfter="1h")
    condition = team.wait_condition("Ready", "False", name="far")
    assert "does not watch" in condition["message"]
    assert f"{install.unwatched.ns}/auth" in condition["message"]


def test_what_is_repaired_and_deleted_needs_no_more_rights(install: Install) -> None:
    team = install.watched[0]
    apply_everything(team)
    team.wait_ready()
    team.patch({"spec": {"destination": {"name": "renamed"}}})
    team.wait_data(lambda data: "password" in data, name="renamed")
    if install.stage.mode == "full":
        team.bed.kube.patch("Secret", team.ns, "renamed", {"data": {"password": None}})
        team.wait_data(lambda data: "password" in data, name="renamed")


def test_every_request_stays_inside_and_none_is_refused(install: Install) -> None:
    calls = install.calls()
    inside = {OPERATOR_NAMESPACE, *(team.ns for team in install.watched)}
    assert {call.resource for call in calls} >= {"vaultstaticsecrets", "secrets", "serviceaccounts", "events", "leases"}
    assert [call.uri for call in calls if call.namespace not in inside] == []
    assert [call.uri for call in calls if call.code == 403] == []
    own = {(call.verb, call.resource) for call in calls if call.namespace == OPERATOR_NAMESPACE}
    assert own <= {("get", "secrets"), ("create", "secrets"), *((v, "leases") for v in ("get", "create", "patch"))}


def test_no_cluster_role_is_bound_to_the_operator(install: Install) -> None:
    bindings = install.stage.bed.kube.list("ClusterRoleBinding")
    subjects = [(s.get("namespace"), s["name"]) for b in bindings for s in b.get("subjects") or ()]
    assert (OPERATOR_NAMESPACE, "vault-secrets-operator") not in subjects


@pytest.mark.real
@pytest.mark.parametrize("mode", ["full", "write-only"])
def test_kustomize_fills_the_namespace_in_and_nothing_else(real_bed: RealBed, tmp_path: Path, mode: str) -> None:
    base = os.path.relpath(NAMESPACED / mode, tmp_path)
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"namespace": "team-a", "resources": [base]}))
    built = list(yaml.safe_load_all(real_bed.kubectl("kustomize", str(tmp_path))))
    expected = templates(mode)
    for document in expected:
        document["metadata"]["namespace"] = "team-a"
    assert sorted(built, key=str) == sorted(expected, key=str)
