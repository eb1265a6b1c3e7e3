"""What breaks without a right, and where it says which rule to add: one probe for each right of a role.

Invariant: a probe fails where nothing names the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import httpx

from tests.conformance.install import OPERATOR_NAMESPACE, Json
from tests.conformance.lacking import CACHE, CREDENTIALS, METRICS, Scene
from tests.conformance.workloads import deployment, rollout, serve_rollouts
from tests.testbed.bed import always
from vso.app import rbac

TEAM, OWN, RESTARTS = rbac.NAME, rbac.OWN, rbac.RESTARTS
FINALIZER = "vaultstaticsecret.secrets.hashicorp.com/finalizer"
NEVER: Json = {"refreshAfter": "1h"}


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
