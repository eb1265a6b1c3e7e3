"""What one process remembers of each secret between passes.

Invariant: memory saves requests and never decides what is right. Losing all of it, as a restart
does, changes no outcome: the status and the world are compared again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from vso.core.keys import ObjectKey
from vso.core.records import Record

S = TypeVar("S")


def version_number(resource_version: str) -> int:
    """Return a resourceVersion as a number; etcd's revisions grow, and 0 stands for none.

    Kubernetes declares resourceVersions comparable as integers from 1.35 on, and etcd-backed
    servers always behaved so; anything else reads as 0, which only costs a needless look.
    """
    return int(resource_version) if resource_version.isdigit() else 0


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What a pass has done and no status tells yet, since the restarts for it wait for the company of others."""

    generation: int
    look: int
    """Labels and annotations, hashed, of the object that it was done for."""
    now: datetime
    """When it was done."""
    digest: str
    """Of the data that the consumers are to get; empty where no restart is owed for data."""
    since: datetime
    """When that data changed."""
    done: object = None
    """In the words of the object's kind; None for restarts alone."""
    wait: float = 0.0
    """Seconds until it is to be taken up."""


@dataclass(frozen=True, slots=True)
class Prolonged:
    """A renewal of the lease that was replaced last, or is about to be."""

    lease_id: str = field(repr=False)
    at: datetime
    last: bool
    """Nothing more is to be had."""


@dataclass(slots=True)
class Memory(Generic[S]):
    """The notes on one secret."""

    uid: str
    look: int
    """Labels and annotations, hashed, as of the last look."""
    source_changed: bool = False
    unsaid: bool = False
    """A look has begun whose outcome no status tells yet."""
    drift_due: float | None = None
    """On the monotonic clock; None until the first pass has set it."""
    writing: bool = False
    """A write of the destination is on its way: what the watch shows of it meanwhile may be its echo."""
    written_version: int = 0
    """The destination's resourceVersion that our last write returned."""
    deleted_uid: str = ""
    """The destination's uid when the watch showed its deletion."""
    digest: str = ""
    """MAC of the data that our last write sent, where status keeps none."""
    status: S | None = None
    """The status that we wrote last, until the watch has caught up with it; some kilobytes."""
    status_version: int = 0
    status_in_doubt: bool = False
    """A write of the status is on its way, or was and nobody knows whether it arrived."""
    passing: bool = False
    """A pass is under way: it decides on what was seen at its beginning."""
    foreign_until: float = -math.inf
    """On the monotonic clock: until then another writer of the status is not reported again."""
    failing_on: str = ""
    """The connection that the last pass failed on; empty when it did not."""
    restart_failed: bool = False
    """A rollout target was not restarted: the pass is repeated until it is."""
    rolled: str = ""
    """What the rollout targets were restarted for last; status may not tell it yet."""
    rolled_targets: frozenset[str] = frozenset()
    """Those that were restarted for it."""
    adopted_at: datetime | None = None
    """When this process saw the present lease first."""
    probed_at: datetime | None = None
    """When Vault was last asked whether the present lease is still there."""
    prolonged: Prolonged | None = None
    """What became of the last renewal of a lease that is replaced."""
    awaiting: float | None = None
    """On the monotonic clock: since when a rotation of static credentials is waited for."""
    look_due: float | None = None
    """On the monotonic clock: when static credentials are to be looked at again."""
    held_version: int = 0
    """The object's version that our finalizer made: what is older does not show it."""
    unsettled: Unsettled | None = None
    """What the next pass has to settle; a restart of the process finds it out anew."""
    emptied: bool = False
    """Our data was taken out of the destination since the source is gone."""


def moved_on(notes: Memory[S], status: S, version: int) -> None:
    """Note a version that a write of ours to something else than the status has made."""
    if version:
        notes.status, notes.status_version = status, version


class Memories(Generic[S]):
    """The notes of all secrets of a kind."""

    def __init__(self) -> None:
        self._notes: dict[ObjectKey, Memory[S]] = {}

    def of(self, record: Record) -> Memory[S]:
        """Return the notes on the object, new ones when it is new or was made anew."""
        notes = self._notes.get(record.key)
        if notes is None or notes.uid != record.uid:
            notes = self._notes[record.key] = Memory(record.uid, record.look)
        return notes

    def find(self, key: ObjectKey) -> Memory[S] | None:
        """Return the notes under the key, if there are any."""
        return self._notes.get(key)

    def forget(self, key: ObjectKey) -> None:
        """The object is gone."""
        self._notes.pop(key, None)

    def seen(self, old: Record | None, new: Record | None) -> None:
        """Handle one change of the watch: a status that it shows need not be remembered."""
        del old
        notes = None if new is None else self._notes.get(new.key)
        if notes is None or new is None or notes.passing or notes.uid != new.uid:
            return
        if version_number(new.resource_version) >= notes.status_version:
            notes.status = None

    def passed(self, key: ObjectKey, record: Record | None) -> None:
        """The pass over the object is over, and this is what the watch shows of it now."""
        notes = self._notes.get(key)
        if notes is not None:
            notes.passing = False
            self.seen(None, record)

    def clear(self) -> None:
        """Forget everything, as a restart does."""
        self._notes.clear()

    def failing_on(self, connection: str) -> list[ObjectKey]:
        """Return the secrets whose last pass failed on the connection."""
        return [key for key, notes in self._notes.items() if notes.failing_on == connection]

    def __len__(self) -> int:
        return len(self._notes)
