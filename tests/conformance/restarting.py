"""A team's workloads that are restarted when its secret `app` changes, and how often that was.

Invariant: restarts are counted in the API server's audit log, and looks at the source in Vault's.
"""

from __future__ import annotations

from tests.conformance.stage import OPERATOR_USER, Json, Team
from tests.testbed.bed import Mark, eventually

RESTARTED_AT = "vso.secrets.hashicorp.com/restartedAt"
RESTART = "vso.hashicorp.com/restart"


def workload(team: Team, kind: str, name: str) -> Json:
    """Apply a workload that uses the Secret `app`."""
    container = {"name": "app", "image": "app:1", "envFrom": [{"secretRef": {"name": "app"}}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    spec: Json = {"selector": {"matchLabels": {"app": name}}, "template": template}
    if kind == "StatefulSet":
        spec["serviceName"] = name
    meta = {"name": name, "namespace": team.ns}
    return team.bed.kube.apply({"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": spec})


def marks(team: Team, kind: str = "Deployment", name: str = "app") -> Json:
    """The annotations of a workload's pod template."""
    found = team.bed.kube.find(kind, team.ns, name)
    return dict(found["spec"]["template"]["metadata"].get("annotations") or {})


def restarted(team: Team, kind: str = "Deployment", name: str = "app") -> str | None:
    """When the operator restarted a workload last; None when it never did."""
    return marks(team, kind, name).get(RESTARTED_AT)


def target(kind: str = "Deployment", name: str = "app") -> Json:
    """One of `rolloutRestartTargets`."""
    return {"kind": kind, "name": name}


def ready(team: Team, *targets: Json) -> None:
    """Sync a secret without `_raw`, which changes with every version."""
    team.access()
    team.put("app", {"password": "v1"})
    team.static(rolloutRestartTargets=list(targets), destination={"transformation": {"excludeRaw": True}})
    team.wait_ready()


def rotate(team: Team, password: str = "v2") -> None:
    """Change the secret in Vault and wait until it is in the cluster."""
    team.put("app", {"password": password})
    team.wait_data(lambda data: data["password"] == password)


def restarts(team: Team, since: Mark) -> list[str]:
    """The workloads that the operator patched successfully, in order."""
    return [
        call.name
        for call in team.bed.kube_audit(since)
        if call.user == OPERATOR_USER
        and call.namespace == team.ns
        and call.resource in {"deployments", "statefulsets", "daemonsets", "rollouts"}
        and call.verb == "patch"
        and call.code == 200
    ]


def wait_for_looks(team: Team, count: int = 1) -> None:
    """Wait until Vault was asked for the secret so many times more."""
    mark = team.bed.mark()

    def looked() -> bool:
        path = f"kv/data/{team.ns}/app"
        return len([c for c in team.bed.vault_audit(mark) if c.path == path and c.operation == "read"]) >= count

    eventually(looked, message="the source is polled")


def ask(team: Team, value: str | None) -> None:
    """Ask for a restart, in the words of the value."""
    team.patch({"metadata": {"annotations": {RESTART: value}}})


def wait_acknowledged(team: Team, value: str) -> None:
    """Wait until the status says that what was asked for in these words has been done."""
    eventually(lambda: team.get()["status"].get("lastHandledRestart") == value, message=f"{value} is acknowledged")
