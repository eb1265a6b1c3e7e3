"""What a pod says, as its node reads it: containers, their order, commands, environment, probes.

Invariant: pure, over plain JSON; what the stand-in kubelet cannot do is an Unsupported, never left out in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.testbed.pod_fields import NotThere, Unsupported, field, known_field, plain

Json = dict[str, Any]
Look = Callable[[str, str], Json | None]
"""Kind and name of an object of the pod's namespace -> the object, if it is there."""

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_BIND = re.compile(r"(--[a-z-]+-bind-address=):([0-9]+)")
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")
_POD_FIELDS = frozenset({"ephemeralContainers", "hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"})
_CONTAINER_FIELDS = frozenset({"volumeDevices", "stdin", "tty"})
_MOUNT_FIELDS = frozenset({"subPath", "subPathExpr", "mountPropagation"})
_SOURCES = {
    "secretKeyRef": "Secret",
    "configMapKeyRef": "ConfigMap",
    "secretRef": "Secret",
    "configMapRef": "ConfigMap",
}


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
class Mount:
    """Where a container sees a volume."""

    volume: str
    path: str
    read_only: bool


@dataclass(frozen=True)
class Container:
    """A container of a pod; command and environment are settled when it is started."""

    said: Json
    name: str
    image: str
    command: tuple[str, ...]
    mounts: tuple[Mount, ...]
    folder: str | None
    startup: Probe | None
    liveness: Probe | None
    readiness: Probe | None
    sidecar: bool = False
    pre_stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What a pod is made of: its init containers, in order, and those that run side by side."""

    init: tuple[Container, ...]
    containers: tuple[Container, ...]


def plan_of(pod: Json, images: Mapping[str, tuple[str, ...]], address: str) -> Plan:
    """Read a pod; `images` tells the entry point of each image that is at hand."""
    spec = pod["spec"]
    if found := sorted(_POD_FIELDS & _set(spec)):
        raise Unsupported(f"pods with {', '.join(found)}")
    return Plan(
        init=tuple(_container(said, images, address) for said in spec.get("initContainers", ())),
        containers=tuple(_container(said, images, address) for said in spec["containers"]),
    )


def ports_of(pod: Json) -> list[int]:
    """Return the ports that the pod's containers name."""
    every = [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]
    return [port["containerPort"] for container in every for port in container.get("ports", ())]


def with_account(pod: Json, account: Json) -> Json:
    """The pod with its ServiceAccount's token mounted, as admission adds it, if it is wanted: the pod's word goes first."""
    spec = pod["spec"]
    wanted = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    if not wanted:
        return pod
    sources: list[Json] = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    volume = {"name": "kube-api-access", "projected": {"sources": sources}}
    changed = {**spec, "volumes": [*spec.get("volumes", ()), volume]}
    for kind in ("initContainers", "containers"):
        if kind in spec:
            changed[kind] = [_with_token(container) for container in spec[kind]]
    return {**pod, "spec": changed}


def start_of(container: Container, pod: Json, look: Look) -> tuple[list[str], dict[str, str]]:
    """Return the command line and the environment of a container that is started now."""
    env = _environment(container.said, pod, look)
    return [_expanded(word, env) for word in container.command], env


def _set(said: Json) -> set[str]:
    return {key for key, value in said.items() if value}


def _with_token(container: Json) -> Json:
    mounts = container.get("volumeMounts", [])
    if any(mount["mountPath"] == ACCOUNT for mount in mounts):
        return container
    return {**container, "volumeMounts": [*mounts, {"name": "kube-api-access", "mountPath": ACCOUNT, "readOnly": True}]}


def _container(said: Json, images: Mapping[str, tuple[str, ...]], address: str) -> Container:
    if found := sorted(_CONTAINER_FIELDS & _set(said)):
        raise Unsupported(f"containers with {', '.join(found)}")
    if said["image"] not in images:
        raise ImageUnknown(said["image"])
    _check_environment(said)
    # On a node of its own the pod would have every address to itself; here its own is all that it has.
    args = [_BIND.sub(rf"\g<1>{address}:\2", argument) for argument in said.get("args", ())]
    return Container(
        said=said,
        name=said["name"],
        image=said["image"],
        command=(*(said.get("command") or images[said["image"]]), *args),
        mounts=tuple(_mount(mount) for mount in said.get("volumeMounts", ())),
        folder=said.get("workingDir"),
        startup=_probe(said, "startupProbe"),
        liveness=_probe(said, "livenessProbe"),
        readiness=_probe(said, "readinessProbe"),
        sidecar=said.get("restartPolicy") == "Always",
        pre_stop=_pre_stop(said.get("lifecycle", {})),
    )


def _pre_stop(said: Json) -> tuple[str, ...]:
    """The command that runs before a container is asked to end."""
    match said:
        case {"preStop": {"exec": {"command": command}}, **rest} if not rest:
            return tuple(command)
        case {"preStop": {"sleep": {"seconds": seconds}}, **rest} if not rest:
            return ("sleep", str(seconds))
        case {**rest} if not rest:
            return ()
    raise Unsupported(f"containers with lifecycle {sorted(said)} other than preStop by a command or a sleep")


def _mount(said: Json) -> Mount:
    if found := sorted(_MOUNT_FIELDS & _set(said)):
        raise Unsupported(f"volume mounts with {', '.join(found)}")
    return Mount(said["name"], said["mountPath"], read_only=said.get("readOnly", False))


def _check_environment(said: Json) -> None:
    for entry in said.get("env", ()):
        match entry.get("valueFrom"):
            case None | {"secretKeyRef": _} | {"configMapKeyRef": _}:
                pass
            case {"fieldRef": {"fieldPath": path}} if known_field(path):
                pass
            case other:
                raise Unsupported(f"the variable {entry['name']} from {other}")


def _environment(said: Json, pod: Json, look: Look) -> dict[str, str]:
    env: dict[str, str] = {}
    for source in said.get("envFrom", ()):
        ((kind, reference),) = [(_SOURCES[key], value) for key, value in source.items() if key in _SOURCES]
        data = _object(kind, reference, look)
        env |= {source.get("prefix", "") + key: value.decode() for key, value in data.items()}
    for entry in said.get("env", ()):
        value = _value(entry, pod, look)
        if value is not None:
            env[entry["name"]] = _expanded(value, env)
    return env


def _value(entry: Json, pod: Json, look: Look) -> str | None:
    source: Json = entry.get("valueFrom") or {}
    if not source:
        return str(entry.get("value", ""))
    ((key, reference),) = source.items()
    if key == "fieldRef":
        return field(pod, reference["fieldPath"])
    found = _object(_SOURCES[key], reference, look).get(reference["key"])
    if found is None and not reference.get("optional"):
        raise NotThere(f"{_SOURCES[key]} {reference['name']} has no key {reference['key']}")
    return None if found is None else found.decode()


def _object(kind: str, reference: Json, look: Look) -> dict[str, bytes]:
    found = look(kind, reference["name"])
    if found is None and not reference.get("optional"):
        raise NotThere(f"there is no {kind} {reference['name']}")
    return plain(found or {})


def _expanded(text: str, env: Mapping[str, str]) -> str:
    """Replace $(NAME) by the variable, if there is one, and $$ by $."""

    def of(match: re.Match[str]) -> str:
        return "$" if match[1] is None else env.get(match[1], match[0])

    return _REFERENCE.sub(of, text)


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


def names_of(containers: Sequence[Json]) -> list[tuple[str, str]]:
    """Name and image of each container."""
    return [(said["name"], said["image"]) for said in containers]
