"""Somebody else writes the status of our objects: noticed on the watch, told, put right; never fought over.

Invariant: at most one report of an object every `PAUSE` seconds, and with it one repair, so that two
operators that both mean to own an object do not chase each other. A write of our own is never taken
for a stranger's, even while its answer is still on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from vso.api.meta import Status
from vso.controllers.memory import Memories, Memory, version_number
from vso.core.clock import Clock
from vso.core.keys import ObjectKey
from vso.core.records import Record
from vso.runtime.workqueue import Lane, WorkQueue

PAUSE = 600.0

S = TypeVar("S", bound=Status)


@dataclass(frozen=True)
class ForeignWriterTrigger(Generic[S]):
    """A status that changed without us wakes the object's controller and is reported."""

    queue: WorkQueue[ObjectKey]
    memories: Memories[S]
    clock: Clock
    report: Callable[[Record], None]

    def __call__(self, old: Record | None, new: Record | None) -> None:
        """Handle one change of the watch; objects without notes have not been looked at yet and will be."""
        if old is None or new is None or old.uid != new.uid:
            return
        notes = self.memories.find(new.key)
        if notes is None or notes.uid != new.uid or _is_ours(notes, old, new):
            return
        notes.unsaid = True
        now = self.clock.monotonic()
        if now < notes.foreign_until:
            self.queue.add_after(new.key, notes.foreign_until - now)
            return
        notes.foreign_until = now + PAUSE
        self.report(new)
        self.queue.add(new.key, Lane.REFRESH)


def _is_ours(notes: Memory[S], old: Record, new: Record) -> bool:
    """Tell whether the change, if it is one of the status, can be explained by our own writes."""
    version = version_number(new.resource_version)
    # Our writes name the version that they were decided on: nothing up to the latest one is news to us.
    if version <= notes.status_version or old.said == new.said:
        return True
    if notes.status_in_doubt:
        notes.status_in_doubt = False
        notes.status_version = version
        return True
    # After a gap of the watch, the change may span our write.
    return version_number(old.resource_version) < notes.status_version
