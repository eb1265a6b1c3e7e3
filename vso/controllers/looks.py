"""Everything that one pass looks at, gathered before anything is decided.

Invariant: frozen but for the process's own notes; `now` is read once, so that a pass is decided at
one moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from vso.api.meta import Resource, Status
from vso.controllers.memory import Memory
from vso.core.keys import ObjectKey
from vso.core.records import Record

R_co = TypeVar("R_co", bound=Resource, covariant=True)
S = TypeVar("S", bound=Status)


@dataclass(frozen=True, slots=True)
class Look(Generic[R_co, S]):
    """One object at one moment."""

    record: Record
    cr: R_co
    status: S
    """The newer of what the watch shows and what we wrote last."""
    notes: Memory[S]
    now: datetime
    monotonic: float

    @property
    def key(self) -> ObjectKey:
        """Where the object is."""
        return self.record.key

    @property
    def is_current(self) -> bool:
        """Whether the status speaks of the spec as it is now."""
        return self.status.observed_generation == self.record.generation

    def resync_wanted(self, annotations: tuple[str, ...]) -> str:
        """Return what the resync annotations hold, joined in a fixed order; empty for none."""
        found = self.cr.metadata.annotations
        return ",".join(found[name] for name in annotations if found.get(name))
