"""One alarm per key: one heap, one timer, last write wins.

A new deadline takes the place of the old one, earlier or later: right for leases, where each
renewal moves the end. Invariant: changes are synchronous; `on_due` is called once per deadline, on
the loop, and must not await (it adds the key to a queue).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from vso.core.clock import Clock
from vso.runtime.timetable import Timetable

K = TypeVar("K", bound=Hashable)


class LeaseScheduler(Generic[K]):
    """The deadlines, on the monotonic clock."""

    def __init__(self, clock: Clock, on_due: Callable[[K], None]) -> None:
        self._clock = clock
        self._on_due = on_due
        self._deadlines: Timetable[K] = Timetable()
        self._sooner = asyncio.Event()

    def set(self, key: K, deadline: float) -> None:
        """Call `on_due(key)` at that monotonic time, and at no other that was set before."""
        self._deadlines.set(key, deadline)
        if self._deadlines.first() == deadline:
            self._sooner.set()

    def cancel(self, key: K) -> None:
        """Do not call for the key."""
        self._deadlines.cancel(key)

    def deadline(self, key: K) -> float | None:
        """Return when the key is due."""
        return self._deadlines.get(key)

    async def run(self) -> None:
        """Call for each key when it is due, until cancelled."""
        while True:
            for key in self._deadlines.pop_due(self._clock.monotonic()):
                self._on_due(key)
            self._sooner.clear()
            await self._clock.wait(self._sooner, self._seconds_until_due())

    def __len__(self) -> int:
        return len(self._deadlines)

    def _seconds_until_due(self) -> float | None:
        first = self._deadlines.first()
        return None if first is None else max(0.0, first - self._clock.monotonic())
