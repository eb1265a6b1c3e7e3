"""Whether requests may go to a Vault at all: the breaker with its cause, and the time it asked for.

Invariant: while the breaker is not closed, `enter` raises the last cause at once, but for the few
requests of a trial; as long as Vault asked to be left alone, nothing goes in either lane. Whoever
waits for a slot when either begins is woken with the cause. Only an answer to a request that was
sent after the opening closes the breaker: one that was on its way when Vault went says nothing
about now, and a good word about its health does not yet mean that it serves.

Both lanes wait alike for the time that a Retry-After asks: a quota counts all that comes from an
address, so that new work would be refused as well, and would take what the quota has left from
the work that waited. The time is bounded where the header is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from vso.core.clock import Clock
from vso.core.errors import Reason, TransientError, VsoError
from vso.runtime.breaker import Breaker
from vso.vault.errors import BreakerOpenError, HeldError, TokenSpentError, UnsentError, VaultDownError

Cause = Callable[[], VsoError]

_LOOK_EVERY = 1.0
_NOTHING_YET = TransientError(Reason.VAULT_UNAVAILABLE, "Vault has not been asked yet")


class Gate:
    """Open breaker or a time to wait for, closed gate.

    `on_shut` is called with a maker of errors when those who wait for their turn wait in vain.
    """

    def __init__(self, clock: Clock, on_shut: Callable[[Cause], None]) -> None:
        self._clock = clock
        self._on_shut = on_shut
        self._breaker = Breaker()
        self._cause: VsoError = _NOTHING_YET
        self._asked: VsoError = _NOTHING_YET
        self._asked_until = 0.0
        self._shut = asyncio.Event()
        self._watchers: list[Callable[[bool], None]] = []
        self._testers: list[Callable[[], None]] = []

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open or on trial."""
        return not self._breaker.is_closed

    @property
    def outage(self) -> VsoError | None:
        """The cause while the breaker is open or on trial; a fresh error each time, for its own traceback."""
        return self._away() if self.is_open else None

    def on_state(self, callback: Callable[[bool], None]) -> None:
        """Have the callback called with True when the breaker opens and False when it closes."""
        self._watchers.append(callback)

    def on_trial(self, callback: Callable[[], None]) -> None:
        """Have the callback called when a few requests are wanted to show whether Vault serves."""
        self._testers.append(callback)

    def check(self) -> None:
        """Raise what keeps a request from going now."""
        if not self._breaker.passable:
            raise self._away()
        if self._asked_until > self._clock.monotonic():
            raise self._wait()

    def enter(self) -> Passage:
        """Take a place for one request that goes now; raises what keeps it from going."""
        self.check()
        return Passage(self, self._breaker.enter())

    async def wait_open(self) -> None:
        """Park until the breaker is open."""
        await self._shut.wait()

    def pause(self) -> float:
        """Return the seconds until there is something to do about an open breaker: a second at most, since
        a trial may end at any time.
        """
        return min(_LOOK_EVERY, self._rest())

    def probe_due(self) -> bool:
        """End a trial that has had its time; tell whether it is time to probe."""
        before = self._breaker.period
        self._breaker.settle(self._clock.monotonic())
        self._tell(before)
        return not self._breaker.passable and self._rest() <= 0

    def probed(self, error: VsoError | None) -> None:
        """A probe has ended: without an error Vault says that it is well, and may show it."""
        if error is not None and self.is_open:
            self._cause = error
        was_passable = self._breaker.passable
        self._breaker.probed(self._clock.monotonic(), well=error is None)
        if self._breaker.passable and not was_passable:
            for callback in self._testers:
                callback()

    def leave(self, ticket: int, error: BaseException | None) -> None:
        """A request has ended: an error of Vault's own is an answer too."""
        now, before = self._clock.monotonic(), self._breaker.period
        match error:
            case VaultDownError():
                if ticket == before:
                    self._cause = error
                self._breaker.failed(ticket, now)
            case None:
                self._breaker.answered(ticket, now)
            case VsoError() if not isinstance(error, TokenSpentError | UnsentError):
                self._breaker.answered(ticket, now)
            case _:
                self._breaker.left(ticket)
        self._tell(before)
        if isinstance(error, TransientError) and error.retry_after:
            self._hold(error, error.retry_after)

    def _rest(self) -> float:
        at = max(self._breaker.next_at() or 0.0, self._asked_until)
        return max(0.0, at - self._clock.monotonic())

    def _hold(self, error: TransientError, seconds: float) -> None:
        """Let nothing pass for as long as Vault asks; the longest wish counts."""
        until = self._clock.monotonic() + seconds
        if until > self._asked_until:
            self._asked, self._asked_until = error, until
            self._on_shut(self._wait)

    def _wait(self) -> HeldError:
        rest = self._asked_until - self._clock.monotonic()
        return HeldError(self._asked.reason, self._asked.message, rest)

    def _away(self) -> BreakerOpenError:
        return BreakerOpenError(self._cause.reason, self._cause.message)

    def _tell(self, period_before: int) -> None:
        """Tell of an opening or closing that has just happened."""
        if self._breaker.period != period_before:
            self._on_shut(self._away)
        if self.is_open == self._shut.is_set():
            return
        if self.is_open:
            self._shut.set()
        else:
            self._shut.clear()
        for callback in self._watchers:
            callback(self.is_open)


class Passage:
    """One request's way through the gate; however it ends, the gate hears of it."""

    __slots__ = ("_gate", "_ticket")

    def __init__(self, gate: Gate, ticket: int) -> None:
        self._gate = gate
        self._ticket = ticket

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate.leave(self._ticket, error)
