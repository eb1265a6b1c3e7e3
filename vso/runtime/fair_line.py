"""A line of keys in which those who share it take turns.

Invariant: of one share first come, first served; a share that had its turn comes after every other share
with keys in the line. So a crowd in one share costs a key of another at most one place per share.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class FairLine(Generic[K]):
    """Every step takes constant time; an empty share takes no memory."""

    def __init__(self, share: Callable[[K], Hashable]) -> None:
        self._share = share
        # Shares in the order of their turns. OrderedDict and not dict: taking the first of many is constant there.
        self._shares: OrderedDict[Hashable, OrderedDict[K, None]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __contains__(self, key: K) -> bool:
        return key in self._shares.get(self._share(key), ())

    def waiting(self, share: Hashable) -> int:
        """Return how many keys of a share are in the line."""
        return len(self._shares.get(share, ()))

    def add(self, key: K) -> None:
        """The key queues up; one that does already keeps its place."""
        line = self._shares.setdefault(self._share(key), OrderedDict())
        self._length += key not in line
        line.setdefault(key, None)

    def add_first(self, key: K) -> None:
        """The key is the next of all."""
        self.add(key)
        share = self._share(key)
        self._shares[share].move_to_end(key, last=False)
        self._shares.move_to_end(share, last=False)

    def discard(self, key: K) -> None:
        """The key leaves the line, if it stands there."""
        if key in self:
            share = self._share(key)
            del self._shares[share][key]
            self._left(share)

    def pop_first(self) -> K:
        """Take the next key; raises KeyError when nobody waits."""
        if not self._length:
            raise KeyError("nobody waits")
        share = next(iter(self._shares))
        key, _ = self._shares[share].popitem(last=False)
        self._shares.move_to_end(share)
        self._left(share)
        return key

    def clear(self) -> None:
        """Send everybody away."""
        self._shares.clear()
        self._length = 0

    def _left(self, share: Hashable) -> None:
        self._length -= 1
        if not self._shares[share]:
            del self._shares[share]
