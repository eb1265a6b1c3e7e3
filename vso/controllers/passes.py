"""A name for each pass, so that one grep tells one story.

Invariant: every line that is logged during a pass, by whatever part, carries the pass's id, the kind
and the object; the next pass of the same worker takes their place.
"""

from __future__ import annotations

import random

from structlog.contextvars import bind_contextvars

from vso.core.keys import Kind, ObjectKey
from vso.runtime.reconcile import Reconciler, Result

_ID_BITS = 48


class NamedPasses:
    """A reconciler whose passes have names."""

    def __init__(self, kind: Kind, reconciler: Reconciler[ObjectKey], rng: random.Random) -> None:
        self._kind = kind
        self._reconciler = reconciler
        self._rng = rng

    async def reconcile(self, key: ObjectKey) -> Result:
        """Run one pass under a new id."""
        # Never unbound: what the worker says of the pass after its end belongs to it too.
        name = f"{self._rng.getrandbits(_ID_BITS):0{_ID_BITS // 4}x}"
        bind_contextvars(**{"pass": name, "kind": self._kind.value, "object": str(key)})
        return await self._reconciler.reconcile(key)
