"""What becomes of the bed's nodes and of a pod on them, as stages for kwok: it starts, gets ready or not, and goes.

Invariant: a pod's own annotations say how it behaves, so that two workloads never get in each other's way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml

Json = dict[str, Any]

RELEASED = "testbed/released"
_READY_AFTER = "testbed/ready-after"
_OUTCOME = "testbed/outcome"
_ONLY_RESTARTS = "testbed/only-restarts"
_RESTARTS = ("vso.secrets.hashicorp.com/restartedAt", "kubectl.kubernetes.io/restartedAt")


@dataclass(frozen=True)
class Pace:
    """How a workload's pods behave: ready so many seconds after their start, or never, or crashing again and again.

    With `only_restarts` this holds for the pods of a restart alone: the first rollout goes well. A pod that is asked
    to go `lingers`, its old credentials in use, for so many seconds.
    """

    ready_after: int = 0
    outcome: Literal["ready", "stuck", "crash"] = "ready"
    only_restarts: bool = False
    lingers: int = 0

    @property
    def annotations(self) -> Mapping[str, str]:
        """What the pods say of themselves."""
        flag = {_ONLY_RESTARTS: "true"} if self.only_restarts else {}
        return {_READY_AFTER: str(self.ready_after), _OUTCOME: self.outcome, **flag}


def _if_paced(paced: str, free: str) -> str:
    """A jq expression: one value for a pod whose pace holds, another for one that is free of it."""
    restarted = " // ".join(f'$says["{name}"]' for name in _RESTARTS)
    return f"""(.metadata.annotations // {{}}) as $says
        | if $says["{RELEASED}"] == "true" then {free}
          elif $says["{_ONLY_RESTARTS}"] == "true" and ({restarted}) == null then {free}
          else {paced} end"""


_BEHAVES = _if_paced(f'$says["{_OUTCOME}"] // "ready"', '"ready"')
_READY_AT = _if_paced(
    f'(.status.startTime | fromdateiso8601) + (($says["{_READY_AFTER}"] // "0") | tonumber) | todateiso8601', '"0s"'
)

_CONTAINERS = """
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  %s
{{ end }}
"""
_CONDITIONS = """
{{ $now := Now }}
conditions:
- {type: Initialized, status: "True", lastTransitionTime: {{ $now | Quote }}}
- {type: Ready, status: "%(ready)s", lastTransitionTime: {{ $now | Quote }}}
- {type: ContainersReady, status: "%(ready)s", lastTransitionTime: {{ $now | Quote }}}
"""
_RUNNING = "state: {running: {startedAt: {{ $now | Quote }}}}"
_STARTED = (
    _CONDITIONS % {"ready": "False"}
    + "phase: Running\nstartTime: {{ $now | Quote }}\n"
    + _CONTAINERS % f"ready: false\n  started: true\n  restartCount: 0\n  {_RUNNING}"
)
_READY = (
    _CONDITIONS % {"ready": "True"} + _CONTAINERS % f"ready: true\n  started: true\n  restartCount: 0\n  {_RUNNING}"
)
_CRASHED = _CONDITIONS % {"ready": "False"} + _CONTAINERS % (
    "ready: false\n  started: false\n  restartCount: 5\n"
    "  state: {waiting: {reason: CrashLoopBackOff, message: back-off restarting failed container}}\n"
    "  lastState: {terminated: {exitCode: 1, reason: Error}}"
)

_NODE_READY = """
conditions:
- {type: Ready, status: "True", reason: Testbed, message: "", lastTransitionTime: {{ Now | Quote }}}
capacity: {cpu: 1k, memory: 1Ti, pods: 10k}
allocatable: {cpu: 1k, memory: 1Ti, pods: 10k}
"""

_STAYS = ("DoesNotExist", ".metadata.deletionTimestamp")
_GOES = ("Exists", ".metadata.deletionTimestamp")
_PENDING = ("In", ".status.phase", "Pending")
_RUNS = ("In", ".status.phase", "Running")
_NOT_READY = ("In", '.status.conditions[] | select(.type == "Ready") | .status', "False")
_NODE_NEW = ("NotIn", '.status.conditions[] | select(.type == "Ready") | .status', "True")
_CONTAINER_RUNS = ("Exists", ".status.containerStatuses[].state.running")


def stages() -> str:
    """The stages as kwok's configuration file."""
    documents = (
        _stage("node", _NODE_NEW, kind="Node", status=_NODE_READY),
        _stage("start", _STAYS, _PENDING, status=_STARTED),
        _stage("get-ready", _STAYS, _RUNS, _NOT_READY, ("In", _BEHAVES, "ready"), status=_READY, at=_READY_AT),
        _stage("crash", _STAYS, _RUNS, _CONTAINER_RUNS, ("In", _BEHAVES, "crash"), status=_CRASHED),
        _stage("go", _GOES, at=".metadata.deletionTimestamp"),  # a pod with a grace period uses it up
    )
    return yaml.safe_dump_all(documents)


def _stage(
    name: str, *matches: tuple[str, ...], kind: str = "Pod", status: str | None = None, at: str | None = None
) -> Json:
    expressions: list[Json] = [
        {"operator": operator, "key": key, **({"values": list(values)} if values else {})}
        for operator, key, *values in matches
    ]
    spec: Json = {
        "resourceRef": {"apiGroup": "v1", "kind": kind},
        "selector": {"matchExpressions": expressions},
        "next": {"delete": True} if status is None else {"statusTemplate": status},
    }
    if at is not None:
        spec["delay"] = {"durationFrom": {"expressionFrom": at}}
    return {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage", "metadata": {"name": name}, "spec": spec}
