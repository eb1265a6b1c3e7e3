"""Vault's event notifications: one websocket for all who share a session and a Vault namespace.

Who follows places hears of each change there; what changed while nobody listened, be it that the
operator was down, is looked for whenever a stream is opened or a place joins it. Invariant: one task
per stream, in one task group, as long as somebody follows it; no attempt while the connection's
breaker is open; a message is read for the place that it names and never passed on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from vso.core.backoff import Backoff
from vso.core.clock import Clock
from vso.core.errors import ConfigError, Reason, VsoError
from vso.decide.instant import Course, Standing, change_of, down, plain_namespace
from vso.vault.config import SessionKey
from vso.vault.errors import BreakerOpenError, HeldError, NothingThereError, PermissionDeniedError
from vso.vault.json import NotJsonError, parse
from vso.vault.session import Session
from vso.vault.subscription import Subscription

K = TypeVar("K", bound=Hashable)
P = TypeVar("P", bound=Hashable)

PATH = "sys/events/subscribe/kv*"
QUERY = (("json", "true"),)
_CHECK_EVERY = 5.0
"""Seconds between looks at the open streams: whether their tokens are still those of their sessions."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a stream is opened with; equal lines share one."""

    session_key: SessionKey
    namespace: str
    session: Session = field(compare=False, repr=False)

    @classmethod
    def of(cls, session: Session, namespace: str) -> Line:
        """Return the line of a session in a Vault namespace, however its slashes are written."""
        return cls(session.key, plain_namespace(namespace), session)


class StreamObserver(Protocol):
    """Receives one call per change of a stream's standing; must return at once and never raise."""

    def stream(self, connection: str, *, up: bool, reason: Reason) -> None:
        """It stands differently with a stream of that connection."""
        ...

    def stream_bug(self, connection: str, error: Exception) -> None:
        """A stream of that connection raised what no stream should raise; it is opened again."""
        ...


@dataclass(frozen=True)
class StreamConfig:
    """How streams are opened again."""

    backoff: Backoff = field(default_factory=Backoff)
    recheck: float = 300.0
    """Seconds between tries where Vault has refused, or while its breaker is open and nobody says that it closed."""


@dataclass(frozen=True)
class Ears(Generic[K, P]):
    """Who is told what."""

    changed: Callable[[P], None]
    """Vault says that something was written at the place."""
    missed: Callable[[P], None]
    """A stream was opened: what was written at the place before, nobody has heard."""
    standing: Callable[[frozenset[K]], None]
    """It stands differently with the stream of these followers."""
    observer: StreamObserver


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """A snapshot for tests and metrics; `received` and `matched` count since the start."""

    streams: int
    up: int
    received: int
    matched: int


@dataclass(slots=True)
class _Counts:
    received: int = 0
    matched: int = 0


class _Stream(Generic[K, P]):
    """One websocket, its followers, and how it fares."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.followers: dict[K, frozenset[tuple[str, P]]] = {}
        self.by_path: dict[str, dict[P, int]] = {}
        self.course = Course()
        self.subscription: Subscription | None = None
        self.woken = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._limit: asyncio.Timeout | None = None

    def join(self, key: K, places: frozenset[tuple[str, P]]) -> None:
        """The key follows these places, in place of those before."""
        self.leave(key)
        self.followers[key] = places
        for path, place in places:
            there = self.by_path.setdefault(path, {})
            there[place] = there.get(place, 0) + 1

    def leave(self, key: K) -> None:
        """The key follows nothing here."""
        for path, place in self.followers.pop(key, frozenset()):
            there = self.by_path[path]
            there[place] -= 1
            if not there[place]:
                del there[place]
                if not there:
                    del self.by_path[path]

    def places(self) -> frozenset[P]:
        """Return everything that is followed."""
        return frozenset(place for there in self.by_path.values() for place in there)

    def at(self, paths: Iterable[str]) -> frozenset[P]:
        """Return what is followed at these paths."""
        return frozenset(place for path in paths for place in self.by_path.get(path, ()))

    async def receive(self, subscription: Subscription) -> bytes | None:
        """Return the next message; None when the token has to be looked at again."""
        try:
            async with asyncio.timeout(None) as self._limit:
                return await subscription.channel.receive()
        except TimeoutError:
            return None
        finally:
            self._limit = None

    def interrupt(self) -> None:
        """End the wait for a message."""
        limit, self._limit = self._limit, None
        if limit is not None:
            limit.reschedule(asyncio.get_running_loop().time())


class EventStreams(Generic[K, P]):
    """Every stream of the process."""

    def __init__(self, clock: Clock, rng: random.Random, ears: Ears[K, P], config: StreamConfig | None = None) -> None:
        self._clock = clock
        self._rng = rng
        self._ears = ears
        self._config = config or StreamConfig()
        self._streams: dict[Line, _Stream[K, P]] = {}
        self._lines: dict[K, Line] = {}
        self._counts = _Counts()
        self._tasks: asyncio.TaskGroup | None = None

    def follow(self, key: K, line: Line, places: Mapping[P, str]) -> None:
        """The key wants to hear of these places, each at its path; takes the place of what it wanted before."""
        wanted = frozenset((path, place) for place, path in places.items())
        if self._lines.get(key) != line:
            self.unfollow(key)
        stream = self._streams.get(line) or self._begin(line)
        if stream.followers.get(key) == wanted:
            return
        before = stream.places()
        self._lines[key] = line
        stream.join(key, wanted)
        if stream.subscription is not None:
            for place in places.keys() - before:
                self._ears.missed(place)

    def unfollow(self, key: K) -> None:
        """The key wants to hear of nothing; a stream without followers is closed."""
        line = self._lines.pop(key, None)
        if line is None:
            return
        stream = self._streams[line]
        stream.leave(key)
        if not stream.followers:
            del self._streams[line]
            if stream.task is not None:
                stream.task.cancel()

    def follows(self, key: K) -> bool:
        """Tell whether the key wants to hear of anything."""
        return key in self._lines

    def standing(self, key: K) -> Standing | None:
        """Return how it stands with the key's stream; None where there is none, or nothing is known yet."""
        line = self._lines.get(key)
        return None if line is None else self._streams[line].course.standing

    def wake(self, connection: str) -> None:
        """The connection is in order, or another than it was: try at once."""
        for stream in self._streams.values():
            if stream.line.session.connection_name == connection:
                stream.woken.set()

    def statistics(self) -> StreamStatistics:
        """Return what is going on."""
        up = sum(stream.subscription is not None for stream in self._streams.values())
        return StreamStatistics(len(self._streams), up, self._counts.received, self._counts.matched)

    async def run(self) -> None:
        """Keep the streams open until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                for stream in self._streams.values():
                    self._start(stream)
                await self._mind()
        finally:
            self._tasks = None

    def _begin(self, line: Line) -> _Stream[K, P]:
        stream: _Stream[K, P] = _Stream(line)
        self._streams[line] = stream
        self._start(stream)
        return stream

    def _start(self, stream: _Stream[K, P]) -> None:
        if self._tasks is not None:
            stream.task = self._tasks.create_task(self._keep(stream), name="vault-events")

    async def _mind(self) -> None:
        """Look after the open streams from time to time."""
        while True:
            await self._clock.sleep(_CHECK_EVERY)
            now = self._clock.monotonic()
            for stream in [stream for stream in self._streams.values() if stream.subscription is not None]:
                self._stands(stream, stream.course.settled(now))
                if stream.subscription is not None and not stream.subscription.current:
                    stream.interrupt()

    async def _keep(self, stream: _Stream[K, P]) -> None:
        """Open the stream again and again; ended by being cancelled."""
        while True:
            wait = await self._attempt(stream)
            if wait > 0:
                await self._clock.wait(stream.woken, wait)
            stream.woken.clear()

    async def _attempt(self, stream: _Stream[K, P]) -> float:
        """Listen as long as it goes; return the seconds until the next try."""
        course = stream.course
        try:
            async with stream.line.session.subscribe(PATH, namespace=stream.line.namespace, query=QUERY) as opened:
                self._opened(stream, opened)
                await self._listen(stream, opened)
            course = stream.course.renewed(self._clock.monotonic())
        except BreakerOpenError:
            return self._config.recheck
        except HeldError as error:
            return max(1.0, error.retry_after or 0.0)
        except ConfigError as error:
            self._stands(stream, stream.course.refused(_refusal(error)))
            return self._config.recheck
        except VsoError as error:
            course = self._failed(stream, error)
        except Exception as bug:  # noqa: BLE001  what one message trips must not end the streams of all others
            self._ears.observer.stream_bug(stream.line.session.connection_name, bug)
            course = self._failed(stream, VsoError(Reason.INTERNAL_ERROR, f"a stream ended in a {type(bug).__name__}"))
        finally:
            stream.subscription = None
        self._stands(stream, course)
        return course.pause(self._config.backoff, self._rng.random())

    def _failed(self, stream: _Stream[K, P], error: VsoError) -> Course:
        return stream.course.failed(down(error.reason, error.message), self._clock.monotonic())

    def _opened(self, stream: _Stream[K, P], subscription: Subscription) -> None:
        stream.subscription = subscription
        self._stands(stream, stream.course.opened(self._clock.monotonic()))
        for place in stream.places():
            self._ears.missed(place)

    async def _listen(self, stream: _Stream[K, P], subscription: Subscription) -> None:
        """Hear messages until the token is another; raises the VsoError that ends the stream."""
        while subscription.current:
            message = await stream.receive(subscription)
            if message is not None:
                self._hear(stream, message)

    def _hear(self, stream: _Stream[K, P], message: bytes) -> None:
        self._counts.received += 1
        try:
            change = change_of(parse(message))
        except NotJsonError:
            return
        if change is None or change.namespace != stream.line.namespace:
            return
        found = stream.at(change.paths)
        self._counts.matched += bool(found)
        for place in found:
            self._ears.changed(place)

    def _stands(self, stream: _Stream[K, P], course: Course) -> None:
        before, stream.course = stream.course, course
        if course.standing is None or course.standing == before.standing:
            return
        self._ears.observer.stream(
            stream.line.session.connection_name, up=course.standing.up, reason=course.standing.reason
        )
        self._ears.standing(frozenset(stream.followers))


def _refusal(error: ConfigError) -> Standing:
    """Name a refusal; what Vault answers on a path that it does not have is a matter of its edition."""
    match error:
        case PermissionDeniedError():
            return down(Reason.EVENTS_FORBIDDEN, error.message)
        case NothingThereError() | ConfigError(reason=Reason.VAULT_REQUEST_INVALID):
            return down(Reason.EVENTS_UNSUPPORTED, error.message)
        case _:
            return down(error.reason, error.message)
