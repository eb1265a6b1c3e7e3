"""Whether requests may go to a Vault at all: the breaker with the cause of its opening.

Invariant: while it is open, `check` raises the last cause at once and everyone who waits for a slot
is woken with it; only a probe closes it, since an answer that was on its way when Vault went says
nothing about now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from vso.core.clock import Clock
from vso.core.errors import TransientError, VsoError
from vso.runtime.breaker import Breaker
from vso.vault.errors import BreakerOpenError


class Gate:
    """Open breaker, closed gate."""

    def __init__(self, clock: Clock, on_shut: Callable[[BreakerOpenError], None]) -> None:
        self._clock = clock
        self._on_shut = on_shut
        self._breaker = Breaker()
        self._cause: VsoError | None = None
        self._shut = asyncio.Event()
        self._watchers: list[Callable[[bool], None]] = []

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open, so that nothing may pass."""
        return self._breaker.is_open

    def on_state(self, callback: Callable[[bool], None]) -> None:
        """Have the callback called with True when the breaker opens and False when it closes."""
        self._watchers.append(callback)

    def check(self) -> None:
        """Raise the cause while the breaker is open; a fresh error each time, for its own traceback."""
        if self.is_open and self._cause is not None:
            raise self._copy(self._cause)

    async def wait_open(self) -> None:
        """Park until the breaker is open."""
        await self._shut.wait()

    def answered(self) -> None:
        """Vault answered something: failures no longer stand in a row."""
        if not self.is_open:
            self._breaker.success()

    def failed(self, error: VsoError) -> None:
        """Vault as a whole did not answer, or only that it is sealed."""
        self._cause = error
        was_open = self.is_open
        self._breaker.failure(self._clock.monotonic())
        if self.is_open and not was_open:
            self._shut.set()
            self._on_shut(self._copy(error))
            self._tell()

    def recovered(self) -> None:
        """A probe was answered as it should be: let everyone pass."""
        was_open = self.is_open
        self._breaker.success()
        if was_open:
            self._shut.clear()
            self._tell()

    def _tell(self) -> None:
        for callback in self._watchers:
            callback(self.is_open)

    @staticmethod
    def _copy(error: VsoError) -> BreakerOpenError:
        retry_after = error.retry_after if isinstance(error, TransientError) else None
        return BreakerOpenError(error.reason, error.message, retry_after)
