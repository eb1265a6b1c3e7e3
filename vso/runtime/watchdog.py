"""A second look at the deadlines: one whose timer was lost, or whose pass came to nothing, is told again.

Invariant: independent of the timers and of the queue. It reads what the owners themselves know, every few
seconds, and gives a deadline up for lost in the first quarter of what is left after it, long before the end.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from vso.core.clock import Clock

K = TypeVar("K", bound=Hashable)

_SHARE = 0.25
"""Of the time between a deadline and the end: so late nobody is unless the timer was lost."""
_LEAST, _MOST = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Watched(Generic[K]):
    """What an owner knows of a key, on the monotonic clock."""

    key: K
    due: float
    ends: float

    @property
    def grace(self) -> float:
        """How late a pass may be before its timer counts as lost."""
        return min(_MOST, max(_LEAST, (self.ends - self.due) * _SHARE))


class Watchdog(Generic[K]):
    """Compares all deadlines with the clock."""

    def __init__(
        self,
        clock: Clock,
        known: Callable[[], Iterable[Watched[K]]],
        on_lost: Callable[[K, float], None],
        *,
        every: float = 2.0,
    ) -> None:
        self._clock = clock
        self._known = known
        self._on_lost = on_lost
        self._every = every
        self._told: dict[K, tuple[float, float]] = {}

    async def run(self) -> None:
        """Look again and again, until cancelled; what was due before it began is late only from then on."""
        began = self._clock.monotonic()
        self._told.clear()
        while True:
            await self._clock.sleep(self._every)
            self.look(began)

    def look(self, began: float = 0.0) -> None:
        """Tell of every key that is late, with the seconds; of the same deadline again after as long a grace."""
        now = self._clock.monotonic()
        late: dict[K, tuple[float, float]] = {}
        for watched in self._known():
            due = max(watched.due, began)
            if now - due <= watched.grace:
                continue
            told = self._told.get(watched.key)
            if told is not None and told[0] == due and now - told[1] <= watched.grace:
                late[watched.key] = told
                continue
            late[watched.key] = (due, now)
        lost = [(key, now - due) for key, (due, at) in late.items() if at == now]
        self._told = late
        for key, seconds in lost:
            self._on_lost(key, seconds)
