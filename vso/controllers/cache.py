"""One view over the informers of a kind, whether one watches the cluster or several a namespace each.

Invariant: read-only; an answer comes from the watch cache and never asks the API server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from vso.api.fields import Strings
from vso.api.meta import ApiModel, Resource
from vso.api.scheme import parse_as
from vso.core.errors import ConfigError, Reason
from vso.core.keys import Kind, ObjectKey
from vso.core.records import Record
from vso.decide.references import missing_reference
from vso.runtime.store import Store

ALL_NAMESPACES = ""
M = TypeVar("M", bound=Resource)


class ObjectCache:
    """The records of one kind, by key and by index."""

    def __init__(self, stores: Mapping[str, Store[ObjectKey, Record]]) -> None:
        self._stores = dict(stores)

    def watches(self, namespace: str) -> bool:
        """Tell whether objects of that namespace are seen at all."""
        return ALL_NAMESPACES in self._stores or namespace in self._stores

    def get(self, key: ObjectKey) -> Record | None:
        """Return the record last seen under the key; what is left to another operator is not there."""
        record = self._seen(key)
        return None if record is None or record.foreign else record

    def is_foreign(self, key: ObjectKey) -> bool:
        """Tell whether there is such an object, which is left to another operator."""
        record = self._seen(key)
        return record is not None and record.foreign

    def _seen(self, key: ObjectKey) -> Record | None:
        store = self._stores.get(key.namespace) or self._stores.get(ALL_NAMESPACES)
        return None if store is None else store.get(key)

    def by_index(self, name: str, value: str) -> frozenset[ObjectKey]:
        """Return the keys of the records that the index files under the value."""
        return frozenset(key for store in self._stores.values() for key in store.by_index(name, value))

    def names(self, namespace: str) -> tuple[str, ...]:
        """Return the names in a namespace, sorted: candidates for a message."""
        return tuple(sorted(key.name for key in self if key.namespace == namespace and self.get(key) is not None))

    def __iter__(self) -> Iterator[ObjectKey]:
        for store in self._stores.values():
            yield from store.keys()

    def __len__(self) -> int:
        return sum(len(store) for store in self._stores.values())


class Terms(ApiModel):
    """Whom an object of whatever kind admits, where perhaps nothing else of it can be understood."""

    allowed_namespaces: Strings | None = None
    client_cert_secret_ref: Any = None
    client_cert_path: Any = None


class _Bare(Resource):
    spec: Terms = Terms()


Admits = Callable[[Terms, str], ConfigError | None]
"""Tells why an object with such terms is not for a namespace; None where it is."""


class Parsed(Generic[M]):
    """The objects of one kind as models, parsed once for each version that is asked for.

    For the few objects that many passes refer to; whoever is looked at once per change parses for itself.
    """

    def __init__(self, cache: ObjectCache, model: type[M], *, limit: int = 1000) -> None:
        self._cache = cache
        self._model = model
        self._limit = limit
        self._kept: dict[ObjectKey, tuple[Record, M]] = {}

    def told(self, key: ObjectKey, refusal: Admits, referrer: str, reader: str) -> M | None:
        """Return the object, as `get` does; what is wrong with it is told to those alone whom it admits.

        The namespace that refers to it is to be admitted, and so is the one where that is read, which may be another.
        """
        try:
            return self.get(key)
        except ConfigError as error:
            terms = self._terms(key)
            told = refusal(terms, referrer) or error
            if told is error and refusal(terms, reader) is not None:
                named = f"{self._model.__name__} {key}"
                told = ConfigError(error.reason, f"{named} cannot be understood; its own status says why")
        raise told

    def _terms(self, key: ObjectKey) -> Terms:
        record = self._cache.get(key)
        try:
            return Terms() if record is None else parse_as(_Bare, record.body).spec
        except ConfigError:
            return Terms(allowed_namespaces=())  # a list that cannot be read admits nobody

    def get(self, key: ObjectKey) -> M | None:
        """Return the object last seen under the key; a ConfigError says of which object it speaks."""
        record, kept = self._cache.get(key), self._kept.get(key)
        if kept is not None and kept[0] is record:
            return kept[1]
        self._kept.pop(key, None)
        if record is None:
            return None
        if len(self._kept) >= self._limit:
            del self._kept[next(iter(self._kept))]
        try:
            found = parse_as(self._model, record.body)
        except ConfigError as error:
            # The field that it names is not one of the object that refers to this one.
            named = ConfigError(error.reason, f"{self._model.__name__} {key}: {error.message}")
        else:
            self._kept[key] = (record, found)
            return found
        raise named


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an object is named."""

    key: ObjectKey
    """Of the object that is named."""
    referrer: str
    field: str
    namespaces: frozenset[str]
    """Of the referrer, and of who reads what is told."""

    @property
    def stays_at_home(self) -> bool:
        """Tell whether all are in one namespace: kustomize renames no other reference, and no name there is news."""
        return self.namespaces == {self.key.namespace}


@dataclass(frozen=True)
class Caches:
    """Everything that is watched."""

    kinds: Mapping[Kind, ObjectCache]
    secrets: ObjectCache | None
    """Owned Secrets, metadata only; None where the operator may not watch them."""

    def __getitem__(self, kind: Kind) -> ObjectCache:
        return self.kinds[kind]

    def missing(self, kind: Kind, reference: Reference) -> ConfigError:
        """Return the error for an object that is not seen; the message says whether it could be.

        Of another namespace it tells nothing: no name of what is there, and not what labels that has.
        """
        cache, key = self[kind], reference.key
        named = f"{reference.field} of {reference.referrer} names {kind} {key}"
        if not cache.watches(key.namespace):
            told = f"{named}, in a namespace that this operator does not watch"
        elif not reference.stays_at_home:
            told = f"{named}, which does not exist, or its labels leave it to another operator"
        elif cache.is_foreign(key):
            told = f"{named}, whose labels leave it to another operator (--operator-class, --watch-label-selector)"
        else:
            return missing_reference(kind, key, reference.field, cache.names(key.namespace))
        return ConfigError(Reason.REFERENCE_NOT_FOUND, told)
