"""When each object is to be looked at next, which lease it holds, and when that ends.

Invariant: what is known here does not depend on the timer that is set for it, so that a timer that is
lost is noticed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from vso.core.clock import Clock
from vso.core.keys import ObjectKey
from vso.runtime.lease_scheduler import LeaseScheduler
from vso.runtime.watchdog import Watched


@dataclass(frozen=True, slots=True)
class _Known:
    due: float
    ends: float
    lease_id: str = field(repr=False)
    failing: bool


@dataclass(frozen=True, slots=True)
class LeaseStatistics:
    """A snapshot for metrics."""

    in_order: int = 0
    failing: int = 0
    """Of these leases the last look failed: nobody has renewed or replaced them since they were due."""
    first_end: float | None = None
    """The seconds until the first of those ends; below zero when it has."""


class LeaseTimes:
    """The deadlines of the objects of one kind."""

    def __init__(self, clock: Clock, timers: LeaseScheduler[ObjectKey]) -> None:
        self._clock = clock
        self._timers = timers
        self._times: dict[ObjectKey, _Known] = {}

    def set(
        self,
        key: ObjectKey,
        wait: timedelta | None,
        life: timedelta | None = None,
        lease_id: str = "",
        *,
        failing: bool = False,
    ) -> None:
        """Look at the object after `wait`, at no time of its own without; what it holds ends after `life`, if known.

        A life below zero is over: nothing hurries any more, but it is told of until there is another.
        """
        now = self._clock.monotonic()
        due = math.inf if wait is None else now + max(0.0, wait.total_seconds())
        ends = math.inf if life is None else now + life.total_seconds()
        self._times[key] = _Known(due, ends, lease_id, failing)
        if wait is None:
            self._timers.cancel(key)
        else:
            self._timers.set(key, due)

    def cancel(self, key: ObjectKey) -> None:
        """Nothing is due any more."""
        self._times.pop(key, None)
        self._timers.cancel(key)

    def known(self) -> Iterator[Watched[ObjectKey]]:
        """Yield every deadline."""
        for key, known in self._times.items():
            yield Watched(key, known.due, known.ends)

    def statistics(self) -> LeaseStatistics:
        """Return how many leases are in order, how many are not, and when the first of these ends."""
        held = [known for known in self._times.values() if known.ends < math.inf]
        ends = [known.ends for known in held if known.failing]
        first = min(ends) - self._clock.monotonic() if ends else None
        return LeaseStatistics(len(held) - len(ends), len(ends), first)

    def holders(self, lease_ids: Collection[str]) -> list[tuple[ObjectKey, float]]:
        """Return who holds one of these leases, with the seconds of its life; the first to end comes first."""
        now, wanted = self._clock.monotonic(), frozenset(lease_ids)
        held = [(key, max(0.0, known.ends - now)) for key, known in self._times.items() if known.lease_id in wanted]
        return sorted(held, key=lambda holder: holder[1])
