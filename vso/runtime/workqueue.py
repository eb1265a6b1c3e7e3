"""Which keys want a pass.

It promises:
- at most one worker holds a key at a time;
- a key added any number of times before it is taken is handed out once; one added while a worker
  holds it is handed out once more after `done`;
- URGENT goes before REFRESH, yet after eight urgent keys in a row one waiting refresh is taken;
- within a lane the shares (namespaces) take turns, and within a share it is first come, first served;
- of one group no more than its limit are in hand, two of them kept for URGENT ones; the others are
  set aside and let all other groups pass (a server that does not answer cannot take every worker);
- of several wishes for later the earliest counts, and taking the key fulfils it: the pass that
  begins then says anew when to look again.

State: a key is in at most one of the two ready lanes or set aside in its crowd; one in
`_processing` is in none of them and, when added meanwhile, in `_dirty`. Every change is one
synchronous step; only `get` waits.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, NamedTuple, TypeVar

from vso.core.clock import Clock
from vso.runtime.fair_line import FairLine
from vso.runtime.rate_limiter import RateLimiter
from vso.runtime.timetable import Timetable

K = TypeVar("K", bound=Hashable)

URGENT_IN_A_ROW = 8
KEPT_FOR_URGENT = 2


class Lane(IntEnum):
    """Who goes first: a new or expiring object before a routine look."""

    URGENT = 0
    REFRESH = 1


class QueueClosed(Exception):  # noqa: N818  a state that ends the worker, not an error
    """The queue was shut down: there is nothing more to do."""


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """A snapshot for tests and metrics."""

    ready_urgent: int
    ready_refresh: int
    delayed: int
    processing: int
    failures: int
    parked: int
    set_aside: int = 0


class _Place(NamedTuple):
    """A key's right to be in hand: the group that it counts for, and the lane that it came by."""

    group: Hashable
    lane: Lane


@dataclass(slots=True)
class _Crowd(Generic[K]):
    """One group's keys by lane: how many are in hand or invited to be, and who is set aside until then."""

    set_aside: dict[Lane, FairLine[K]]
    taken: dict[Lane, int] = field(default_factory=lambda: dict.fromkeys(Lane, 0))

    def has_room(self, lane: Lane, limit: int) -> bool:
        if sum(self.taken.values()) >= limit:
            return False
        return lane is Lane.URGENT or self.taken[lane] < max(1, limit - KEPT_FOR_URGENT)

    def first_for_a_place(self, limit: int) -> tuple[K, Lane] | None:
        """Take whoever is the next to be in hand out of those set aside."""
        for lane, waiting in self.set_aside.items():
            if waiting and self.has_room(lane, limit):
                return waiting.pop_first(), lane
        return None


class WorkQueue(Generic[K]):
    """Keys on their way to the workers.

    `group` is asked when a key is taken: what its pass will depend on, or None for nothing yet known.
    `share` tells whose the key is, always the same.
    """

    def __init__(
        self,
        clock: Clock,
        limiter: RateLimiter[K],
        *,
        name: str = "",
        group: Callable[[K], Hashable] = lambda _: None,
        group_limit: int = 16,
        share: Callable[[K], Hashable] = lambda _: None,
    ) -> None:
        self.name = name
        self._group = group
        self._group_limit = group_limit
        self._crowds: dict[Hashable, _Crowd[K]] = {}
        self._set_aside: dict[K, FairLine[K]] = {}
        self._invited: dict[K, _Place] = {}  # ready again, with a place kept
        self._clock = clock
        self._limiter = limiter
        self._share = share
        self._ready = self._lines()
        self._processing: dict[K, _Place | None] = {}
        self._dirty: dict[K, Lane] = {}
        self._delayed: Timetable[K] = Timetable()
        self._delayed_lane: dict[K, Lane] = {}
        self._urgent_run = 0
        self._closed = False
        self._parked: OrderedDict[asyncio.Event, None] = OrderedDict()
        self._keeper: asyncio.Event | None = None

    def add(self, key: K, lane: Lane = Lane.URGENT) -> None:
        """The key wants a pass now."""
        if self._closed:
            return
        if key in self._processing:
            self._dirty[key] = min(lane, self._dirty.get(key, lane))
            return
        self._enqueue(key, lane)
        self._hand_on()

    def add_after(self, key: K, seconds: float, lane: Lane = Lane.REFRESH, *, spread: float = 0.0) -> None:
        """The key wants a pass in that many seconds, give or take the fraction `spread` of them.

        Of this wish and an earlier one the sooner counts.
        """
        if self._closed:
            return
        if seconds <= 0:
            self.add(key, lane)
            return
        due = self._clock.monotonic() + self._limiter.spread(seconds, spread)
        known = self._delayed.get(key)
        if known is not None and known <= due:
            return
        self._delayed.set(key, due)
        self._delayed_lane[key] = lane
        if self._keeper is not None and self._delayed.first() == due:
            self._unpark(self._keeper)

    def add_rate_limited(self, key: K, at_least: float = 0.0, lane: Lane = Lane.REFRESH) -> None:
        """The key failed once more: it wants a pass after its back-off, not before `at_least` seconds."""
        self.add_after(key, max(self._limiter.when(key), at_least), lane)

    def forget(self, key: K) -> None:
        """The key is well: its back-off begins anew."""
        self._limiter.forget(key)

    def drop(self, key: K) -> None:
        """The object is gone: forget every wish; a pass in progress ends by itself."""
        self._limiter.forget(key)
        self._forget_delay(key)
        self._dirty.pop(key, None)
        for lane in self._ready.values():
            lane.discard(key)
        self._call_back(key)
        self._give_place_away(self._invited.pop(key, None))
        self._hand_on()

    async def get(self) -> K:
        """Wait for a key and take it; raises QueueClosed after `shut_down`."""
        while (key := self.get_nowait()) is None:
            if self._closed:
                raise QueueClosed(self.name)
            await self._park()
        self._hand_on()
        return key

    def get_nowait(self) -> K | None:
        """Take the next key, if one is ready."""
        for due in self._delayed.pop_due(self._clock.monotonic()):
            self._wake_delayed(due)
        while (lane := self._next_lane()) is not None:
            key = self._ready[lane].pop_first()
            if self._admit(key, lane):
                self._forget_delay(key)
                return key
        return None

    def done(self, key: K) -> None:
        """The worker let go of the key; what was added meanwhile is ready now."""
        if key in self._processing:
            self._give_place_away(self._processing.pop(key))
        lane = self._dirty.pop(key, None)
        if lane is not None:
            self._enqueue(key, lane)
        self._hand_on()

    def due_in(self, key: K) -> float | None:
        """Return the seconds until the key may be handed out again, as things stand; None for no wish."""
        if key in self._dirty or key in self._set_aside or any(key in lane for lane in self._ready.values()):
            return 0.0
        due = self._delayed.get(key)
        return None if due is None else max(0.0, due - self._clock.monotonic())

    def shut_down(self) -> None:
        """Hand out nothing more: keys in hand are finished, all others are left to the next leader."""
        self._closed = True
        for lane in self._ready.values():
            lane.clear()
        for waiting in self._set_aside.values():
            waiting.clear()
        self._set_aside.clear()
        self._invited.clear()
        self._dirty.clear()
        self._delayed.clear()
        self._delayed_lane.clear()
        for turn in tuple(self._parked):
            self._unpark(turn)

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._ready.values())

    def statistics(self) -> QueueStatistics:
        """Return how many keys are where."""
        return QueueStatistics(
            ready_urgent=len(self._ready[Lane.URGENT]),
            ready_refresh=len(self._ready[Lane.REFRESH]),
            set_aside=len(self._set_aside),
            delayed=len(self._delayed),
            processing=len(self._processing),
            failures=len(self._limiter),
            parked=len(self._parked),
        )

    def _admit(self, key: K, lane: Lane) -> bool:
        """Take the key in hand, or set it aside when its group has as many in hand as it may."""
        group, place = self._group(key), self._invited.pop(key, None)
        if place is None or place.group != group:
            self._give_place_away(place)
            place = None if group is None else _Place(group, lane)
            if place is not None and not self._take_place(place, key):
                return False
        self._processing[key] = place
        return True

    def _take_place(self, place: _Place, key: K) -> bool:
        crowd = self._crowds.setdefault(place.group, _Crowd(self._lines()))
        if crowd.has_room(place.lane, self._group_limit):
            crowd.taken[place.lane] += 1
            return True
        crowd.set_aside[place.lane].add(key)
        self._set_aside[key] = crowd.set_aside[place.lane]
        return False

    def _give_place_away(self, place: _Place | None) -> None:
        """A place in a group is free: of those set aside one is ready again, and holds it."""
        if place is None:
            return
        crowd = self._crowds[place.group]
        crowd.taken[place.lane] -= 1
        if (found := crowd.first_for_a_place(self._group_limit)) is not None:
            key, lane = found
            crowd.taken[lane] += 1
            del self._set_aside[key]
            self._invited[key] = _Place(place.group, lane)
            self._enqueue(key, lane)
            self._ready[lane].add_first(key)
        elif not any(crowd.taken.values()):
            del self._crowds[place.group]

    def _call_back(self, key: K) -> None:
        """The key is set aside no more."""
        waiting = self._set_aside.pop(key, None)
        if waiting is not None:
            waiting.discard(key)

    def _enqueue(self, key: K, lane: Lane) -> None:
        if key in self._set_aside:
            if lane is Lane.REFRESH:
                return
            self._call_back(key)  # there may be room for it now that it is urgent
        if key in self._ready[Lane.URGENT]:
            return
        if lane is Lane.URGENT:
            self._ready[Lane.REFRESH].discard(key)
        self._ready[lane].add(key)

    def _lines(self) -> dict[Lane, FairLine[K]]:
        return {lane: FairLine(self._share) for lane in Lane}

    def _wake_delayed(self, key: K) -> None:
        lane = self._delayed_lane.pop(key)
        if key in self._processing:
            self._dirty[key] = min(lane, self._dirty.get(key, lane))
        else:
            self._enqueue(key, lane)

    def _forget_delay(self, key: K) -> None:
        self._delayed.cancel(key)
        self._delayed_lane.pop(key, None)

    def _next_lane(self) -> Lane | None:
        urgent, refresh = self._ready[Lane.URGENT], self._ready[Lane.REFRESH]
        if not refresh:
            self._urgent_run = 0
            return Lane.URGENT if urgent else None
        if urgent and self._urgent_run < URGENT_IN_A_ROW:
            self._urgent_run += 1
            return Lane.URGENT
        self._urgent_run = 0
        return Lane.REFRESH

    # Waiting. Of the parked getters one, the keeper, watches the timer; a wish for now or for sooner
    # wakes one getter, not all. Whoever was woken either takes a key or parks again, and hands the
    # turn on when it leaves with a key or is cancelled: so no wish and no timer is left unwatched.

    async def _park(self) -> None:
        turn = asyncio.Event()
        self._parked[turn] = None
        seconds: float | None = None
        if self._keeper is None:
            self._keeper = turn
            seconds = self._seconds_until_due()
        try:
            await self._clock.wait(turn, seconds)
        except asyncio.CancelledError:
            self._unpark(turn)
            self._hand_on()
            raise
        self._unpark(turn)

    def _seconds_until_due(self) -> float | None:
        due = self._delayed.first()
        return None if due is None else max(0.0, due - self._clock.monotonic())

    def _hand_on(self) -> None:
        if self._parked and (self._keeper is None or len(self)):
            self._unpark(next(iter(self._parked)))

    def _unpark(self, turn: asyncio.Event) -> None:
        self._parked.pop(turn, None)
        if self._keeper is turn:
            self._keeper = None
        turn.set()
