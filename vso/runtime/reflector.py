"""The list-watch state machine.

Invariant: whoever is delivered to hears of every change in order. A stream that is dropped or
closed resumes where it stopped, without a list; only an expired version (410) leads to a list,
from which the receiver derives what was missed. Failures in a row are spaced by a back-off.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar, assert_never

from vso.core.backoff import Backoff
from vso.core.clock import Clock
from vso.core.errors import ExpiredError, Reason, TransientError, VsoError
from vso.runtime.events import Applied, Bookmark, Deleted, Delivery, Interrupted, Page, Relisted, WatchEvent
from vso.runtime.store import Keyed

R = TypeVar("R", bound=Keyed)
R_co = TypeVar("R_co", bound=Keyed, covariant=True)

STABLE_AFTER = 5.0
"""Seconds that a good stream lives at least; one closed sooner is a failure, or it would spin."""


class ListWatch(Protocol[R_co]):
    """Where the records come from."""

    def list(self) -> AsyncIterator[Page[R_co]]:
        """Yield all pages of the list."""
        ...

    def watch(self, resource_version: str) -> AsyncIterator[WatchEvent[R_co]]:
        """Yield what happens after that version, until the server closes the stream.

        Raises ExpiredError when the version is too old (410, as status or within the stream), and
        another VsoError when the stream fails.
        """
        ...


@dataclass(frozen=True, slots=True)
class NeedList:
    """Nothing is known, or what is known is too old to go on from."""


@dataclass(frozen=True, slots=True)
class Watching:
    """Everything up to this version has been delivered."""

    resource_version: str


State: TypeAlias = NeedList | Watching


def after_error(state: State, error: VsoError) -> State:
    """Return where to go on after a failure: only an expired version costs a list."""
    return NeedList() if isinstance(error, ExpiredError) else state


class Reflector(Generic[R]):
    """Lists once, then watches for ever, and delivers what it hears."""

    def __init__(
        self,
        source: ListWatch[R],
        deliver: Callable[[Delivery[R]], None],
        clock: Clock,
        rng: random.Random,
        backoff: Backoff,
    ) -> None:
        self._source = source
        self._deliver = deliver
        self._clock = clock
        self._rng = rng
        self._backoff = backoff
        self._failures = 0
        self.state: State = NeedList()

    async def run(self) -> None:
        """Step until cancelled."""
        while True:
            await self._clock.sleep(await self.step())

    async def step(self) -> float:
        """Do one list or one watch to its end; return the seconds to rest before the next."""
        try:
            match self.state:
                case NeedList():
                    await self._list()
                case Watching(resource_version):
                    await self._watch(resource_version)
                case _:
                    assert_never(self.state)
        except VsoError as error:
            self.state = after_error(self.state, error)
            self._deliver(Interrupted(error))
            return self._rest_after(error)
        return 0.0

    async def _list(self) -> None:
        records: list[R] = []
        resource_version = ""
        async for page in self._source.list():
            records.extend(page.records)
            resource_version = page.resource_version
        self._deliver(Relisted(tuple(records)))
        self.state = Watching(resource_version)

    async def _watch(self, resource_version: str) -> None:
        began = self._clock.monotonic()
        async for event in self._source.watch(resource_version):
            self._take(event)
        if self._clock.monotonic() - began < STABLE_AFTER:
            raise TransientError(Reason.KUBERNETES_UNAVAILABLE, "the server closed the watch at once")
        self._failures = 0

    def _take(self, event: WatchEvent[R]) -> None:
        self._deliver(event)
        self._failures = 0
        match event:
            case Applied(record) | Deleted(record):
                self.state = Watching(record.resource_version)
            case Bookmark(resource_version):
                self.state = Watching(resource_version)
            case _:
                assert_never(event)

    def _rest_after(self, error: VsoError) -> float:
        # A list that went well does not reset the count: list, 410, list, 410 must slow down too.
        self._failures += 1
        seconds = self._backoff.delay(self._failures, self._rng.random())
        asked = error.retry_after if isinstance(error, TransientError) else None
        return max(seconds, asked or 0.0)
