"""A reflector with a memory: keeps a store in step with the server and tells handlers what changed.

Invariant: handlers see every change once, after the store has it, as (old, new); what vanished
during a gap reaches them as a deletion that the relist's diff synthesises. Handlers are
synchronous; `synced` turns true only after they have seen the whole first list.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Hashable
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar, assert_never

from vso.core.backoff import Backoff
from vso.core.clock import Clock
from vso.core.errors import VsoError
from vso.runtime.events import Applied, Bookmark, Deleted, Delivery, Interrupted, Relisted
from vso.runtime.reflector import ListWatch, Reflector
from vso.runtime.store import Indexers, Keyed, Store, StoreWriter

K = TypeVar("K", bound=Hashable)
R = TypeVar("R", bound=Keyed)

RECONNECT = Backoff(initial=0.8, maximum=30.0, multiplier=2.0, randomization=0.5)


class InformerObserver(Protocol):
    """Who wants to know how the feeding goes."""

    def relisted(self, informer: str, objects: int, changes: int) -> None:
        """A list was taken over; `changes` of its objects were news."""
        ...

    def interrupted(self, informer: str, error: VsoError) -> None:
        """A list or a watch ended badly; it is tried again."""
        ...


class Informer(Generic[K, R]):
    """The one owner of a store's writer."""

    def __init__(
        self,
        name: str,
        source: ListWatch[R],
        clock: Clock,
        rng: random.Random,
        *,
        indexers: Indexers[R] = MappingProxyType({}),
        backoff: Backoff = RECONNECT,
        observer: InformerObserver | None = None,
    ) -> None:
        self.name = name
        self.last_error: VsoError | None = None
        self._clock = clock
        self._observer = observer
        self._writer: StoreWriter[K, R] = StoreWriter(indexers)
        self._reflector = Reflector(source, self._take, clock, rng, backoff)
        self._handlers: list[Callable[[R | None, R | None], None]] = []
        self._synced = asyncio.Event()
        self._last_contact = clock.monotonic()

    @property
    def store(self) -> Store[K, R]:
        """The records, read-only."""
        return self._writer.store

    @property
    def synced(self) -> bool:
        """Whether the first list has been taken over and told."""
        return self._synced.is_set()

    def last_contact(self) -> float:
        """Return when the server last said something, on the monotonic clock."""
        return self._last_contact

    def add_handler(self, handler: Callable[[R | None, R | None], None]) -> None:
        """Call the handler with (old, new) on every change; None stands for not there."""
        self._handlers.append(handler)

    async def run(self) -> None:
        """Feed the store until cancelled."""
        await self._reflector.run()

    async def wait_synced(self, timeout: float) -> None:
        """Wait for the first list; raises TimeoutError that names the informer and its last error."""
        if not await self._clock.wait(self._synced, timeout):
            cause = f": {self.last_error}" if self.last_error else ""
            raise TimeoutError(f"{self.name} was not listed within {timeout:g} s{cause}")

    def _take(self, delivery: Delivery[R]) -> None:
        if isinstance(delivery, Interrupted):
            self._interrupted(delivery.error)
            return
        self._last_contact = self._clock.monotonic()
        self.last_error = None
        match delivery:
            case Relisted(records):
                self._replace(records)
            case Applied(record):
                self._tell(self._writer.apply(record), record)
            case Deleted(record):
                self._delete(record)
            case Bookmark():
                pass
            case _:
                assert_never(delivery)

    def _interrupted(self, error: VsoError) -> None:
        self.last_error = error
        if self._observer is not None:
            self._observer.interrupted(self.name, error)

    def _replace(self, records: tuple[R, ...]) -> None:
        diff = self._writer.replace(records)
        # Deletions first: what was deleted and made anew elsewhere is then never seen twice.
        for old in diff.deleted:
            self._tell(old, None)
        for old, new in diff.changed:
            self._tell(old, new)
        for new in diff.added:
            self._tell(None, new)
        self._synced.set()
        if self._observer is not None:
            changes = len(diff.deleted) + len(diff.changed) + len(diff.added)
            self._observer.relisted(self.name, len(records), changes)

    def _delete(self, record: R) -> None:
        # The record of the deletion is keyed like the object; its last look is the one in the store.
        key: K = self._writer.key(record)
        old = self._writer.delete(key)
        if old is not None:
            self._tell(old, None)

    def _tell(self, old: R | None, new: R | None) -> None:
        for handler in self._handlers:
            handler(old, new)
