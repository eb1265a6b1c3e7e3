"""What a pod says, as its node reads it: command, environment, probes, and the status that is told of it.

Invariant: pure, over plain JSON; what the stand-in kubelet cannot do is an Unsupported, never left out in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

_BIND = re.compile(r"(--[a-z-]+-bind-address=):([0-9]+)")
_FIELDS = {
    "metadata.name": ("metadata", "name"),
    "metadata.namespace": ("metadata", "namespace"),
    "metadata.uid": ("metadata", "uid"),
    "spec.nodeName": ("spec", "nodeName"),
    "spec.serviceAccountName": ("spec", "serviceAccountName"),
}
_POD_FIELDS = frozenset({"initContainers", "ephemeralContainers", "volumes", "hostNetwork"})
_CONTAINER_FIELDS = frozenset({"envFrom", "volumeMounts", "lifecycle", "workingDir"})


class Unsupported(Exception):  # noqa: N818  a verdict, not an accident
    """The pod asks for something that the stand-in does not do."""


class ImageUnknown(Exception):  # noqa: N818
    """No image of that name is at hand."""


@dataclass(frozen=True)
class Probe:
    """An HTTP probe."""

    path: str
    port: int
    period: float
    delay: float
    timeout: float
    failures: int


@dataclass(frozen=True)
class Container:
    """The one container of a pod, ready to be started."""

    name: str
    image: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    startup: Probe | None
    liveness: Probe | None
    readiness: Probe | None


@dataclass(frozen=True)
class State:
    """What has become of a container."""

    phase: str = "Pending"
    ready: bool = False
    started: bool = False
    restarts: int = 0
    waiting: str = ""
    exit_code: int | None = None
    started_at: str = ""


def container_of(pod: Json, images: Mapping[str, tuple[str, ...]], address: str) -> Container:
    """Return the pod's container; `images` tells the entry point of each image that is at hand."""
    spec = pod["spec"]
    containers = spec["containers"]
    if found := sorted(_POD_FIELDS & {key for key, value in spec.items() if value}):
        raise Unsupported(f"pods with {', '.join(found)}")
    if len(containers) != 1:
        raise Unsupported("pods with several containers")
    (said,) = containers
    if found := sorted(_CONTAINER_FIELDS & {key for key, value in said.items() if value}):
        raise Unsupported(f"containers with {', '.join(found)}")
    if said["image"] not in images:
        raise ImageUnknown(said["image"])
    command = said.get("command") or [*images[said["image"]]]
    # On a node of its own the pod would have every address to itself; here its own is all that it has.
    args = [_BIND.sub(rf"\g<1>{address}:\2", argument) for argument in said.get("args", ())]
    return Container(
        name=said["name"],
        image=said["image"],
        argv=(*command, *args),
        env={entry["name"]: _value(entry, pod) for entry in said.get("env", ())},
        startup=_probe(said, "startupProbe"),
        liveness=_probe(said, "livenessProbe"),
        readiness=_probe(said, "readinessProbe"),
    )


def ports_of(pod: Json) -> list[int]:
    """Return the ports that the pod's containers name."""
    return [port["containerPort"] for container in pod["spec"]["containers"] for port in container.get("ports", ())]


def mounts_token(pod: Json, account: Json) -> bool:
    """Tell whether the ServiceAccount's token belongs into the pod: the pod's word goes first."""
    return bool(pod["spec"].get("automountServiceAccountToken", account.get("automountServiceAccountToken", True)))


def status_of(container: Container | None, name: str, image: str, state: State, *, address: str) -> Json:
    """Return the status of a pod whose container is in that state."""
    ready = "True" if state.ready else "False"
    status: Json = {
        "phase": state.phase,
        "conditions": [
            {"type": kind, "status": value}
            for kind, value in (("Initialized", "True"), ("ContainersReady", ready), ("Ready", ready))
        ],
        "containerStatuses": [
            {
                "name": name,
                "image": image,
                "imageID": f"testbed://{image}" if container else "",
                "ready": state.ready,
                "started": state.started,
                "restartCount": state.restarts,
                "state": _state(state),
            }
        ],
    }
    if container is not None:
        status |= {"podIP": address, "podIPs": [{"ip": address}], "hostIP": "127.0.0.1", "startTime": state.started_at}
    return status


def _state(state: State) -> Json:
    if state.waiting:
        return {"waiting": {"reason": state.waiting}}
    if state.exit_code is not None:
        reason = "Completed" if state.exit_code == 0 else "Error"
        return {"terminated": {"exitCode": state.exit_code, "reason": reason}}
    return {"running": {"startedAt": state.started_at}}


def _value(entry: Json, pod: Json) -> str:
    if "valueFrom" not in entry:
        return str(entry.get("value", ""))
    path = entry["valueFrom"].get("fieldRef", {}).get("fieldPath")
    if path not in _FIELDS:
        raise Unsupported(f"the variable {entry['name']} from {entry['valueFrom']}")
    part, name = _FIELDS[path]
    return str(pod[part][name])


def _probe(container: Json, kind: str) -> Probe | None:
    said = container.get(kind)
    if said is None:
        return None
    if "httpGet" not in said:
        raise Unsupported(f"a {kind} that is not httpGet")
    ports = {port.get("name"): port["containerPort"] for port in container.get("ports", ())}
    port = said["httpGet"]["port"]
    return Probe(
        path=said["httpGet"]["path"],
        port=int(ports.get(port, port)),
        period=said.get("periodSeconds", 10),
        delay=said.get("initialDelaySeconds", 0),
        timeout=said.get("timeoutSeconds", 1),
        failures=said.get("failureThreshold", 3),
    )
