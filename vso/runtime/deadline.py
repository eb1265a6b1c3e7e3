"""A time limit measured by the injected clock.

asyncio.timeout reads the loop's own clock, which a test cannot step; this one bounds an await by
`Clock.sleep`. Invariant: the timer task never outlives the call by more than its own cancellation.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import TypeVar

from vso.core.clock import Clock

V = TypeVar("V")


async def within(clock: Clock, seconds: float, work: Awaitable[V]) -> V:
    """Await the work for at most that many seconds; raises TimeoutError when they are over.

    The work runs in the caller's task, so its context variables are the caller's, and the caller's
    cancellation is its own.
    """
    loop = asyncio.get_running_loop()
    # Not a TaskGroup: that would wrap the work's own exceptions in a group.
    timer = loop.create_task(clock.sleep(seconds))
    try:
        async with asyncio.timeout(None) as limit:
            timer.add_done_callback(lambda ended: _expire(ended, limit, loop))
            return await work
    finally:
        timer.cancel()


def _expire(timer: asyncio.Task[None], limit: asyncio.Timeout, loop: asyncio.AbstractEventLoop) -> None:
    if timer.cancelled():
        return
    # The work may have ended in the same turn; its limit then refuses to be moved.
    with contextlib.suppress(RuntimeError):
        limit.reschedule(loop.time())
