"""One view over the informers of a kind, whether one watches the cluster or several a namespace each.

Invariant: read-only; an answer comes from the watch cache and never asks the API server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vso.core.keys import Kind, ObjectKey
from vso.core.records import Record
from vso.runtime.store import Store

ALL_NAMESPACES = ""


class ObjectCache:
    """The records of one kind, by key and by index."""

    def __init__(self, stores: Mapping[str, Store[ObjectKey, Record]]) -> None:
        self._stores = dict(stores)

    def watches(self, namespace: str) -> bool:
        """Tell whether objects of that namespace are seen at all."""
        return ALL_NAMESPACES in self._stores or namespace in self._stores

    def get(self, key: ObjectKey) -> Record | None:
        """Return the record last seen under the key."""
        store = self._stores.get(key.namespace) or self._stores.get(ALL_NAMESPACES)
        return None if store is None else store.get(key)

    def by_index(self, name: str, value: str) -> frozenset[ObjectKey]:
        """Return the keys of the records that the index files under the value."""
        return frozenset(key for store in self._stores.values() for key in store.by_index(name, value))

    def names(self, namespace: str) -> tuple[str, ...]:
        """Return the names in a namespace, sorted: candidates for a message."""
        return tuple(sorted(key.name for key in self if key.namespace == namespace))

    def __iter__(self) -> Iterator[ObjectKey]:
        for store in self._stores.values():
            yield from store.keys()

    def __len__(self) -> int:
        return sum(len(store) for store in self._stores.values())


@dataclass(frozen=True)
class Caches:
    """Everything that is watched."""

    kinds: Mapping[Kind, ObjectCache]
    secrets: ObjectCache | None
    """Owned Secrets, metadata only; None where the operator may not watch them."""

    def __getitem__(self, kind: Kind) -> ObjectCache:
        return self.kinds[kind]
