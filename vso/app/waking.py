"""The part of the composition root that wakes what has failed when its cause is gone.

Invariant: a Vault or a login that works again wakes exactly those whose last pass failed on it, at a bounded
rate and those with a lease first; nothing that was read before is told to them from memory.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vso.controllers.memory import Memories
from vso.controllers.relations import AUTHENTICATED, Relations
from vso.controllers.sources import Source, SourceReader
from vso.core.keys import Kind, ObjectKey
from vso.runtime.workqueue import Lane, WorkQueue
from vso.vault.events import EventStreams
from vso.vault.standing import LoginNews

_RAMP_PER_SECOND = 400.0
"""How fast secrets are looked at again when a Vault is back."""
_TESTERS = 3
"""How many secrets are woken to show whether a Vault that says so is back."""


@dataclass(frozen=True)
class Waker:
    """Hears how Vaults and logins fare."""

    queues: Mapping[Kind, WorkQueue[ObjectKey]]
    memories: Mapping[Kind, Memories[Any]]
    relations: Relations
    rng: random.Random
    reader: Callable[[], SourceReader]
    streams: Callable[[], EventStreams[ObjectKey, Source]]

    def breaker(self, connection: str, is_open: bool) -> None:
        """The breaker of a connection has opened or closed."""
        self.queues[Kind.VAULT_CONNECTION].add(ObjectKey.of(connection))
        if not is_open:
            self.replaced(connection)

    def trial(self, connection: str) -> None:
        """Wake as many as may pass, each time others: one path that fails by itself is not to speak for all."""
        self.reader().forget_failures(connection=connection)
        failing = self._failing_on(connection)
        for kind, key in self.rng.sample(failing, min(_TESTERS, len(failing))):
            self.queues[kind].add(key)

    def replaced(self, connection: str) -> None:
        """The connection is another now, or its Vault is back."""
        self.streams().wake(connection)
        self.reader().forget_failures(connection=connection)
        self._ramp(self._failing_on(connection))

    def logins(self, news: LoginNews) -> None:
        """The logins of an identity have come to something else than before."""
        if news.told_in is not None:
            self.queues[Kind.VAULT_AUTH].add_after(ObjectKey.of(news.auth), news.told_in)
        if news.works_again or news.try_again:
            self.reader().forget_failures(auth=news.auth)
        if news.works_again:
            self._ramp(self._failing_by(news))
        if news.try_again:
            failing = list(self._failing_by(news))
            for kind, key in self.rng.sample(failing, min(1, len(failing))):
                self.queues[kind].add(key, Lane.REFRESH)

    def _ramp(self, woken: Iterable[tuple[Kind, ObjectKey]]) -> None:
        for number, (kind, key) in enumerate(woken):
            self.queues[kind].add_after(key, number / _RAMP_PER_SECOND)

    def _failing_on(self, connection: str) -> list[tuple[Kind, ObjectKey]]:
        # Those with a lease first: they have an end.
        return [(kind, key) for kind in reversed(AUTHENTICATED) for key in self.memories[kind].failing_on(connection)]

    def _failing_by(self, news: LoginNews) -> Iterable[tuple[Kind, ObjectKey]]:
        for kind in reversed(AUTHENTICATED):
            for key in self.relations.by_auth(kind, news.auth):
                notes = self.memories[kind].find(key)
                if notes is not None and notes.failing_on and news.consumer in ("", key.namespace):
                    yield kind, key
