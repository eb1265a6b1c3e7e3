"""The contract of the status, as those read it who wait for an object: which situation it tells, and their verdicts.

Invariant: a status of the operator's tells exactly one situation; one that tells none breaks the contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache

import yaml

from tests.conformance.stage import GROUP, MANIFESTS, Json
from tests.testbed.argo import CUSTOMIZATION, Argo
from tests.testbed.bed import Bed
from tests.testbed.gitops import kustomize
from vso.core.keys import Kind

COMPONENT = MANIFESTS / "components" / "argocd"


@dataclass(frozen=True)
class Expected:
    """What each tool is to make of an object; Argo CD judges one that is being deleted by itself."""

    argo: str
    kstatus: str
    cel: str


class Situation(Enum):
    """What a status tells."""

    DELETING = "being deleted"
    UNSEEN = "a generation that was not seen yet"
    COMING = "a sync of this generation on its way"
    IN_ORDER = "in order"
    OUTAGE = "Vault away, the data still good"
    STALE = "Vault away, the data too old"
    STALLED = "a human must act"
    SUSPENDED_EMPTY = "suspended before any sync"
    SUSPENDED_FAILING = "suspended after a sync, while it was not in order any more"


_VERDICTS = {
    Situation.DELETING: Expected("Progressing", "Terminating", "InProgress"),
    Situation.UNSEEN: Expected("Progressing", "InProgress", "InProgress"),
    Situation.COMING: Expected("Progressing", "InProgress", "InProgress"),
    Situation.IN_ORDER: Expected("Healthy", "Current", "Current"),
    Situation.OUTAGE: Expected("Healthy", "Current", "Current"),
    Situation.STALE: Expected("Degraded", "InProgress", "InProgress"),
    Situation.STALLED: Expected("Degraded", "Failed", "Failed"),
    Situation.SUSPENDED_EMPTY: Expected("Suspended", "InProgress", "InProgress"),
    Situation.SUSPENDED_FAILING: Expected("Suspended", "InProgress", "InProgress"),
}
_ROWS = {
    ("True", "True", None, None): Situation.IN_ORDER,
    ("True", "False", None, None): Situation.OUTAGE,
    ("False", "False", "True", None): Situation.COMING,
    ("False", "False", None, "True"): Situation.STALLED,
    ("False", None, None, None): Situation.SUSPENDED_EMPTY,
    ("False", "False", None, None): Situation.SUSPENDED_FAILING,
}


def situation(obj: Json) -> Situation:
    """The situation that the status tells; AssertionError for one that the contract does not know."""
    meta, status = obj["metadata"], obj.get("status", {})
    if "deletionTimestamp" in meta:
        return Situation.DELETING
    if status.get("observedGeneration") != meta["generation"]:
        return Situation.UNSEEN
    conditions = {condition["type"]: condition for condition in status.get("conditions", ())}
    told = tuple(conditions.get(type_, {}).get("status") for type_ in ("Ready", "Healthy", "Reconciling", "Stalled"))
    assert told in _ROWS, f"{obj['kind']} {meta['name']}: no row of the contract has {told}: {status}"
    row = _ROWS[told]
    if row is Situation.SUSPENDED_EMPTY:
        assert conditions["Ready"]["reason"] == "Suspended", status
    if row is Situation.COMING and status.get("lastSyncTime") and status["lastGeneration"] == meta["generation"]:
        return Situation.STALE
    return row


def expected(obj: Json) -> Expected:
    """What each tool is to make of the object: the situation's verdicts, but Argo CD shows first that it is suspended."""
    found = _VERDICTS[situation(obj)]
    suspended = obj.get("spec", {}).get("suspend") and "deletionTimestamp" not in obj["metadata"]
    return Expected("Suspended", found.kstatus, found.cel) if suspended else found


@cache
def argo() -> Argo:
    """An Argo CD with the shipped health checks and actions."""
    component = yaml.safe_load((COMPONENT / "kustomization.yaml").read_text())
    (generator,) = component["configMapGenerator"]
    files = dict(entry.split("=") for entry in generator["files"])
    assert all(key.startswith(CUSTOMIZATION) for key in files)
    return Argo({key: (COMPONENT / name).read_text() for key, name in files.items()})


def judge_by_argo(obj: Json) -> str:
    """What Argo CD makes of an object."""
    return "Progressing" if "deletionTimestamp" in obj["metadata"] else argo().health(obj).status


@cache
def flux_kustomizations() -> tuple[Json, ...]:
    """The Flux Kustomizations of the example, with the shipped expressions."""
    built = kustomize(MANIFESTS / "example" / "flux")
    return tuple(found for found in built if found["kind"] == "Kustomization")


def hold(bed: Bed, namespace: str) -> None:
    """See that everything that the operator leaves said in a namespace is of the contract, and read so by Argo CD.

    What kstatus and Flux make of it comes with all that was said on the way, see `statuses`.
    """
    for kind in Kind:
        for obj in bed.kube.list(kind, namespace):
            obj |= {"apiVersion": GROUP, "kind": kind.value}
            assert judge_by_argo(obj) == expected(obj).argo, obj
