"""A circuit breaker as a pure state machine.

Invariant: transitions are functions of the state and `now`; the class only holds the latest state.
While open, one probe is let through per interval and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, assert_never


@dataclass(frozen=True, slots=True)
class Closed:
    """Requests pass; so many have failed in a row."""

    failures: int = 0


@dataclass(frozen=True, slots=True)
class Open:
    """Requests are refused since then; the next probe may go at `probe_at`."""

    since: float
    probe_at: float


BreakerState: TypeAlias = Closed | Open


@dataclass(frozen=True, slots=True)
class BreakerConfig:
    """How many failures in a row open it, and the seconds between two probes."""

    threshold: int = 3
    probe_every: float = 1.0


def after_failure(state: BreakerState, now: float, config: BreakerConfig) -> BreakerState:
    """Return the state after one more failure."""
    match state:
        case Closed(failures) if failures + 1 < config.threshold:
            return Closed(failures + 1)
        case Closed():
            return Open(since=now, probe_at=now + config.probe_every)
        case Open():
            return state
        case _:
            assert_never(state)


def after_asking(state: BreakerState, now: float, config: BreakerConfig) -> tuple[bool, BreakerState]:
    """Return whether a request may go now, and the state if it does."""
    match state:
        case Closed():
            return True, state
        case Open(since, probe_at) if now >= probe_at:
            return True, Open(since, now + config.probe_every)
        case Open():
            return False, state
        case _:
            assert_never(state)


class Breaker:
    """The state of one connection's circuit."""

    def __init__(self, threshold: int = 3, probe_every: float = 1.0) -> None:
        if threshold < 1 or probe_every <= 0:
            raise ValueError("a breaker needs threshold >= 1 and probe_every > 0")
        self._config = BreakerConfig(threshold, probe_every)
        self._state: BreakerState = Closed()

    @property
    def state(self) -> BreakerState:
        """The state, frozen."""
        return self._state

    @property
    def is_open(self) -> bool:
        """Whether requests are refused, other than probes."""
        return isinstance(self._state, Open)

    def allow(self, now: float) -> bool:
        """Tell whether a request may go; while open, True is the probe's ticket, once an interval."""
        allowed, self._state = after_asking(self._state, now, self._config)
        return allowed

    def success(self) -> None:
        """A request was answered: close."""
        self._state = Closed()

    def failure(self, now: float) -> None:
        """A request was not answered: one more in a row."""
        self._state = after_failure(self._state, now, self._config)
