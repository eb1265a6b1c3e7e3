"""Is the destination right? An ordered list of checks, from the first that fails comes the plan.

Invariant: pure; the answer depends on the Facts alone. A pass that finds everything in order asks
for no read and no write, so that a restart or an idle refresh costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from vso.api.shared import SecretStatus


class Why(StrEnum):
    """What asks for a look; shown in logs and in the history of the status."""

    FIRST_SYNC = "FirstSync"
    SPEC_CHANGED = "SpecChanged"
    RESYNC = "Resync"
    OBJECT_TOUCHED = "ObjectTouched"
    NOT_IN_ORDER = "NotInOrder"
    SECRET_MISSING = "SecretMissing"
    SECRET_DRIFTED = "SecretDrifted"
    DRIFT_CHECK = "DriftCheck"
    SOURCE_CHANGED = "SourceChanged"
    RESTART_DUE = "RestartDue"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one secret before anything is read."""

    synced_uid: str
    """The recorded uid of the destination; empty before the first sync."""
    generation: int
    last_generation: int
    in_order: bool
    """The status says Ready and Healthy for this generation."""
    resync_asked: bool
    touched: bool
    """A label or annotation changed since the last look of this process."""
    secret_missing: bool
    secret_drifted: bool
    drift_check_due: bool
    source_changed: bool
    restart_due: bool


_CHECKS: tuple[tuple[Why, Callable[[Facts], bool]], ...] = (
    (Why.FIRST_SYNC, lambda f: not f.synced_uid),
    (Why.SPEC_CHANGED, lambda f: f.last_generation != f.generation),
    (Why.RESYNC, lambda f: f.resync_asked),
    (Why.OBJECT_TOUCHED, lambda f: f.touched),
    (Why.SECRET_MISSING, lambda f: f.secret_missing),
    (Why.SECRET_DRIFTED, lambda f: f.secret_drifted),
    (Why.DRIFT_CHECK, lambda f: f.drift_check_due),
    (Why.SOURCE_CHANGED, lambda f: f.source_changed),
    (Why.NOT_IN_ORDER, lambda f: not f.in_order),
    (Why.RESTART_DUE, lambda f: f.restart_due),
)

FRESH = frozenset({Why.RESYNC, Why.OBJECT_TOUCHED})
"""Looks that must not be answered from a read made before they were asked for."""

_ALWAYS_WRITE = frozenset({Why.FIRST_SYNC, Why.SPEC_CHANGED, Why.SECRET_MISSING, Why.SECRET_DRIFTED, Why.DRIFT_CHECK})


def plan_look(facts: Facts) -> Why | None:
    """Return why the source must be read now, or None when everything is in order."""
    return next((why for why, holds in _CHECKS if holds(facts)), None)


@dataclass(frozen=True, slots=True)
class Compared:
    """The wanted destination beside the recorded one, once the source has been read."""

    name: str
    recorded_name: str
    digest: str
    recorded_digest: str
    """Of the data that the destination is known to hold; empty when unknown."""


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What to do with the destination."""

    write: bool
    metadata: bool
    """Our labels, annotations and owner reference go out too."""
    data_changed: bool
    orphan: str
    """Name of the Secret that a rename left behind; empty when there is none."""
    repair: bool = False
    """Somebody else has changed or deleted it: the write puts that right."""


def plan_sync(why: Why, compared: Compared) -> SyncPlan:
    """Return the writes that the destination needs for this look."""
    renamed = bool(compared.recorded_name) and compared.recorded_name != compared.name
    changed = compared.digest != compared.recorded_digest
    return SyncPlan(
        write=renamed or changed or why in _ALWAYS_WRITE,
        metadata=renamed or why in {Why.FIRST_SYNC, Why.SPEC_CHANGED, Why.SECRET_MISSING, Why.SECRET_DRIFTED},
        data_changed=changed,
        repair=why in {Why.SECRET_MISSING, Why.SECRET_DRIFTED},
        orphan=compared.recorded_name if renamed else "",
    )


def restart_asked(wanted: str, handled: str) -> bool:
    """Tell whether a restart is asked for in words that were not heard before."""
    return bool(wanted) and wanted != handled


def synced_before(status: SecretStatus) -> bool:
    """Tell whether this operator has had the object in order: one of the reference operator is new to us."""
    return status.last_generation > 0 and status.observed_generation > 0


def restart_owed(rolled_out: str, digest: str) -> bool:
    """Tell whether consumers still run with older data; no recorded digest means adopt, not restart."""
    return bool(rolled_out) and rolled_out != digest
