"""Cancel a coroutine at every point where it can be: after n turns of the loop, for all n."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

V = TypeVar("V")


async def cancel_after(turns: int, work: Coroutine[object, object, V]) -> asyncio.Task[V]:
    """Start the work, let the loop turn so many times, cancel it; the caller lets it end."""
    task = asyncio.get_running_loop().create_task(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    return task
