"""The one place that asks the operating system for time, sleep and tasks.

Invariant: no other module calls time.time, time.monotonic, datetime.now or asyncio.sleep; whoever
needs time takes a Clock in its constructor, so that tests step it by hand.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for what is written down, monotonic seconds for what is measured."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary origin; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Park for that many seconds; zero or less only yields."""
        ...

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Park until the event is set (True) or the seconds are over (False)."""
        ...

    def limit(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Return a block that is left by TimeoutError when the seconds are over."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the monotonic clock in seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Park for that many seconds."""
        await asyncio.sleep(max(0.0, seconds))

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Park until the event is set or the seconds are over."""
        if event.is_set():
            return True
        try:
            async with asyncio.timeout(seconds):
                return await event.wait()
        except TimeoutError:
            return False

    def limit(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Return a block that is left by TimeoutError when the seconds are over."""
        return asyncio.timeout(seconds)
