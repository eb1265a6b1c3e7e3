"""The composition root: builds every part and joins them; nothing else knows them all.

Invariant: no part finds another by itself. Informers, the client pool and the event recorder
outlive the controllers; controllers drain before their feeds are cancelled.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from operator import attrgetter
from typing import Any

from vso.api.meta import Status
from vso.api.secrets import VaultStaticSecretStatus
from vso.app import rbac
from vso.app.dynamic_wiring import DynamicParts, LeaseTimers, dynamic_secrets, lease_timers, token_shelf
from vso.app.feeds import FeedConfig, Feeds, make_feeds
from vso.app.gauges import Readings
from vso.app.metrics import Metrics
from vso.app.references import join_references
from vso.app.settings import Settings
from vso.app.waking import Waker
from vso.controllers.access import AuthReconciler, ConnectionReconciler
from vso.controllers.auth_global import AuthGlobalReconciler
from vso.controllers.cache import Caches
from vso.controllers.clients import ClientPool
from vso.controllers.credentials import Credentials
from vso.controllers.destinations import Destinations
from vso.controllers.dynamic_secret import DynamicSecretReconciler
from vso.controllers.finalizers import Finalizers
from vso.controllers.foreign import ForeignWriterTrigger
from vso.controllers.instant import InstantUpdates, ears_of
from vso.controllers.materials import FilePolicy, Materials
from vso.controllers.memory import Memories
from vso.controllers.passes import NamedPasses, PassParts
from vso.controllers.relations import AUTHENTICATED, Relations
from vso.controllers.report import Reporter, Voices
from vso.controllers.resolver import Resolver
from vso.controllers.restarts import Restarts
from vso.controllers.sources import Source, SourceReader
from vso.controllers.static_secret import Rooms, StaticSecretConfig, StaticSecretReconciler
from vso.controllers.status import StatusWriter
from vso.controllers.token_cipher import TransitCipher
from vso.controllers.token_shelf import TokenShelf
from vso.controllers.triggers import SecretTrigger, SelfTrigger
from vso.controllers.trust import TrustPolicy, TrustStore
from vso.controllers.unsupported import NEVER, NOT_YET, UnsupportedReconciler
from vso.core.clock import Clock
from vso.core.keys import Kind, ObjectKey
from vso.core.sensitive import Sensitive
from vso.decide.outcome import Policy
from vso.decide.schedule import phase
from vso.kube.client import KubeClient
from vso.kube.event_recorder import EventRecorder
from vso.kube.secrets import SecretWriter
from vso.kube.tokens import TokenMinter
from vso.runtime.controller import Controller, ControllerConfig
from vso.runtime.poller import Poller
from vso.runtime.rate_limiter import RateLimiter
from vso.runtime.reconcile import Reconciler
from vso.runtime.workqueue import Lane, WorkQueue
from vso.vault.client import VaultClient
from vso.vault.config import ConnectionConfig
from vso.vault.events import EventStreams, StreamConfig
from vso.vault.sessions import Sessions
from vso.vault.surroundings import Surroundings

USER_AGENT = "vso"


@dataclass(frozen=True)
class Base:
    """What the parts are built from."""

    settings: Settings
    clock: Clock
    rng: random.Random
    kube: KubeClient
    metrics: Metrics
    mac_key: Sensitive
    identity: str
    """Of this process, in the leader Lease and in events."""


@dataclass(frozen=True)
class Parts:
    """The operator, not yet running."""

    feeds: Feeds
    caches: Caches
    clients: ClientPool
    sessions: Sessions
    shelf: TokenShelf
    events: EventRecorder
    reader: SourceReader
    poller: Poller[Source, ObjectKey]
    streams: EventStreams[ObjectKey, Source]
    deadlines: LeaseTimers
    queues: Mapping[Kind, WorkQueue[ObjectKey]]
    controllers: tuple[Controller[ObjectKey], ...]
    memories: tuple[Memories[Any] | Restarts, ...]


class _Builder:
    """Builds the parts in the order in which they need each other."""

    def __init__(self, base: Base) -> None:
        self._base = base
        settings, clock, rng = base.settings, base.clock, base.rng
        self.full = settings.secrets_access == "full"
        feeds = FeedConfig(settings.watch_namespaces, self.full, settings.namespace, settings.is_mine)
        self.feeds = make_feeds(base.kube, clock, rng, feeds, base.metrics)
        self.caches: Caches = self.feeds.caches()
        self.relations = Relations(self.caches, settings.namespace)
        self.queues = {kind: self._queue(kind) for kind in Kind}
        self.restarts = Restarts(
            base.kube,
            window=settings.restart_window,
            is_shared=self.relations.is_shared,
            wake=lambda kind, key: self.queues[kind].add(key),
        )
        self.events = EventRecorder(
            base.kube, clock, rbac.NAME, instance=base.identity, on_refusal=base.metrics.events_refused
        )
        self.voices = Voices(self.events, base.metrics)
        self.memories: dict[Kind, Memories[Any]] = {kind: Memories() for kind in Kind}
        self.static_memories: Memories[VaultStaticSecretStatus] = self.memories[Kind.VAULT_STATIC_SECRET]
        self.reporters = {kind: self._reporter(kind) for kind in Kind}
        self.waker = Waker(self.queues, self.memories, self.relations, rng, lambda: self.reader, lambda: self.streams)
        self.clients = ClientPool(clock, self._vault_client, self.waker.breaker, self._on_replaced, self.waker.trial)
        materials = Materials(base.kube, FilePolicy(settings.namespace, settings.allowed_file_prefixes))
        ambient = bool(settings.allowed_file_prefixes)
        admits = settings.allows_vault_address if settings.vault_address_allow else None
        around = Surroundings(os.environ, settings.namespace, ambient, admits)
        credentials = Credentials(TokenMinter(base.kube), materials, around)
        cipher = TransitCipher(self.caches[Kind.VAULT_AUTH], lambda: self.resolver, settings.namespace)
        self.shelf = token_shelf(settings, clock, base.kube, base.mac_key, cipher)
        self.deadlines = lease_timers(clock, self.queues[Kind.VAULT_DYNAMIC_SECRET], base.metrics.timer_lost)
        bereaved = self.deadlines.bereaved
        self.sessions = Sessions(clock, credentials, base.metrics.vault, self.waker.logins, self.shelf, bereaved)
        self.resolver = self._resolver(materials)
        self.reader = SourceReader(clock, base.mac_key.reveal())
        self.poller: Poller[Source, ObjectKey] = Poller(
            clock,
            self.reader.look,
            self._on_source_changed,
            phase=lambda source: phase(str(source)),
            group=lambda source: source.session_key.connection_uid,
            share=attrgetter("namespace"),
        )
        ears = ears_of(self.poller, self.queues[Kind.VAULT_STATIC_SECRET], base.metrics.vault)
        config = StreamConfig(settings.backoff, settings.config_recheck_interval)
        self.streams = EventStreams(clock, rng, ears, config)

    def parts(self) -> Parts:
        """Return everything, joined."""
        self._join_triggers()
        reconcilers: dict[Kind, Reconciler[ObjectKey]] = {
            Kind.VAULT_CONNECTION: self._connections(),
            Kind.VAULT_AUTH: self._auths(),
            Kind.VAULT_AUTH_GLOBAL: self._auth_globals(),
            Kind.VAULT_STATIC_SECRET: self._statics(),
            Kind.VAULT_DYNAMIC_SECRET: self._dynamics(),
        }
        reconcilers.update({kind: UnsupportedReconciler(kind, self._pass_parts(kind)) for kind in NEVER | NOT_YET})
        controllers = tuple(self._controller(kind, reconciler) for kind, reconciler in reconcilers.items())
        self._base.metrics.watch(self._readings())
        return Parts(
            self.feeds,
            self.caches,
            self.clients,
            self.sessions,
            self.shelf,
            self.events,
            self.reader,
            self.poller,
            self.streams,
            self.deadlines,
            self.queues,
            controllers,
            (*self.memories.values(), self.restarts),
        )

    def _readings(self) -> Readings:
        return Readings(
            clock=self._base.clock,
            queues={kind.plural: queue.statistics for kind, queue in self.queues.items()},
            feeds=self.feeds.all(),
            poller=self.poller.statistics,
            sessions=self.sessions.statistics,
            events=self.events.statistics,
            streams=self.streams.statistics,
            leases=self.deadlines.statistics,
        )

    def _queue(self, kind: Kind) -> WorkQueue[ObjectKey]:
        base = self._base
        limiter: RateLimiter[ObjectKey] = RateLimiter(base.settings.backoff, base.rng)
        if kind not in AUTHENTICATED:
            return WorkQueue(base.clock, limiter, name=kind.plural, share=attrgetter("namespace"))
        # As many passes as a connection has sockets: a Vault that never answers cannot take every worker.
        group = partial(self.relations.vault_of, kind)
        return WorkQueue(base.clock, limiter, name=kind.plural, group=group, share=attrgetter("namespace"))

    def _resolver(self, materials: Materials) -> Resolver:
        base, settings = self._base, self._base.settings
        interval = settings.connection_check_interval
        policy = TrustPolicy(settings.forbid_insecure_tls, settings.allows_vault_address, interval)
        trust, lenient = TrustStore(materials, base.clock, policy), settings.allow_default_globals
        return Resolver(
            self.caches, trust, self.clients, self.sessions, settings.namespace, allow_default_globals=lenient
        )

    def _vault_client(self, config: ConnectionConfig) -> VaultClient:
        base = self._base
        # Shorter than a pass, so that a Vault that never answers ends in a condition and counts for the breaker.
        config = replace(config, timeout=min(config.timeout, 0.75 * base.settings.reconcile_timeout))
        return VaultClient(config, base.clock, base.rng, user_agent=USER_AGENT, observer=base.metrics.vault)

    def _on_replaced(self, client: VaultClient) -> None:
        self.sessions.adopt(client)
        self.waker.replaced(client.config.name)

    def _on_source_changed(self, keys: frozenset[ObjectKey]) -> None:
        for key in keys:
            notes = self.static_memories.find(key)
            if notes is not None:
                notes.source_changed = True
            self.queues[Kind.VAULT_STATIC_SECRET].add(key, Lane.REFRESH)

    def _join_triggers(self) -> None:
        join_references(self.feeds, self.queues, self.relations, AUTHENTICATED)
        for kind in Kind:
            for feed in self.feeds.of(kind):
                feed.add_handler(SelfTrigger(self.queues[kind], partial(attrgetter("synced"), feed)))
                feed.add_handler(self._foreign_writer(kind))
                feed.add_handler(self.memories[kind].seen)
        for kind in AUTHENTICATED:
            owner, find = partial(self.relations.by_uid, kind), self.memories[kind].find
            for feed in self.feeds.secrets.values():
                feed.add_handler(SecretTrigger(self.queues[kind], owner, find))

    def _connections(self) -> ConnectionReconciler:
        parts = self._pass_parts(Kind.VAULT_CONNECTION)
        interval = self._base.settings.connection_check_interval
        return ConnectionReconciler(parts, self.resolver, self.clients, check_interval=interval)

    def _auths(self) -> AuthReconciler:
        parts = self._pass_parts(Kind.VAULT_AUTH)
        return AuthReconciler(parts, self.resolver, self.sessions, self.relations.consumers)

    def _auth_globals(self) -> AuthGlobalReconciler:
        parts = replace(self._pass_parts(Kind.VAULT_AUTH_GLOBAL), finalizers=None)
        return AuthGlobalReconciler(parts, self.relations.referrers)

    def _statics(self) -> StaticSecretReconciler:
        rooms = Rooms(
            resolver=self.resolver,
            reader=self.reader,
            poller=self.poller,
            instant=InstantUpdates(self.streams),
            destinations=self._destinations(Kind.VAULT_STATIC_SECRET),
            restarts=self.restarts,
        )
        config = StaticSecretConfig(self._base.mac_key, self._base.settings.exclude_raw)
        return StaticSecretReconciler(self._pass_parts(Kind.VAULT_STATIC_SECRET), rooms, config)

    def _dynamics(self) -> DynamicSecretReconciler:
        base, kind = self._base, Kind.VAULT_DYNAMIC_SECRET
        passes = replace(self._pass_parts(kind), finalizers=None)  # it goes when nothing is left to give back
        parts = DynamicParts(
            base.settings,
            base.clock,
            base.kube,
            base.metrics,
            base.mac_key,
            self._destinations(kind),
            self.resolver,
            passes,
            self.deadlines.times,
            self.restarts,
        )
        return dynamic_secrets(parts)

    def _destinations(self, kind: Kind) -> Destinations:
        writer = SecretWriter(self._base.kube, delete_allowed=self.full, owner_of=self.relations.owner_of)
        interval = self._base.settings.drift_interval
        return Destinations(kind, writer, self.caches.secrets, may_delete=self.full, drift_interval=interval)

    def _pass_parts(self, kind: Kind) -> PassParts[Any]:
        return PassParts(
            self.caches[kind],
            self.memories[kind],
            self.reporters[kind],
            self._base.clock,
            Finalizers(self._base.kube, kind),
        )

    def _foreign_writer(self, kind: Kind) -> ForeignWriterTrigger[Status]:
        report = self.reporters[kind].overwritten
        return ForeignWriterTrigger(self.queues[kind], self.memories[kind], self._base.clock, report)

    def _reporter(self, kind: Kind) -> Reporter[Any]:
        settings = self._base.settings
        policy = Policy(settings.backoff, timedelta(seconds=settings.config_recheck_interval))
        return Reporter(kind, StatusWriter(self._base.kube, kind), self.voices, policy)

    def _controller(self, kind: Kind, reconciler: Reconciler[ObjectKey]) -> Controller[ObjectKey]:
        settings = self._base.settings
        is_secret = kind in AUTHENTICATED
        config = ControllerConfig(
            workers=settings.max_concurrent_reconciles if is_secret else 4,
            pass_timeout=settings.reconcile_timeout,
            config_recheck=settings.config_recheck_interval,
        )
        named = NamedPasses(kind, reconciler, self._base.rng)
        return Controller(kind.plural, self.queues[kind], named, self._base.clock, config, self._base.metrics)


def build(base: Base) -> Parts:
    """Return the operator's parts, joined and at rest."""
    return _Builder(base).parts()
