"""A bounded retry that costs nothing while the call succeeds.

Invariant: the first attempt goes without tenacity, and its failure is handed on as tenacity's first,
so that stop and wait count as ever. One retrying object serves one call: it keeps its state between
attempts, and calls overlap.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from tenacity import AsyncRetrying

P = ParamSpec("P")
T = TypeVar("T")


async def attempt(
    retrying: Callable[[], AsyncRetrying],
    on: type[Exception] | tuple[type[Exception], ...],
    call: Callable[P, Awaitable[T]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Make the call; one that fails with `on` is tried again as the retrying object says."""
    try:
        return await call(*args, **kwargs)
    except on as error:
        met = [error]

    async def again() -> T:
        if met:
            raise met.pop()
        return await call(*args, **kwargs)

    return await retrying()(again)
