"""The part of the composition root that dynamic secrets need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from vso.api.secrets import VaultDynamicSecretStatus
from vso.app.metrics import Metrics
from vso.app.settings import Settings
from vso.controllers.destinations import Destinations
from vso.controllers.dynamic_acts import DynamicConfig, LeaseActs
from vso.controllers.dynamic_secret import DynamicRooms, DynamicSecretReconciler
from vso.controllers.finalizers import Finalizers
from vso.controllers.lease_times import LeaseStatistics, LeaseTimes
from vso.controllers.leases import LeaseDesk
from vso.controllers.leaving import Leaving
from vso.controllers.passes import PassParts
from vso.controllers.resolver import Resolver
from vso.controllers.restarts import Restarts
from vso.controllers.retired import Retired
from vso.controllers.static_creds import StaticCreds
from vso.controllers.token_cipher import TransitCipher
from vso.controllers.token_shelf import ShelfConfig, TokenShelf
from vso.core.clock import Clock
from vso.core.keys import Kind, ObjectKey
from vso.core.sensitive import Sensitive
from vso.kube.client import KubeClient
from vso.runtime.lease_scheduler import LeaseScheduler
from vso.runtime.watchdog import Watchdog
from vso.runtime.workqueue import Lane, WorkQueue

KIND = Kind.VAULT_DYNAMIC_SECRET
_REPLACED_PER_SECOND = 100.0
"""How fast the leases of a token are replaced that Vault does not know any more."""


class LeaseTimers:
    """The deadlines of all leases, their timers, and the second look that notices a lost one."""

    def __init__(
        self,
        clock: Clock,
        on_due: Callable[[ObjectKey], None],
        on_lost: Callable[[ObjectKey, float], None],
        wake: Callable[[ObjectKey, float], None] = lambda *_: None,
    ) -> None:
        def lost(key: ObjectKey, seconds: float) -> None:
            on_lost(key, seconds)
            on_due(key)

        self._scheduler: LeaseScheduler[ObjectKey] = LeaseScheduler(clock, on_due)
        self.times = LeaseTimes(clock, self._scheduler)
        self._watchdog = Watchdog(clock, self.times.known, lost)
        self._wake = wake
        self._running = False

    def statistics(self) -> LeaseStatistics:
        """Return how the leases stand; a process that stands by knows of none."""
        return self.times.statistics() if self._running else LeaseStatistics()

    def bereaved(self, lease_ids: Collection[str]) -> None:
        """Have those who hold leases of a token that is no more looked at: at once, spread over what life they have."""
        for place, (key, life) in enumerate(self.times.holders(lease_ids)):
            self._wake(key, min(place / _REPLACED_PER_SECOND, life))

    async def run(self) -> None:
        """Call for each key when it is due, until cancelled."""
        self._running = True
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._scheduler.run(), name="lease-timers")
                group.create_task(self._watchdog.run(), name="lease-watchdog")
        finally:
            self._running = False


def lease_timers(clock: Clock, queue: WorkQueue[ObjectKey], on_lost: Callable[[ObjectKey, float], None]) -> LeaseTimers:
    """Return the deadlines of the objects that the queue is for."""
    # Straight to the queue: no deadline that a pass under way sets afterwards may put it off.
    return LeaseTimers(clock, queue.add, on_lost, wake=partial(queue.add_after, lane=Lane.URGENT))


def token_shelf(
    settings: Settings, clock: Clock, kube: KubeClient, mac_key: Sensitive, cipher: TransitCipher
) -> TokenShelf:
    """Return where the tokens of leases are kept over a restart."""
    config = ShelfConfig(settings.namespace, settings.client_cache_persistence_model, mac_key)
    return TokenShelf(kube, clock, config, cipher)


@dataclass(frozen=True)
class DynamicParts:
    """What the reconciler of dynamic secrets is built from."""

    settings: Settings
    clock: Clock
    kube: KubeClient
    metrics: Metrics
    mac_key: Sensitive
    destinations: Destinations
    resolver: Resolver
    passes: PassParts[VaultDynamicSecretStatus]
    deadlines: LeaseTimes
    restarts: Restarts


def dynamic_secrets(parts: DynamicParts) -> DynamicSecretReconciler:
    """Return the reconciler of dynamic secrets."""
    finalizers = Finalizers(parts.kube, KIND)
    desk = LeaseDesk(parts.resolver, parts.clock, parts.mac_key.reveal())
    reporter = parts.passes.reporter
    config = DynamicConfig(parts.settings.exclude_raw, parts.settings.pod_uid)
    acts = LeaseActs(desk, parts.destinations, parts.restarts, finalizers, reporter, config)
    rooms = DynamicRooms(
        desk=desk,
        destinations=parts.destinations,
        acts=acts,
        deadlines=parts.deadlines,
        leaving=Leaving(desk, finalizers, reporter, parts.clock, parts.metrics.leaked),
        retired=Retired(parts.kube, desk, reporter),
        static_creds=StaticCreds(acts, reporter, config, parts.mac_key),
        probe_every=timedelta(seconds=parts.settings.lease_probe_interval),
    )
    return DynamicSecretReconciler(parts.passes, rooms)
