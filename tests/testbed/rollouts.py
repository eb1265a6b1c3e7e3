"""Rollouts that really take place: a scheduler and kwok, which lets pods run on nodes that are not there.

Invariant: only pods that ask for it are scheduled. Those of other scenarios stay pending, as before, with neither
an event nor a status of theirs touched: they name another scheduler, and the nodes are tainted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tests.testbed.build import binaries
from tests.testbed.kube_admin import Json, KubeAdmin, KubeError
from tests.testbed.process import Command, Process
from tests.testbed.scheduler import Scheduler
from tests.testbed.stages import RELEASED, Pace, stages
from tests.testbed.waiting import eventually

NODES = tuple(f"testbed-{number}" for number in (1, 2, 3))
_SCHEDULER = "testbed"
_TAINT = {"key": "testbed", "effect": "NoSchedule"}
_KWOK = "testbed/kwok"
_EVEN = Pace()

Kind = Literal["Deployment", "StatefulSet", "DaemonSet"]


@dataclass(frozen=True)
class Workload:
    """A workload whose pods run, and how they behave; a DaemonSet has one pod per node, three in all."""

    namespace: str
    name: str = "app"
    kind: Kind = "Deployment"
    replicas: int = 3
    pace: Pace = _EVEN
    secret: str | None = None

    @property
    def manifest(self) -> Json:
        """The object."""
        labels = {"app": self.name}
        container: Json = {"name": "app", "image": "app:1"}
        if self.secret is not None:
            container["envFrom"] = [{"secretRef": {"name": self.secret}}]
        pod = {
            "schedulerName": _SCHEDULER,
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": self.pace.lingers,
            "containers": [container],
        }
        template = {"metadata": {"labels": labels, "annotations": dict(self.pace.annotations)}, "spec": pod}
        spec: Json = {"selector": {"matchLabels": labels}, "template": template}
        if self.kind != "DaemonSet":
            spec["replicas"] = self.replicas
        if self.kind == "StatefulSet":
            spec["serviceName"] = self.name
        meta = {"name": self.name, "namespace": self.namespace}
        return {"apiVersion": "apps/v1", "kind": self.kind, "metadata": meta, "spec": spec}


class Rollouts:
    """The scheduler, the nodes and what runs on them."""

    def __init__(self, kube: KubeAdmin, directory: Path, *, scheduler: Path, kwok: Path) -> None:
        """Put it together; the last two are kubeconfigs."""
        self.kube = kube
        self._directory = directory
        self.kwok = self._kwok(kwok)
        self._scheduler = Scheduler(directory, scheduler, _SCHEDULER)
        self.scheduler = self._scheduler.process

    def start(self) -> None:
        """Start both and add the nodes."""
        for process in (self.kwok, self.scheduler):
            process.start()
        for name in NODES:
            spec = {"taints": [_TAINT]}
            meta = {"name": name, "labels": {_KWOK: "true"}}
            self.kube.apply({"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": spec})
        self.kwok.wait_ready(lambda: self._ready_nodes() == len(NODES))
        self._scheduler.wait_ready()

    def stop(self) -> None:
        """Stop both; the pods stay as they are."""
        for process in (self.scheduler, self.kwok):
            if process.running:
                process.stop(grace=2)

    def apply(self, workload: Workload, *, timeout: float | None = 30) -> Json:
        """Apply a workload and wait until it is available, unless the timeout is None."""
        applied = self.kube.apply(workload.manifest)
        if timeout is not None:
            self.wait_available(workload, timeout)
        return applied

    def restart(self, workload: Workload) -> None:
        """Restart a workload as `kubectl rollout restart` does."""
        annotations = {"kubectl.kubernetes.io/restartedAt": datetime.now(UTC).isoformat()}
        change = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        self.kube.patch(workload.kind, workload.namespace, workload.name, change)

    def release(self, workload: Workload, timeout: float = 30) -> None:
        """Let the pods that are slow, stuck or crashing get ready, and those that follow, until the rollout is through."""

        def through() -> bool:
            for pod in self.pods(workload):
                self._release(workload.namespace, pod["metadata"]["name"])
            return self.available(workload)

        eventually(through, timeout, f"{workload.name} is available after its release", interval=0.2)

    def pods(self, workload: Workload) -> list[Json]:
        """The workload's pods, without those that are going."""
        found = self.kube.list("Pod", workload.namespace, labelSelector=f"app={workload.name}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def available(self, workload: Workload) -> bool:
        """Whether the rollout of what is wanted now is through."""
        return rolled_out(self.kube.find(workload.kind, workload.namespace, workload.name))

    def wait_available(self, workload: Workload, timeout: float = 30) -> None:
        """Wait until the rollout of what is wanted now is through."""

        def state() -> str:
            found = self.kube.find(workload.kind, workload.namespace, workload.name)
            return f"{workload.kind} {workload.name} is available: {found.get('status')}"

        eventually(lambda: self.available(workload), timeout, state)

    def _release(self, namespace: str, pod: str) -> None:
        try:
            self.kube.patch("Pod", namespace, pod, {"metadata": {"annotations": {RELEASED: "true"}}})
        except KubeError as error:
            if error.status != 404:  # replaced in the meantime
                raise

    def _ready_nodes(self) -> int:
        conditions = [node["status"].get("conditions", []) for node in self.kube.list("Node", labelSelector=_KWOK)]
        return sum(any(c["type"] == "Ready" and c["status"] == "True" for c in found) for found in conditions)

    def _kwok(self, kubeconfig: Path) -> Process:
        config = self._directory / "kwok.yaml"
        config.write_text(stages())
        return self._process(
            "kwok",
            binaries().kwok,
            f"--kubeconfig={kubeconfig}",
            f"--config={config}",
            "--manage-all-nodes=false",
            f"--manage-nodes-with-label-selector={_KWOK}",
            "--node-lease-duration-seconds=0",
        )

    def _process(self, name: str, program: Path, *args: str) -> Process:
        command: Sequence[str | Path] = [program, *args]
        env = {"HOME": str(self._directory)}
        return Process(Command(name, command, self._directory / f"{name}.log", cwd=self._directory, env=env))


def rolled_out(workload: Json) -> bool:
    """Whether a Deployment, StatefulSet or DaemonSet runs what it wants and nothing else, by `kubectl rollout status`'s rules."""
    spec, status = workload["spec"], workload.get("status", {})
    if status.get("observedGeneration", 0) < workload["metadata"]["generation"]:
        return False
    if workload["kind"] == "DaemonSet":
        wanted = int(status.get("desiredNumberScheduled", 0))
        return (
            wanted > 0
            and [status.get(name, 0) for name in ("updatedNumberScheduled", "numberAvailable")] == [wanted] * 2
        )
    wanted = int(spec.get("replicas", 1))
    counts = [status.get(name, 0) for name in ("updatedReplicas", "availableReplicas", "replicas")]
    current = workload["kind"] == "Deployment" or status.get("currentRevision") == status.get("updateRevision")
    return counts == [wanted] * 3 and current
