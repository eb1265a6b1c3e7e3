"""The part of the composition root that dynamic secrets need."""

from __future__ import annotations

from dataclasses import dataclass

from vso.api.secrets import VaultDynamicSecretStatus
from vso.app.metrics import Metrics
from vso.app.settings import Settings
from vso.controllers.cache import Caches
from vso.controllers.destinations import Destinations
from vso.controllers.dynamic_acts import DynamicConfig, LeaseActs
from vso.controllers.dynamic_secret import DynamicRooms, DynamicSecretReconciler
from vso.controllers.finalizers import Finalizers
from vso.controllers.leases import LeaseDesk
from vso.controllers.leaving import Leaving
from vso.controllers.passes import PassParts
from vso.controllers.relations import Relations
from vso.controllers.resolver import Resolver
from vso.controllers.restarts import Restarts
from vso.controllers.retired import Retired
from vso.core.clock import Clock
from vso.core.keys import Kind, ObjectKey
from vso.core.sensitive import Sensitive
from vso.kube.client import KubeClient
from vso.kube.secrets import SecretWriter
from vso.runtime.lease_scheduler import LeaseScheduler

KIND = Kind.VAULT_DYNAMIC_SECRET


@dataclass(frozen=True)
class DynamicParts:
    """What the reconciler of dynamic secrets is built from."""

    settings: Settings
    clock: Clock
    kube: KubeClient
    metrics: Metrics
    mac_key: Sensitive
    caches: Caches
    relations: Relations
    resolver: Resolver
    passes: PassParts[VaultDynamicSecretStatus]
    deadlines: LeaseScheduler[ObjectKey]
    restarts: Restarts


def dynamic_secrets(parts: DynamicParts) -> DynamicSecretReconciler:
    """Return the reconciler of dynamic secrets."""
    full = parts.settings.secrets_access == "full"
    finalizers = Finalizers(parts.kube, KIND)
    desk = LeaseDesk(parts.resolver, parts.clock, parts.mac_key.reveal())
    destinations = Destinations(
        KIND,
        SecretWriter(parts.kube, delete_allowed=full, owner_of=parts.relations.owner_of),
        parts.caches.secrets,
        may_delete=full,
        drift_interval=parts.settings.drift_interval,
    )
    reporter = parts.passes.reporter
    acts = LeaseActs(
        desk,
        destinations,
        parts.restarts,
        finalizers,
        reporter,
        DynamicConfig(parts.settings.exclude_raw, parts.settings.pod_uid),
    )
    rooms = DynamicRooms(
        desk=desk,
        destinations=destinations,
        acts=acts,
        deadlines=parts.deadlines,
        leaving=Leaving(desk, finalizers, parts.metrics.leaked),
        retired=Retired(parts.kube, desk, reporter),
    )
    return DynamicSecretReconciler(parts.passes, rooms)
