"""Take any one right away, and something breaks that says which rule to add: in a status, an event, the log or /readyz."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest

from tests.conformance.install import INSTALLS, OPERATOR_NAMESPACE, ROOT, Install
from tests.conformance.lacking import CRDS, SCALE, Right, Scene, rights, rights_of_commands, without
from tests.conformance.right_probes import CRS, PROBES, TEAM
from tests.conformance.stage import Stage, team_of
from tests.conformance.workloads import deployment
from tests.testbed.bed import Bed, eventually
from vso.app import rbac

LASTS = 40

pytestmark = pytest.mark.only_in("full", because="it has the roles of every install itself")

ELSEWHERE = ((TEAM, "list", CRS), (TEAM, "create", "serviceaccounts/token"))
"""What is asked in another way by an operator of single namespaces."""


def every_right() -> Iterator[Any]:
    """Each right of each install; on the real servers where none before has it too, or it differs."""
    told: set[tuple[str, str, str]] = set()
    for install in INSTALLS.values():
        for right in rights(install):
            marks = [pytest.mark.refused(*(f"{right.verb} {resource}" for resource in right.resources))]
            differs = install.namespaced and install.full and right.id in ELSEWHERE
            if right.id in told and not differs:
                marks.append(pytest.mark.sandbox)
            told.add(right.id)
            yield pytest.param(install, right, id=f"{install.name}, {' '.join(right.id)}", marks=marks)


@pytest.fixture
def scene(prepared: Bed, request: pytest.FixtureRequest, install: Install, right: Right) -> Iterator[Scene]:
    """A team under the roles of an install but for a right."""
    stage = Stage(prepared, install, [team_of(request.node)])
    scene = Scene(stage, stage.team(team_of(request.node)), right)
    scene.install()
    yield scene
    scene.team.disband()
    stage.close()


@pytest.mark.long
@pytest.mark.parametrize(("install", "right"), list(every_right()))
def test_who_lacks_a_right_is_told_which_rule_to_add(scene: Scene) -> None:
    PROBES[scene.right.id](scene)


def test_every_right_has_a_probe() -> None:
    ids = {right.id for install in INSTALLS.values() for right in rights(install)}
    assert ids == set(PROBES)
    assert {right.id for right in rights_of_commands()} == set(COMMANDS)


# Commands that run once, under an account of their own.


def _command(bed: Bed, right: Right, *args: str) -> str:
    """Run `vso` as somebody who lacks the right; what it says as it fails."""
    rules = {CRDS: rbac.crd_rules(), SCALE: rbac.scale_rules()}[right.role]
    meta = {"name": right.role, "namespace": OPERATOR_NAMESPACE}
    group, subject = "rbac.authorization.k8s.io", {"kind": "ServiceAccount", **meta}
    frame = {"apiVersion": f"{group}/v1", "metadata": {"name": right.role}}
    role = {"apiGroup": group, "kind": "ClusterRole", "name": right.role}
    bed.kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    for document in without([{**frame, "kind": "ClusterRole", "rules": rules}], right):
        bed.kube.apply(document)
    bed.kube.apply({**frame, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [subject]})
    config = bed.kubeconfig(bed.directory / "command.yaml", bed.token_for(OPERATOR_NAMESPACE, right.role))
    env = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "OPERATOR_NAMESPACE": OPERATOR_NAMESPACE}
    command = [sys.executable, "-m", "vso", *args, f"--kubeconfig={config}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    return done.stderr


def change_a_crd(bed: Bed, right: Right) -> str:
    return _command(bed, right, "crds", "--apply", "CSISecrets")


def make_a_crd(bed: Bed, right: Right) -> str:
    name = "csisecrets.secrets.hashicorp.com"
    bed.kube.delete("CustomResourceDefinition", None, name)
    eventually(lambda: not bed.kube.exists("CustomResourceDefinition", None, name), message="the CRD has gone")
    try:
        return change_a_crd(bed, right)
    finally:
        Stage(bed).set_up()


def stop_the_operator(bed: Bed, right: Right) -> str:
    operator = deployment(OPERATOR_NAMESPACE)
    operator["metadata"]["name"] = rbac.NAME
    operator["spec"]["replicas"] = 1
    bed.kube.apply(operator)
    found = partial(bed.kube.find, "Deployment", OPERATOR_NAMESPACE, rbac.NAME)
    eventually(lambda: found()["status"].get("replicas") == 1, message="its controller has seen the Deployment")
    try:
        return _command(bed, right, "run", "--uninstall", f"--uninstall-deployment={rbac.NAME}")
    finally:
        bed.kube.remove(operator)


COMMANDS: Mapping[tuple[str, str, str], Callable[[Bed, Right], str]] = {
    (CRDS, "create", "customresourcedefinitions"): make_a_crd,
    (CRDS, "get", "customresourcedefinitions"): make_a_crd,
    (CRDS, "patch", "customresourcedefinitions"): change_a_crd,
    (SCALE, "get", "deployments/scale"): stop_the_operator,
    (SCALE, "patch", "deployments/scale"): stop_the_operator,
}


@pytest.mark.real
@pytest.mark.parametrize("right", rights_of_commands(), ids=lambda right: " ".join(right.id))
def test_a_command_that_lacks_a_right_ends_and_says_which_rule_to_add(prepared: Bed, right: Right) -> None:
    assert right.is_named_in(COMMANDS[right.id](prepared, right))
