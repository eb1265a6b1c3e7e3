"""How many requests one connection carries at once, and how many a second.

Invariant: at most `concurrency` holders; of those at most `concurrency - 2` in the refresh lane, so
that new and expiring work always finds a slot; the urgent lane is served first; FIFO within a lane.
Every state change is synchronous: a cancelled waiter gives back what it was handed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from vso.core.clock import Clock
from vso.core.errors import VsoError
from vso.runtime.rate_limiter import TokenBucket
from vso.runtime.workqueue import Lane

KEPT_FOR_URGENT = 2
_LEAST = 0.001
"""Shortest sleep: a remainder of 1e-16 s would never move a clock on."""


@dataclass(frozen=True, slots=True)
class LimiterStatistics:
    """A snapshot for tests and operators."""

    active: int
    waiting_urgent: int
    waiting_refresh: int


class Limiter:
    """Slots for requests, in two lanes."""

    def __init__(self, clock: Clock, concurrency: int, rate: tuple[float, int] | None = None) -> None:
        self._clock = clock
        self._concurrency = concurrency
        self._refreshing = max(1, concurrency - KEPT_FOR_URGENT)
        self._spacing = 0.0 if rate is None else 1 / rate[0]
        self._bucket = None if rate is None else TokenBucket(clock, rate[0], rate[1])
        self._active = {Lane.URGENT: 0, Lane.REFRESH: 0}
        self._urgent_for_token = 0
        self._waiting: dict[Lane, deque[asyncio.Future[None]]] = {Lane.URGENT: deque(), Lane.REFRESH: deque()}

    @asynccontextmanager
    async def slot(self, lane: Lane) -> AsyncIterator[None]:
        """Hold one slot, and spend one token of the rate where there is one."""
        await self._acquire(lane)
        try:
            await self._spend(lane)
            yield
        finally:
            self._release_nowait(lane)

    def fail_waiting(self, cause: Callable[[], VsoError]) -> None:
        """Wake everyone who waits for a slot with an error of their own: nothing goes to this Vault now."""
        for waiting in self._waiting.values():
            while waiting:
                future = waiting.popleft()
                if not future.done():
                    future.set_exception(cause())

    def statistics(self) -> LimiterStatistics:
        """Return how many hold and wait."""
        return LimiterStatistics(
            sum(self._active.values()), len(self._waiting[Lane.URGENT]), len(self._waiting[Lane.REFRESH])
        )

    async def _acquire(self, lane: Lane) -> None:
        if self._may_enter(lane):
            self._active[lane] += 1
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(future)
        try:
            await future  # the slot is counted by whoever completes the future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._release_nowait(lane)
            elif future in self._waiting[lane]:
                self._waiting[lane].remove(future)
            raise

    def _may_enter(self, lane: Lane) -> bool:
        return self._has_room(lane) and not any(self._waiting[other] for other in Lane if other <= lane)

    def _has_room(self, lane: Lane) -> bool:
        full = sum(self._active.values()) >= self._concurrency
        return not full and (lane is Lane.URGENT or self._active[lane] < self._refreshing)

    def _release_nowait(self, lane: Lane) -> None:
        self._active[lane] -= 1
        for served in sorted(Lane):
            waiting = self._waiting[served]
            while waiting and self._has_room(served):
                future = waiting.popleft()
                if not future.done():
                    self._active[served] += 1
                    future.set_result(None)

    async def _spend(self, lane: Lane) -> None:
        """Take a token; a refresh stands back as long as urgent work waits for one."""
        if self._bucket is None:
            return
        urgent = lane is Lane.URGENT
        self._urgent_for_token += urgent
        try:
            while True:
                held_back = not urgent and self._urgent_for_token > 0
                seconds = self._spacing if held_back else self._bucket.try_acquire_nowait()
                if seconds <= 0:
                    return
                await self._clock.sleep(max(seconds, _LEAST))
        finally:
            self._urgent_for_token -= urgent
