"""When each object is to be looked at next, and when what it holds ends.

Invariant: what is known here does not depend on the timer that is set for it, so that a timer that is
lost is noticed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta

from vso.core.clock import Clock
from vso.core.keys import ObjectKey
from vso.runtime.lease_scheduler import LeaseScheduler
from vso.runtime.watchdog import Watched


class LeaseTimes:
    """The deadlines of the objects of one kind."""

    def __init__(self, clock: Clock, timers: LeaseScheduler[ObjectKey]) -> None:
        self._clock = clock
        self._timers = timers
        self._times: dict[ObjectKey, tuple[float, float]] = {}

    def set(self, key: ObjectKey, wait: timedelta, life: timedelta | None = None) -> None:
        """Look at the object after `wait`; what it holds ends after `life`, or nobody knows when."""
        now = self._clock.monotonic()
        due = now + max(0.0, wait.total_seconds())
        self._times[key] = (due, math.inf if life is None else now + max(0.0, life.total_seconds()))
        self._timers.set(key, due)

    def cancel(self, key: ObjectKey) -> None:
        """Nothing is due any more."""
        self._times.pop(key, None)
        self._timers.cancel(key)

    def known(self) -> Iterator[Watched[ObjectKey]]:
        """Yield every deadline."""
        for key, (due, ends) in self._times.items():
            yield Watched(key, due, ends)
