"""The newest version of each source, for as long as a node of Vault may not have it yet.

Invariant: a version is older only if its number and its time of creation both say so (one that was
deleted with its history and written anew counts from 1 again), and only within a minute of the newer
one's creation: after that what Vault answers is what it holds. No value is kept, only a digest.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from vso.core.clock import Clock
from vso.vault.engines import KvSecret

S = TypeVar("S", bound=Hashable)
F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class _Newest(Generic[F]):
    version: int
    created: datetime
    fingerprint: F
    until: float


class NewestVersions(Generic[S, F]):
    """What was seen of each source, while it is new."""

    def __init__(self, clock: Clock, *, kept_for: float = 60.0) -> None:
        self._clock = clock
        self._kept_for = kept_for
        self._seen: dict[S, _Newest[F]] = {}

    def newer(self, source: S, secret: KvSecret) -> F | None:
        """Return the fingerprint of a version that is newer than this one, if there was one lately."""
        seen = self._seen.get(source)
        if seen is None or seen.until <= self._clock.monotonic():
            return None
        version, created = _number(secret.version), _created(secret)
        if version is None or created is None:
            return None
        return seen.fingerprint if version < seen.version and created <= seen.created else None

    def note(self, source: S, secret: KvSecret, fingerprint: Callable[[KvSecret], F]) -> None:
        """Remember a version if it is new; only then is its fingerprint taken."""
        version, created = _number(secret.version), _created(secret)
        if version is None or created is None:
            return
        left = self._kept_for - abs((self._clock.now() - created).total_seconds())
        if left > 0:
            self._seen[source] = _Newest(version, created, fingerprint(secret), self._clock.monotonic() + left)

    def forget_old(self) -> None:
        """Forget what every node has by now."""
        now = self._clock.monotonic()
        for source in [source for source, seen in self._seen.items() if seen.until <= now]:
            del self._seen[source]

    def __len__(self) -> int:
        return len(self._seen)


def _number(version: str) -> int | None:
    return int(version) if version.isdigit() else None


def _created(secret: KvSecret) -> datetime | None:
    told = secret.metadata.get("created_time")
    try:
        found = datetime.fromisoformat(told) if isinstance(told, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
