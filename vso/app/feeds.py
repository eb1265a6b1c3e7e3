"""The informers: one for each kind and watched namespace, and one for the metadata of owned Secrets.

Invariant: what is watched is decided here and nowhere else; a namespaced install makes no request
outside its namespaces.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from vso.controllers.cache import ALL_NAMESPACES, Caches, ObjectCache
from vso.controllers.triggers import (
    BY_AUTH,
    BY_CONNECTION,
    BY_GLOBAL,
    BY_SPELLING,
    BY_TARGET,
    BY_UID,
    global_index,
    reference_index,
    spelling_index,
    target_index,
    uid_index,
)
from vso.core.clock import Clock
from vso.core.keys import Kind, ObjectKey
from vso.core.label_selector import Selector
from vso.core.records import Record
from vso.kube.client import KubeClient
from vso.kube.json import JsonObject
from vso.kube.labels import OWNED_SELECTOR
from vso.kube.list_watch import ResourceListWatch, decode_record, decode_secret_metadata
from vso.kube.paths import cr_path, secret_path
from vso.runtime.informer import Informer, InformerObserver

Feed = Informer[ObjectKey, Record]
Index = Callable[[Record], Iterable[str]]


@dataclass(frozen=True)
class Feeds:
    """Every informer, by what it feeds."""

    kinds: Mapping[Kind, Mapping[str, Feed]]
    secrets: Mapping[str, Feed]
    """Empty in write-only mode."""

    def all(self) -> tuple[Feed, ...]:
        """Return every informer."""
        return (*(feed for feeds in self.kinds.values() for feed in feeds.values()), *self.secrets.values())

    def of(self, kind: Kind) -> tuple[Feed, ...]:
        """Return the informers of a kind."""
        return tuple(self.kinds[kind].values())

    def caches(self) -> Caches:
        """Return the read-only view that controllers get."""
        kinds = {kind: _cache(feeds) for kind, feeds in self.kinds.items()}
        return Caches(kinds, _cache(self.secrets) if self.secrets else None)


@dataclass(frozen=True)
class FeedConfig:
    """What to watch."""

    namespaces: tuple[str, ...]
    """Empty: the whole cluster."""
    watch_secrets: bool
    operator_namespace: str
    mine: Selector | None = None
    """Which objects are this operator's, by their labels; all others are seen and left alone."""


def indexes(operator_namespace: str) -> dict[Kind, dict[str, Index]]:
    """Return by what the objects of each kind can be found."""
    made: dict[Kind, dict[str, Index]] = {kind: {BY_UID: uid_index} for kind in Kind}
    for kind in (Kind.VAULT_STATIC_SECRET, Kind.VAULT_DYNAMIC_SECRET):
        made[kind][BY_AUTH] = reference_index(operator_namespace)
        made[kind][BY_TARGET] = target_index
    made[Kind.VAULT_AUTH][BY_CONNECTION] = reference_index(operator_namespace)
    made[Kind.VAULT_AUTH][BY_GLOBAL] = global_index(operator_namespace)
    made[Kind.VAULT_AUTH_GLOBAL][BY_SPELLING] = spelling_index
    return made


def make_feeds(
    client: KubeClient, clock: Clock, rng: random.Random, config: FeedConfig, observer: InformerObserver
) -> Feeds:
    """Return the informers; none of them has begun."""
    namespaces = config.namespaces or (ALL_NAMESPACES,)
    indexers = indexes(config.operator_namespace)

    ours = partial(decode_record, mine=config.mine)

    def feed(label: str, path: str, decode: Callable[[JsonObject], Record], selector: str, kind: Kind | None) -> Feed:
        source = ResourceListWatch(client, path, decode, label_selector=selector, metadata_only=kind is None)
        return Informer(label, source, clock, rng, indexers=indexers.get(kind, {}) if kind else {}, observer=observer)

    kinds = {
        kind: {ns: feed(_label(kind.plural, ns), cr_path(kind, ns), ours, "", kind) for ns in namespaces}
        for kind in Kind
    }
    secrets = {
        ns: feed(_label("secrets", ns), secret_path(ns), decode_secret_metadata, OWNED_SELECTOR, None)
        for ns in (namespaces if config.watch_secrets else ())
    }
    return Feeds(kinds, secrets)


def _label(resource: str, namespace: str) -> str:
    return f"{resource}/{namespace}" if namespace else resource


def _cache(feeds: Mapping[str, Feed]) -> ObjectCache:
    return ObjectCache({namespace: feed.store for namespace, feed in feeds.items()})
