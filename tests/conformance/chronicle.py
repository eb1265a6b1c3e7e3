"""One object's statuses, one after the other: what each has to hold by itself, and what may follow what.

Invariant: judged from the objects alone, with no word of the operator's own code but its closed list of reasons.
A status that somebody else has written in part is nobody's promise and is left out, and so is what the reference
operator left: it knows no observedGeneration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.conformance.contract import situation
from tests.conformance.stage import Json
from vso.core.errors import Reason

OPERATOR = "vault-secrets-operator"
REASONS = frozenset(Reason)
ABNORMAL = ("Reconciling", "Stalled")
_LONGEST = 32 * 1024
_OLD_ROTATIONS = 5


def by_the_operator_alone(obj: Json) -> bool:
    """Tell whether nobody else has a hand in the status."""
    managed = obj["metadata"].get("managedFields", ())
    return {entry.get("manager") for entry in managed if "f:status" in entry.get("fieldsV1", {})} <= {OPERATOR}


def breaches(obj: Json) -> Iterator[str]:
    """Yield the rules of the contract that a status breaks by itself."""
    status, meta = obj.get("status"), obj["metadata"]
    if status is None:
        yield "a status is defaulted in the CRD"
        return
    if unsaid(status):
        return
    conditions = status.get("conditions", [])
    types = [condition["type"] for condition in conditions]
    if len(set(types)) != len(types):
        yield "a type of condition comes once"
    if types[1:2] and any(type_ in ABNORMAL for type_ in types[1:]):
        yield "Reconciling and Stalled come first"
    if status.get("observedGeneration", -1) > meta["generation"]:
        yield "no generation is observed before it is there"
    if len(status.get("history", ())) > _OLD_ROTATIONS:
        yield "the history is of five rotations"
    for condition in conditions:
        yield from _of_one(condition, status)
    try:
        situation(obj)
    except AssertionError as broken:
        yield str(broken)


def _of_one(condition: Json, status: Json) -> Iterator[str]:
    named = condition["type"]
    if condition.get("reason") not in REASONS:
        yield f"{named}: the reason is one of the closed list"
    if not condition.get("message") or len(condition["message"]) > _LONGEST:
        yield f"{named}: a message says what is, in some words"
    if not condition.get("lastTransitionTime", "").endswith("Z"):
        yield f"{named}: it says since when"
    if named in ABNORMAL and condition["status"] != "True":
        yield f"{named}: it is there only where it is true"
    if condition.get("observedGeneration", 0) > status.get("observedGeneration", -1):
        yield f"{named}: it is of no later generation than the status"


@dataclass
class Chronicle:
    """The last status of each object."""

    _last: dict[str, Json] = field(default_factory=dict)

    def follows(self, obj: Json) -> Iterator[str]:
        """Yield the rules that are broken by this status after the one before."""
        uid, now = obj["metadata"]["uid"], obj.get("status") or {}
        before = self._last.get(uid)
        self._last[uid] = now
        if before is None or unsaid(before) or unsaid(now):  # taken away, by whom no manager tells
            return
        if now.get("observedGeneration", -1) < before.get("observedGeneration", -1):
            yield "observedGeneration never goes back"
        if "lastSyncTime" in before and "lastSyncTime" not in now:
            yield "lastSyncTime stays once it is there"
        old = _by_type(before)
        for name, condition in _by_type(now).items():
            was = old.get(name)
            if was is None or was["status"] != condition["status"]:
                continue
            if was["lastTransitionTime"] != condition["lastTransitionTime"]:
                yield f"{name}: lastTransitionTime moves only when the status does"

    def last(self, uid: str) -> Json:
        """Return the status that was seen last of an object."""
        return self._last.get(uid, {})

    def forget(self, uid: str | None = None) -> None:
        """An object is gone; None where a watch has begun anew, since statuses may be missing."""
        if uid is None:
            self._last.clear()
        else:
            self._last.pop(uid, None)


def unsaid(status: Json) -> bool:
    """Tell whether it is the default of the CRD, or what the reference operator has left."""
    return bool(status.get("observedGeneration", -1) < 0)


def _by_type(status: Json) -> Mapping[str, Json]:
    return {condition["type"]: condition for condition in status.get("conditions", ())}
