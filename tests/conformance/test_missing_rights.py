"""Take any one right away, and something breaks that says which rule to add: in a status, an event, the log or /readyz."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import httpx
import pytest

from tests.conformance.install import INSTALLS, OPERATOR_NAMESPACE, ROOT, Install, Json
from tests.conformance.lacking import (
    CACHE,
    CRDS,
    CREDENTIALS,
    METRICS,
    SCALE,
    Right,
    Scene,
    rights,
    rights_of_commands,
    without,
)
from tests.conformance.stage import Stage, team_of
from tests.conformance.workloads import deployment, rollout, serve_rollouts
from tests.testbed.bed import Bed, always, eventually
from vso.app import rbac

LASTS = 40
TEAM, OWN, RESTARTS = rbac.NAME, rbac.OWN, rbac.RESTARTS
FINALIZER = "vaultstaticsecret.secrets.hashicorp.com/finalizer"
NEVER: Json = {"refreshAfter": "1h"}
pytestmark = pytest.mark.only_in("full", because="it has the roles of every install itself")


# What lists and watches are for: without them the operator knows of nothing.


def a_list(scene: Scene) -> None:
    scene.start(wait=False)
    scene.readiness_names_it()
    assert scene.log_names_it()["event"] == "watch interrupted"
    assert scene.operator.stop(grace=10).code == 0


def a_watch(scene: Scene) -> None:
    scene.start()
    assert scene.log_names_it()["event"] == "watch interrupted"
    scene.team.access()
    always(lambda: scene.team.get("VaultAuth", "auth")["status"]["observedGeneration"] == -1, during=1)


def watch_secrets(scene: Scene) -> None:
    scene.start()
    assert scene.log_names_it()["event"] == "watch interrupted"
    scene.team.ready(**NEVER)
    scene.team.bed.kube.delete("Secret", scene.team.ns, "app")
    always(lambda: scene.team.secret() is None, during=1)


# What is written.


def patch_status(scene: Scene) -> None:
    scene.start()
    scene.team.access()
    scene.team.put("app", {"password": "v1"})
    scene.team.static()
    assert scene.log_names_it()["event"] == "pass failed"
    assert scene.team.get()["status"] == {"observedGeneration": -1}


def patch_objects(scene: Scene) -> None:
    scene.start()
    scene.team.access()
    scene.team.put("app", {"password": "v1"})
    scene.team.static(metadata={"finalizers": [FINALIZER]})
    try:
        scene.status_names_it()
        assert scene.team.get()["metadata"]["finalizers"] == [FINALIZER]
    finally:
        scene.team.patch({"metadata": {"finalizers": None}})


def create_secrets(scene: Scene) -> None:
    scene.start()
    scene.team.access()
    scene.team.put("app", {"password": "v1"})
    scene.team.static()
    scene.status_names_it()
    assert scene.team.secret() is None


def patch_secrets(scene: Scene) -> None:
    scene.start()
    scene.team.ready()
    scene.team.put("app", {"password": "v2"})
    scene.event_names_it("KubernetesForbidden")
    assert scene.team.the_data()["password"] == "v1"


def delete_secrets(scene: Scene) -> None:
    scene.start()
    scene.team.ready(**NEVER)
    scene.team.patch({"spec": {"destination": {"name": "renamed"}}})
    scene.event_names_it("KubernetesForbidden")
    assert scene.team.secret("app") is not None


def create_tokens(scene: Scene) -> None:
    scene.start()
    scene.team.access()
    scene.team.put("app", {"password": "v1"})
    scene.team.static()
    scene.status_names_it()


def create_events(scene: Scene) -> None:
    scene.start()
    scene.team.ready()
    assert scene.log_names_it()["event"] == "events are not told"
    assert scene.team.events() == []


def patch_events(scene: Scene) -> None:
    scene.start()
    scene.team.ready()
    for version in ("v2", "v3"):
        scene.team.put("app", {"password": version})
        scene.team.wait_data(partial(_holds, version))
    assert scene.log_names_it()["event"] == "events are not told"


def _holds(version: str, data: dict[str, str]) -> bool:
    return data["password"] == version


# What the operator has for itself.


def a_lease(scene: Scene) -> None:
    scene.start()
    assert scene.log_names_it()["event"] == "leader election"
    assert not scene.operator.leads


def patch_leases(scene: Scene) -> None:
    scene.start()
    assert scene.log_names_it()["event"] == "leader election"


def the_key(scene: Scene) -> None:
    scene.forget("Secret", rbac.MAC_KEY)
    scene.start(wait=False)
    scene.ends()
    assert scene.log_names_it()["event"] == "stopped"


def get_kept_tokens(scene: Scene) -> None:
    scene.start("--client-cache-persistence-model=accessor")
    line = scene.log_names_it()
    assert line["event"] == "no Vault token is kept over a restart"
    assert "manifests/rbac/client-cache" in line["remedy"]


def patch_kept_tokens(scene: Scene) -> None:
    body = {"stringData": {"entry": "of somebody else"}}
    scene.team.bed.kube.patch("Secret", OPERATOR_NAMESPACE, rbac.CLIENT_CACHE[0], body)
    scene.start("--client-cache-persistence-model=accessor")
    assert scene.log_names_it()["event"] == "kept Vault tokens could not be written"


# What is restarted.


def patch_workloads(scene: Scene) -> None:
    scene.team.bed.kube.apply(deployment(scene.team.ns))
    _restart(scene, "Deployment")


def a_rollout(scene: Scene) -> None:
    serve_rollouts(scene.team.bed)
    scene.team.bed.kube.apply(rollout(scene.team.ns))
    _restart(scene, "argo.Rollout")


def _restart(scene: Scene, kind: str) -> None:
    scene.start("--restart-window=0s")
    scene.team.ready(rolloutRestartTargets=[{"kind": kind, "name": "app"}])
    scene.team.put("app", {"password": "v2"})
    scene.status_names_it("RolloutRestart", reason="RolloutRestartTriggeredFailed")


# What is referred to by name.


def get_secrets(scene: Scene) -> None:
    _refer(scene, {"caCertSecretRef": "vault-ca"})


def get_config_maps(scene: Scene) -> None:
    _refer(scene, {"caCertConfigMapRef": {"name": "vault-ca"}})


def _refer(scene: Scene, connection: Json) -> None:
    scene.start()
    scene.team.access(address="https://127.0.0.1:1", connection=connection)
    scene.status_names_it(kind="VaultConnection")


def get_service_accounts(scene: Scene) -> None:
    scene.start()
    aws = {"role": "app", "region": "us-east-1", "irsaServiceAccount": "app"}
    scene.team.access()
    scene.team.apply("VaultAuth", "auth", {"vaultConnectionRef": "vault", "method": "aws", "mount": "aws", "aws": aws})
    scene.team.static()
    scene.status_names_it()


# What guarded metrics ask for.


def review(scene: Scene) -> None:
    scene.start("--metrics-secure", "--metrics-auth")
    headers = {"Authorization": f"Bearer {scene.team.bed.token_for(scene.team.ns, 'app')}"}
    url = f"https://127.0.0.1:{scene.operator.metrics_port}/metrics"
    assert httpx.get(url, headers=headers, verify=False, trust_env=False).status_code == 500
    assert scene.log_names_it()["event"] == "scrapes cannot be let in"


Probe = Callable[[Scene], None]
CRS = "vaultconnections"
PROBES: Mapping[tuple[str, str, str], Probe] = {
    (TEAM, "list", CRS): a_list,
    (TEAM, "watch", CRS): a_watch,
    (TEAM, "patch", f"{CRS}/status"): patch_status,
    (TEAM, "patch", CRS): patch_objects,
    (TEAM, "create", "secrets"): create_secrets,
    (TEAM, "patch", "secrets"): patch_secrets,
    (TEAM, "list", "secrets"): a_list,
    (TEAM, "watch", "secrets"): watch_secrets,
    (TEAM, "delete", "secrets"): delete_secrets,
    (TEAM, "create", "serviceaccounts/token"): create_tokens,
    (TEAM, "create", "events"): create_events,
    (TEAM, "patch", "events"): patch_events,
    (OWN, "create", "leases"): a_lease,
    (OWN, "get", "leases"): a_lease,
    (OWN, "patch", "leases"): patch_leases,
    (OWN, "create", "secrets"): the_key,
    (OWN, "get", "secrets"): the_key,
    (RESTARTS, "patch", "deployments"): patch_workloads,
    (RESTARTS, "get", "rollouts"): a_rollout,
    (RESTARTS, "patch", "rollouts"): a_rollout,
    (CACHE, "get", "secrets"): get_kept_tokens,
    (CACHE, "patch", "secrets"): patch_kept_tokens,
    (CREDENTIALS, "get", "secrets"): get_secrets,
    (CREDENTIALS, "get", "configmaps"): get_config_maps,
    (CREDENTIALS, "get", "serviceaccounts"): get_service_accounts,
    (METRICS, "create", "tokenreviews"): review,
    (METRICS, "create", "subjectaccessreviews"): review,
}


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
