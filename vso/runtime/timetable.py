"""Deadlines by key: one heap, one deadline per key.

Invariant: a key has at most one deadline, the one in `_due`; heap entries that disagree with it are
stale, are skipped when they surface and swept out before they outnumber the live ones.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_SWEEP_ABOVE = 64


class Timetable(Generic[K]):
    """Which key is due when, in seconds of whatever clock the owner reads."""

    def __init__(self) -> None:
        self._due: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = itertools.count()  # equal deadlines: first set, first due; keys never compared

    def get(self, key: K) -> float | None:
        """Return the key's deadline."""
        entry = self._due.get(key)
        return None if entry is None else entry[0]

    def set(self, key: K, due: float) -> None:
        """Give the key this deadline in place of any other."""
        entry = self._due[key] = (due, next(self._sequence))
        heapq.heappush(self._heap, (*entry, key))
        self._sweep()

    def cancel(self, key: K) -> None:
        """Take the key's deadline away, if it has one."""
        self._due.pop(key, None)
        self._sweep()

    def clear(self) -> None:
        """Take every deadline away."""
        self._due.clear()
        self._heap.clear()

    def first(self) -> float | None:
        """Return the earliest deadline."""
        self._skip_stale()
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> list[K]:
        """Take out and return the keys whose deadline is `now` or earlier, earliest first."""
        keys: list[K] = []
        while (due := self.first()) is not None and due <= now:
            key = heapq.heappop(self._heap)[2]
            del self._due[key]
            keys.append(key)
        return keys

    def __len__(self) -> int:
        return len(self._due)

    def _is_stale(self, entry: tuple[float, int, K]) -> bool:
        return self._due.get(entry[2]) != entry[:2]

    def _skip_stale(self) -> None:
        while self._heap and self._is_stale(self._heap[0]):
            heapq.heappop(self._heap)

    def _sweep(self) -> None:
        if len(self._heap) > 2 * len(self._due) + _SWEEP_ABOVE:
            self._heap = [entry for entry in self._heap if not self._is_stale(entry)]
            heapq.heapify(self._heap)
