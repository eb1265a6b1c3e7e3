"""A circuit breaker as a pure state machine.

Invariant: transitions are functions of the state and `now`; the class only holds the latest state.
While open nothing passes but probes, and a probe that is answered well does not close it: a few
requests are let through to show whether the server serves, and only an answer to one of them is a
recovery. Trials that fail are made ever more rarely; only a sound period makes them quick again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never


@dataclass(frozen=True, slots=True)
class Closed:
    """Requests pass; so many have failed in a row."""

    failures: int = 0
    since: float = -math.inf
    relapses: int = 0
    """How often in a row it was found well and was not."""


@dataclass(frozen=True, slots=True)
class Open:
    """Requests are refused; the next probe may go at `probe_at`."""

    probe_at: float
    relapses: int = 0


@dataclass(frozen=True, slots=True)
class Trying:
    """A probe was answered well: as many requests as there are tickets may pass."""

    settle_at: float
    tickets: int
    relapses: int = 0
    in_hand: int = 0
    failures: int = 0


BreakerState: TypeAlias = Closed | Open | Trying


@dataclass(frozen=True, slots=True)
class BreakerConfig:
    """How many failures in a row open it, and how it is found well again."""

    threshold: int = 3
    probe_every: float = 1.0
    """Seconds between two probes that are answered badly."""
    longest_pause: float = 30.0
    """Most seconds between two trials; they begin at `probe_every` and double."""
    patience: float = 5.0
    """Seconds in which somebody should use a trial; where nobody does, the probe alone decides."""
    sound_after: float = 60.0
    """Seconds closed after which the relapses are forgotten."""

    def pause(self, relapses: int) -> float:
        """Return the seconds until the next probe."""
        return min(self.longest_pause, self.probe_every * 2.0 ** min(relapses, 16))


def entering(state: BreakerState) -> BreakerState | None:
    """Return the state with one more request on its way; None when it may not go."""
    match state:
        case Closed():
            return state
        case Trying(tickets=tickets) if tickets > 0:
            return replace(state, tickets=tickets - 1, in_hand=state.in_hand + 1)
        case Trying() | Open():
            return None
        case _:
            assert_never(state)


def after_failure(state: BreakerState, now: float, config: BreakerConfig) -> BreakerState:
    """Return the state after a request that was not answered."""
    match state:
        case Closed(failures, since, relapses) if failures + 1 < config.threshold:
            return Closed(failures + 1, since, relapses)
        case Closed(since=since, relapses=relapses):
            return _opened(0 if now - since >= config.sound_after else relapses + 1, now, config)
        case Trying(failures=failures) if failures + 1 < config.threshold:
            # Others have a moment to show that it was this request's own failure.
            settle_at = min(state.settle_at, now + config.probe_every)
            return replace(state, settle_at=settle_at, in_hand=state.in_hand - 1, failures=failures + 1)
        case Trying(relapses=relapses):
            return _opened(relapses + 1, now, config)
        case Open():
            return state
        case _:
            assert_never(state)


def after_answer(state: BreakerState, now: float) -> BreakerState:
    """Return the state after a request that was answered."""
    match state:
        case Closed(since=since, relapses=relapses):
            return Closed(0, since, relapses)
        case Trying(relapses=relapses):
            return Closed(0, now, relapses)
        case Open():
            return state
        case _:
            assert_never(state)


def after_leaving(state: BreakerState) -> BreakerState:
    """Return the state after a request that ended without telling anything: its ticket is given back."""
    match state:
        case Trying(tickets=tickets, in_hand=in_hand):
            return replace(state, tickets=tickets + 1, in_hand=in_hand - 1)
        case Closed() | Open():
            return state
        case _:
            assert_never(state)


def after_probe(state: BreakerState, now: float, config: BreakerConfig, *, well: bool) -> BreakerState:
    """Return the state after a probe."""
    match state:
        case Open(relapses=relapses) if well:
            return Trying(now + config.patience, config.threshold, relapses)
        case Open(relapses=relapses):
            return Open(now + config.probe_every, relapses)
        case Closed() | Trying():
            return state
        case _:
            assert_never(state)


def settled(state: BreakerState, now: float, config: BreakerConfig) -> BreakerState:
    """Return what becomes of a trial that has had its time."""
    match state:
        case Trying(settle_at=settle_at) if now < settle_at:
            return state
        case Trying(in_hand=in_hand) if in_hand > 0:
            return replace(state, settle_at=now + config.probe_every)
        case Trying(failures=0, relapses=relapses):
            return Closed(0, now, relapses)
        case Trying(relapses=relapses):
            return _opened(relapses + 1, now, config)
        case Closed() | Open():
            return state
        case _:
            assert_never(state)


def _opened(relapses: int, now: float, config: BreakerConfig) -> Open:
    return Open(now + config.pause(relapses), relapses)


class Breaker:
    """The state of one connection's circuit.

    A ticket is the number of the period between two openings in which a request was let through:
    what comes back with an older one says nothing about now.
    """

    def __init__(self, config: BreakerConfig | None = None) -> None:
        self._config = config or BreakerConfig()
        if self._config.threshold < 1 or self._config.probe_every <= 0:
            raise ValueError("a breaker needs threshold >= 1 and probe_every > 0")
        self._state: BreakerState = Closed()
        self._period = 0

    @property
    def state(self) -> BreakerState:
        """The state, frozen."""
        return self._state

    @property
    def period(self) -> int:
        """How often it has opened."""
        return self._period

    @property
    def is_closed(self) -> bool:
        """Whether the server is taken to serve."""
        return isinstance(self._state, Closed)

    @property
    def passable(self) -> bool:
        """Whether a request may go now."""
        return entering(self._state) is not None

    def enter(self) -> int:
        """Return the ticket of a request that goes now; to be asked for only while it is passable."""
        self._state = entering(self._state) or self._state
        return self._period

    def answered(self, ticket: int, now: float) -> None:
        """The request was answered."""
        if ticket == self._period:
            self._state = after_answer(self._state, now)

    def failed(self, ticket: int, now: float) -> None:
        """The request was not answered."""
        if ticket == self._period:
            self._move(after_failure(self._state, now, self._config))

    def left(self, ticket: int) -> None:
        """The request ended without telling anything."""
        if ticket == self._period:
            self._state = after_leaving(self._state)

    def probed(self, now: float, *, well: bool) -> None:
        """A probe was answered, well or not."""
        self._state = after_probe(self._state, now, self._config, well=well)

    def settle(self, now: float) -> None:
        """End a trial that has had its time."""
        self._move(settled(self._state, now, self._config))

    def next_at(self) -> float | None:
        """Return when to probe or to settle next; None while closed."""
        match self._state:
            case Open(probe_at=at) | Trying(settle_at=at):
                return at
            case Closed():
                return None
            case _:
                assert_never(self._state)

    def _move(self, state: BreakerState) -> None:
        if isinstance(state, Open) and not isinstance(self._state, Open):
            self._period += 1
        self._state = state
