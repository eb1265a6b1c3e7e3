"""A clock that moves only when told to.

`advance` wakes every sleeper that falls due, in order of its deadline, and lets the loop run until
nothing is ready before it moves on: what the system would do in an hour happens in a millisecond.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import AsyncIterator, Sized
from datetime import UTC, datetime, timedelta

T0 = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


class FakeClock:
    """Virtual time; `now` and `monotonic` move together."""

    def __init__(self, start: datetime = T0) -> None:
        self._start = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._sequence = itertools.count()

    def now(self) -> datetime:
        """Return the virtual wall time."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Return the virtual seconds since the start."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Park until `advance` passes the deadline."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        await self._sleeper(seconds)

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Park until the event is set (True) or `advance` passes the deadline (False)."""
        if event.is_set():
            return True
        if seconds is None:
            return await event.wait()
        try:
            async with self.limit(seconds):
                return await event.wait()
        except TimeoutError:
            return event.is_set()

    @contextlib.asynccontextmanager
    async def limit(self, seconds: float) -> AsyncIterator[None]:
        """Raise TimeoutError in the block when `advance` passes the deadline."""
        # No helper tasks: a block that is cancelled or cut off by a failing test leaves nothing behind.
        due = self._sleeper(max(0.0, seconds))
        try:
            async with asyncio.timeout(None) as limit:
                due.add_done_callback(lambda ended: _expire(ended, limit))
                yield
        finally:
            due.cancel()

    async def advance(self, seconds: float) -> None:
        """Move on by that many seconds, waking sleepers in order of their deadlines."""
        target = self._elapsed + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, future = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, due)
            if not future.done():
                future.set_result(None)
                await settle()
        self._elapsed = target
        await settle()

    def jump(self, seconds: float) -> None:
        """Move on without letting anybody run, as if the process had been stopped."""
        self._elapsed += seconds

    def _sleeper(self, seconds: float) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._sequence), future))
        return future

    @property
    def sleeping(self) -> int:
        """How many tasks are parked on this clock."""
        return sum(not future.done() for _, _, future in self._sleepers)


def _expire(due: asyncio.Future[None], limit: asyncio.Timeout) -> None:
    # The wait may have ended in the same turn; its limit then refuses to be moved.
    if not due.cancelled():
        with contextlib.suppress(RuntimeError):
            limit.reschedule(asyncio.get_running_loop().time())


async def settle(rounds: int = 10_000) -> None:
    """Let every ready task run until the loop has nothing more to do (bounded).

    Three quiet turns in a row, not one: bytes on a local socket become ready only in the next turn.
    """
    ready: Sized = vars(asyncio.get_running_loop())["_ready"]
    quiet = 0
    for _ in range(rounds):
        await asyncio.sleep(0)
        quiet = 0 if ready else quiet + 1
        if quiet == 3:
            return
