"""A time limit measured by the injected clock.

Invariant: the work runs in the caller's task, so its context variables are the caller's, and the
caller's cancellation is its own.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from vso.core.clock import Clock

V = TypeVar("V")


async def within(clock: Clock, seconds: float, work: Awaitable[V]) -> V:
    """Await the work for at most that many seconds; raises TimeoutError when they are over."""
    async with clock.limit(seconds):
        return await work
