"""What is known of the watched objects: one writer, many readers.

Invariant: the indexes agree with the records after every call, each call is one synchronous step,
and a reader cannot change anything: the store it holds has no verb for it, the records are frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar, cast


class Keyed(Protocol):
    """What the runtime asks of a record: a hashable name and a version to compare."""

    @property
    def key(self) -> Hashable:
        """The object's name; a store's keys are all of one type."""
        ...

    @property
    def resource_version(self) -> str:
        """Differs whenever the object does; compared for equality alone."""
        ...


K = TypeVar("K", bound=Hashable)
R = TypeVar("R", bound=Keyed)

Indexers = Mapping[str, Callable[[R], Iterable[Hashable]]]


@dataclass(frozen=True, slots=True)
class Diff(Generic[R]):
    """What a relist changed; `changed` holds pairs of the old and the new record."""

    added: tuple[R, ...] = ()
    changed: tuple[tuple[R, R], ...] = ()
    deleted: tuple[R, ...] = ()


class Store(Generic[K, R]):
    """The reader's half: answers from memory, never waits."""

    def __init__(self, records: Mapping[K, R], indexes: Mapping[str, Mapping[Hashable, set[K]]]) -> None:
        self._records = records
        self._indexes = indexes

    def get(self, key: K) -> R | None:
        """Return the record last seen under the key."""
        return self._records.get(key)

    def keys(self) -> tuple[K, ...]:
        """Return the keys of this moment; a copy, so that an await may come between two of them."""
        return tuple(self._records)

    def values(self) -> tuple[R, ...]:
        """Return the records of this moment."""
        return tuple(self._records.values())

    def by_index(self, name: str, value: Hashable) -> frozenset[K]:
        """Return the keys of the records that the index files under the value."""
        return frozenset(self._indexes[name].get(value, ()))

    def __contains__(self, key: K) -> bool:
        return key in self._records

    def __len__(self) -> int:
        return len(self._records)

    def __bool__(self) -> bool:
        # An empty store is still a store: `found or fallback` must not pass over it.
        return True


class StoreWriter(Generic[K, R]):
    """The writer's half, held by one owner."""

    def __init__(self, indexers: Indexers[R] = MappingProxyType({})) -> None:
        self._indexers = dict(indexers)
        self._records: dict[K, R] = {}
        self._indexes: dict[str, dict[Hashable, set[K]]] = {name: {} for name in self._indexers}
        self.store: Store[K, R] = Store(self._records, self._indexes)

    def apply(self, record: R) -> R | None:
        """Put the record in the place of the one under its key; return the old one."""
        key = self.key(record)
        old = self._records.get(key)
        if old is not None:
            self._unfile(key, old)
        self._records[key] = record
        self._file(key, record)
        return old

    def delete(self, key: K) -> R | None:
        """Take out and return the record under the key, if there is one."""
        old = self._records.pop(key, None)
        if old is not None:
            self._unfile(key, old)
        return old

    def replace(self, records: Iterable[R]) -> Diff[R]:
        """Make the store hold exactly these records; return what that changed."""
        listed = {self.key(record): record for record in records}
        gone = [key for key in self._records if key not in listed]
        deleted = tuple(old for key in gone if (old := self.delete(key)) is not None)
        added: list[R] = []
        changed: list[tuple[R, R]] = []
        for key, record in listed.items():
            known = self._records.get(key)
            if known is not None and known.resource_version == record.resource_version:
                continue
            old = self.apply(record)
            if old is None:
                added.append(record)
            else:
                changed.append((old, record))
        return Diff(tuple(added), tuple(changed), deleted)

    def key(self, record: R) -> K:
        """Return the record's key, typed."""
        # Python cannot bound one type variable by another; K is the type of R's keys by convention.
        return cast("K", record.key)

    def _file(self, key: K, record: R) -> None:
        for name, values_of in self._indexers.items():
            for value in values_of(record):
                self._indexes[name].setdefault(value, set()).add(key)

    def _unfile(self, key: K, record: R) -> None:
        for name, values_of in self._indexers.items():
            index = self._indexes[name]
            for value in values_of(record):
                keys = index.get(value, set())
                keys.discard(key)
                if not keys:
                    index.pop(value, None)
