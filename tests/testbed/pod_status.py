"""What is told of a pod: its phase, its conditions, and the state of each container.

Invariant: pure, over plain JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class State:
    """What has become of a container."""

    name: str
    image: str
    waiting: str = ""
    ready: bool = False
    started: bool = False
    restarts: int = 0
    exit_code: int | None = None
    started_at: str = ""

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return bool(self.started_at) and self.exit_code is None and not self.waiting


@dataclass(frozen=True)
class PodState:
    """What has become of a pod."""

    phase: str
    init: Sequence[State] = ()
    containers: Sequence[State] = ()
    initialized: bool = True
    address: str = ""
    started_at: str = field(default="")


def waiting_for(reason: str, names: Iterable[tuple[str, str]], *, phase: str = "Pending") -> PodState:
    """The state of a pod of which nothing runs: why, and the names and images of its containers."""
    states = [State(name, image, waiting=reason) for name, image in names]
    return PodState(phase, containers=states, initialized=False)


def status_of(pod: PodState) -> Json:
    """Return the status that is told of the pod."""
    ready = pod.phase == "Running" and all(state.ready for state in pod.containers)
    conditions = (("Initialized", pod.initialized), ("ContainersReady", ready), ("Ready", ready))
    status: Json = {
        "phase": pod.phase,
        "conditions": [{"type": kind, "status": str(value)} for kind, value in conditions],
        "containerStatuses": [_container(state) for state in pod.containers],
    }
    if pod.init:
        status["initContainerStatuses"] = [_container(state) for state in pod.init]
    if pod.address:
        where = {"podIP": pod.address, "podIPs": [{"ip": pod.address}], "hostIP": "127.0.0.1"}
        status |= {**where, "startTime": pod.started_at}
    return status


def _container(state: State) -> Json:
    return {
        "name": state.name,
        "image": state.image,
        "imageID": f"testbed://{state.image}" if state.started_at else "",
        "ready": state.ready,
        "started": state.started,
        "restartCount": state.restarts,
        "state": _state(state),
    }


def _state(state: State) -> Json:
    if state.waiting:
        return {"waiting": {"reason": state.waiting}}
    if state.exit_code is not None:
        reason = "Completed" if state.exit_code == 0 else "Error"
        return {"terminated": {"exitCode": state.exit_code, "reason": reason}}
    return {"running": {"startedAt": state.started_at}}
