"""The contract between the engine and who does the work.

A pass is handed a key and nothing else, and looks for itself; it says by its result when it wants
to look again, and by its exception (see vso.core.errors) what went wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

K_contra = TypeVar("K_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Result:
    """The pass went well; `requeue_after` seconds it wants to look again, or only when told to."""

    requeue_after: float | None = None
    urgent: bool = False
    """Something is half done until then: it goes before routine looks."""


class Reconciler(Protocol[K_contra]):
    """Makes the world agree with what the object under the key asks for."""

    async def reconcile(self, key: K_contra) -> Result:
        """Run one pass; safe to repeat and to cancel at every await."""
        ...
