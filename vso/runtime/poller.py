"""Looking at sources that do not tell when they change, once for all who want to know.

Invariant: a source is looked at once per period, the smallest that its subscribers ask for, and
never twice at a time. The instants are stateless: whole periods of the wall clock plus a phase of
the source's own, so that the mean period is the asked one exactly, a restart finds nothing due at
once, and a thousand sources do not come due together. One heap and one timer serve all; the looks
of one group (of one server, say) wait for each other and never for those of another group, and in a
group the shares of the subscribers (their namespaces, say) take turns, so that the many sources of one
cost another no more than its turn. A source whose change is told by others is looked at beside these
instants, once a second at most.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from vso.core.clock import Clock
from vso.core.errors import TransientError
from vso.runtime.fair_line import FairLine
from vso.runtime.lease_scheduler import LeaseScheduler

S = TypeVar("S", bound=Hashable)
K = TypeVar("K", bound=Hashable)


_LEAST_GAP = 1.0
"""Seconds between the beginnings of two looks that were asked for by `look_now`."""


def next_look(after: float, period: float, phase: float) -> float:
    """Return the first instant later than `after` that lies `phase` of a period past whole periods."""
    offset = phase * period
    return (math.floor((after - offset) / period) + 1) * period + offset


@dataclass(slots=True)
class _Watched(Generic[S, K]):
    """One source: who wants it how often, and what was seen last."""

    phase: float
    subscribers: dict[K, float] = field(default_factory=dict)
    period: float = math.inf
    """The smallest that is asked for."""
    asking: int = 0
    """How many ask for it: a thousand that leave one by one are not gone through a thousand times."""
    fingerprint: Hashable = None
    known: bool = False
    looking: bool = False
    entry: tuple[Hashable, S] | None = None
    """Its latest in the line of its group, with the share that it waits or waited for."""
    due: float = -math.inf  # wall clock
    came_due: float = -math.inf  # wall clock; the instant of the latest look
    began: float = -math.inf  # wall clock; when the latest look began
    owed: int = 0  # looks that are to be made out of turn; the second only if the first shows nothing new

    def join(self, key: K, seconds: float) -> None:
        self.leave(key)
        self.subscribers[key] = seconds
        if seconds < self.period:
            self.period, self.asking = seconds, 0
        self.asking += seconds == self.period

    def leave(self, key: K) -> None:
        self.asking -= self.subscribers.pop(key, None) == self.period
        if not self.asking:
            self.period = min(self.subscribers.values(), default=math.inf)
            self.asking = sum(seconds == self.period for seconds in self.subscribers.values())


@dataclass(slots=True)
class _Gate(Generic[S]):
    """The looks of one group: those that wait and how many workers are at them."""

    waiting: FairLine[tuple[Hashable, S]] = field(default_factory=lambda: FairLine(lambda entry: entry[0]))
    """Each source with the share that it waits for: subscribers may come and go meanwhile."""
    workers: int = 0


@dataclass(frozen=True, slots=True)
class PollerStatistics:
    """A snapshot for tests and metrics; `looks` and `changes` count since the start."""

    sources: int
    subscribers: int
    waiting: int
    workers: int
    looks: int
    changes: int


class Poller(Generic[S, K]):
    """Sources, their subscribers, and the next look at each.

    `look` returns a fingerprint, of a failure too; a TransientError means that nothing was asked and
    nothing is known, and says when to come back.
    """

    def __init__(
        self,
        clock: Clock,
        look: Callable[[S], Awaitable[Hashable]],
        notify: Callable[[frozenset[K]], None],
        *,
        phase: Callable[[S], float],
        concurrency: int = 32,
        group: Callable[[S], Hashable] = lambda _: None,
        share: Callable[[K], Hashable] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._ask = look
        self._notify = notify
        self._phase = phase
        self._concurrency = concurrency
        self._group = group
        self._share = share
        self._watched: dict[S, _Watched[S, K]] = {}
        self._subscriptions: dict[K, tuple[S, ...]] = {}
        self._gates: dict[Hashable, _Gate[S]] = {}
        self._asked: set[S] = set()
        """The sources that are looked at now, also for nobody any more."""
        self._timer: LeaseScheduler[S] = LeaseScheduler(clock, self._come_due)
        self._looks = 0
        self._changes = 0
        self._tasks: asyncio.TaskGroup | None = None

    def subscribe(self, key: K, periods: Mapping[S, float]) -> None:
        """The key wants to hear of changes of these sources, each looked at every so many seconds.

        Takes the place of what the key wanted before; an infinite period asks for no look but those of
        `look_now`. Subscribe before reading, so that `observed` finds the source: a source of which
        nothing is known notifies at its first look.
        """
        if any(seconds <= 0 for seconds in periods.values()):
            raise ValueError("a source is polled every so many seconds, more than none")
        for source in self._subscriptions.get(key, ()):
            if source not in periods:
                self._leave(source, key)
        for source, seconds in periods.items():
            self._join(source, key, seconds)
        if periods:
            self._subscriptions[key] = tuple(periods)
        else:
            self._subscriptions.pop(key, None)

    def unsubscribe(self, key: K) -> None:
        """The key wants to hear of nothing more."""
        self.subscribe(key, {})

    def observed(self, source: S, fingerprint: Hashable, *, by: K | None = None) -> None:
        """A pass of the key `by` has read the source: the others need not wait for the next look."""
        watched = self._watched.get(source)
        if watched is not None:
            was_known = watched.known
            if self._remember(watched, fingerprint) and was_known:
                self._tell(watched, by)

    def look_now(self, source: S, *, again: bool = False) -> None:
        """Look at the source without waiting for its turn: it is said to have changed.

        `again` asks for one more look where the first shows nothing new: not every node of a server has
        a change at the moment at which it is told.
        """
        watched = self._watched.get(source)
        if watched is not None:
            watched.owed = max(watched.owed, 2 if again else 1)
            self._schedule(source, watched)

    async def run(self) -> None:
        """Look at each source when it is due, until cancelled."""
        self._gates.clear()  # an earlier run may have been cut off
        for source, watched in self._watched.items():
            watched.looking = False
            self._schedule(source, watched)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await self._timer.run()
        finally:
            self._tasks = None

    def sources(self) -> int:
        """Return how many sources are polled."""
        return len(self._watched)

    def statistics(self) -> PollerStatistics:
        """Return what is going on."""
        gates = self._gates.values()
        return PollerStatistics(
            sources=len(self._watched),
            subscribers=len(self._subscriptions),
            waiting=sum(len(gate.waiting) for gate in gates),
            workers=sum(gate.workers for gate in gates),
            looks=self._looks,
            changes=self._changes,
        )

    def _join(self, source: S, key: K, seconds: float) -> None:
        watched = self._watched.get(source)
        if watched is None:
            watched = self._watched[source] = _Watched(self._phase(source), looking=source in self._asked)
        before = watched.period if watched.subscribers else None
        watched.join(key, seconds)
        if watched.period != before:
            self._schedule(source, watched)

    def _leave(self, source: S, key: K) -> None:
        watched = self._watched[source]
        before = watched.period
        watched.leave(key)
        if not watched.subscribers:
            del self._watched[source]
            self._timer.cancel(source)
            self._leave_line(source, watched)
        elif watched.period != before:
            self._schedule(source, watched)

    def _leave_line(self, source: S, watched: _Watched[S, K]) -> None:
        """Nobody waits there any more: who wants the source anew has it queue up again, for another share perhaps."""
        gate = self._gates.get(self._group(source))
        if gate is not None and watched.entry is not None:
            gate.waiting.discard(watched.entry)

    def _schedule(self, source: S, watched: _Watched[S, K]) -> None:
        if watched.looking:
            return  # it is scheduled when the look has ended
        now = self._clock.now().timestamp()
        watched.due = self._in_turn(source, watched, now)
        if watched.owed:
            watched.due = min(watched.due, max(now, min(watched.began, now) + _LEAST_GAP))
        if math.isinf(watched.due):
            self._timer.cancel(source)
        else:
            # The timer runs on the monotonic clock: a step of the wall clock spoils one period at most.
            self._timer.set(source, self._clock.monotonic() + watched.due - now)

    def _in_turn(self, source: S, watched: _Watched[S, K], now: float) -> float:
        """Return the instant of the next look that nobody has to ask for."""
        if math.isinf(watched.period):
            return math.inf
        # The timer may wake a hair early: go past the latest instant, lest it be found again; but not
        # far from now, lest a wall clock that was set back silence the source.
        hair = min(1.0, watched.period / 2)
        after = max(now, min(watched.came_due, now + hair) + hair)
        return next_look(after, watched.period, watched.phase)

    def _come_due(self, source: S) -> None:
        if self._tasks is None:
            return
        group = self._group(source)
        gate = self._gates.setdefault(group, _Gate())
        watched = self._watched[source]
        watched.entry = (self._share_of(watched, gate), source)
        gate.waiting.add(watched.entry)
        watched.looking = True
        watched.came_due = watched.due
        if gate.workers < self._concurrency:
            gate.workers += 1
            self._tasks.create_task(self._work(group, gate))

    def _share_of(self, watched: _Watched[S, K], gate: _Gate[S]) -> Hashable:
        """Return for which of its subscribers a source waits: the share with the fewest sources in the line.

        Any other choice would let a crowd that subscribes to a neighbour's source have it wait among its own.
        """
        shares = dict.fromkeys(map(self._share, watched.subscribers))
        return min(shares, key=gate.waiting.waiting)

    async def _work(self, group: Hashable, gate: _Gate[S]) -> None:
        try:
            while gate.waiting:
                _, source = gate.waiting.pop_first()
                await self._look(source)
        finally:
            gate.workers -= 1
            if not gate.workers:
                self._gates.pop(group, None)

    async def _look(self, source: S) -> None:
        watched = self._watched[source]
        self._looks += 1
        self._asked.add(source)
        watched.began = self._clock.now().timestamp()
        owed, watched.owed = watched.owed, 0
        try:
            fingerprint = await self._ask(source)
        except TransientError as error:
            watched.owed = max(watched.owed, owed)
            if self._watched.get(source) is watched:
                self._put_off(source, watched, error.retry_after or 0.0)
            return
        finally:
            watched.looking = False
            self._asked.discard(source)
            self._begin_anew(source, watched)
        if self._watched.get(source) is watched:
            news = self._remember(watched, fingerprint)
            watched.owed = max(watched.owed, int(owed > 1 and not news))
            self._schedule(source, watched)
            if news:
                self._tell(watched, None)

    def _begin_anew(self, source: S, watched: _Watched[S, K]) -> None:
        """Somebody may have come during a look after all others had left: it was begun too early for that one."""
        anew = self._watched.get(source)
        if anew is not None and anew is not watched:
            anew.looking = False
            self._schedule(source, anew)

    def _put_off(self, source: S, watched: _Watched[S, K], seconds: float) -> None:
        """Look when the server is to be asked again, not all at that very moment; afterwards in phase again."""
        wait = max(seconds * (1 + self._phase(source)), min(1.0, watched.period / 2))
        watched.due = self._clock.now().timestamp() + wait
        self._timer.set(source, self._clock.monotonic() + wait)

    @staticmethod
    def _remember(watched: _Watched[S, K], fingerprint: Hashable) -> bool:
        news = not watched.known or watched.fingerprint != fingerprint
        watched.known = True
        watched.fingerprint = fingerprint
        return news

    def _tell(self, watched: _Watched[S, K], by: K | None) -> None:
        self._changes += 1
        others = frozenset(watched.subscribers) - {by}
        if others:
            self._notify(others)
