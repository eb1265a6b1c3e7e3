"""A house for dynamic secrets: the parts of `house`, a Vault that lends, and a process that may die."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.cluster import Json, key
from tests.fakes.house import MAC_KEY, OPERATOR, Freshness, House, house, reporter_for
from tests.fakes.lease_vault import CREDS, Fate, LeaseVault
from tests.fakes.vault_parts import Observed
from vso.api.secrets import VaultDynamicSecretStatus
from vso.controllers.credentials import Credentials
from vso.controllers.destinations import Destinations
from vso.controllers.dynamic_acts import DynamicConfig, LeaseActs
from vso.controllers.dynamic_secret import DynamicRooms, DynamicSecretReconciler
from vso.controllers.finalizers import Finalizers
from vso.controllers.lease_times import LeaseTimes
from vso.controllers.leases import LeaseDesk
from vso.controllers.leaving import Leaving
from vso.controllers.materials import FilePolicy, Materials
from vso.controllers.memory import Memories
from vso.controllers.passes import PassParts
from vso.controllers.resolver import Resolver
from vso.controllers.retired import Retired
from vso.controllers.static_creds import StaticCreds
from vso.controllers.trust import TrustPolicy, TrustStore
from vso.core.errors import Reason, VsoError
from vso.core.keys import Kind, ObjectKey
from vso.kube.event_recorder import EventRecorder
from vso.kube.labels import LEASE_ANNOTATION
from vso.kube.secrets import SecretWriter
from vso.kube.tokens import TokenMinter
from vso.runtime.lease_scheduler import LeaseScheduler
from vso.runtime.reconcile import Result
from vso.vault.keeping import Shelf
from vso.vault.sessions import Sessions

DYNAMIC = Kind.VAULT_DYNAMIC_SECRET
FINALIZER = "vaultdynamicsecret.secrets.hashicorp.com/finalizer"
REVOKE = "sys/leases/revoke"
WEB = "/apis/apps/v1/namespaces/app/deployments"
OLD, NEW, THIRD = f"{CREDS}/1", f"{CREDS}/2", f"{CREDS}/3"


@dataclass
class Process:
    """What one run of the operator keeps in memory."""

    memories: Memories[VaultDynamicSecretStatus]
    sessions: Sessions
    desk: LeaseDesk
    deadlines: LeaseScheduler[ObjectKey]
    times: LeaseTimes
    reconciler: DynamicSecretReconciler
    events: EventRecorder
    freshness: Freshness
    leaked: list[int]


def process(home: House, *, full: bool = True, shelf: Shelf | None = None) -> Process:
    """Start a process that knows nothing yet."""
    materials = Materials(home.kube, FilePolicy(OPERATOR))
    sessions = Sessions(home.clock, Credentials(TokenMinter(home.kube), materials), Observed(), shelf=shelf)
    trust = TrustStore(materials, home.clock, TrustPolicy())
    resolver = Resolver(home.caches, trust, home.clients, sessions, OPERATOR)
    memories: Memories[VaultDynamicSecretStatus] = Memories()
    reporter, events, freshness = reporter_for(home.kube, DYNAMIC, home.clock)
    config = DynamicConfig(pod_uid="pod")
    desk, finalizers = LeaseDesk(resolver, home.clock, MAC_KEY.reveal()), Finalizers(home.kube, DYNAMIC)
    writer = SecretWriter(home.kube, delete_allowed=full)
    destinations = Destinations(DYNAMIC, writer, home.caches.secrets, may_delete=full, drift_interval=600.0)
    deadlines: LeaseScheduler[ObjectKey] = LeaseScheduler(home.clock, lambda key: None)
    times, leaked = LeaseTimes(home.clock, deadlines), list[int]()
    acts = LeaseActs(desk, destinations, home.restarts, finalizers, reporter, config)
    rooms = DynamicRooms(
        desk=desk,
        destinations=destinations,
        acts=acts,
        deadlines=times,
        static_creds=StaticCreds(acts, reporter, config, MAC_KEY),
        leaving=Leaving(desk, finalizers, reporter, home.clock, leaked.append),
        retired=Retired(home.kube, desk, reporter),
    )
    parts = PassParts(home.caches[DYNAMIC], memories, reporter, home.clock)
    reconciler = DynamicSecretReconciler(parts, rooms)
    return Process(memories, sessions, desk, deadlines, times, reconciler, events, freshness, leaked)


@dataclass
class DynamicHouse:
    """One dynamic secret named `db`, its Vault, and the process of the moment."""

    home: House
    vault: LeaseVault
    fate: Fate
    running: Process
    full: bool
    spec: Json = field(default_factory=dict)

    def wants(self, **changes: Any) -> None:
        """Create or change the object; a field of None goes, `metadata` is merged."""
        metadata = changes.pop("metadata", {})
        self.spec = {name: value for name, value in {**self.spec, **changes}.items() if value is not None}
        self.home.cluster.put(DYNAMIC, "db", self.spec, **metadata)

    def restart(self, shelf: Shelf | None = None) -> None:
        """The process is gone, and a new one takes its place."""
        self.fate.dead = False
        self.running = process(self.home, full=self.full, shelf=shelf)

    async def pass_over(self) -> Result:
        """Let the watches catch up and run one pass."""
        self.home.watches.show(DYNAMIC, self.home.cluster.record(DYNAMIC, "db"))
        stored = self.home.cluster.secrets.stored
        self.home.watches.secrets.replace([self.home.cluster.secret_record(name) for name in stored])
        return await self.running.reconciler.reconcile(key("db"))

    async def attempt(self) -> bool:
        """Run one pass; tell whether it went through."""
        with contextlib.suppress(VsoError):
            await self.pass_over()
            return True
        return False

    async def told(self, reason: Reason) -> list[str]:
        """Send the events and return the messages of those with the reason."""
        await self.running.events.flush()
        return [event["message"] for event in self.home.cluster.events if event.get("reason") == reason.value]

    def due_in(self) -> float | None:
        """Return the seconds until the object wants to be looked at again."""
        deadline = self.running.deadlines.deadline(key("db"))
        return None if deadline is None else deadline - self.home.clock.monotonic()

    async def until_due(self) -> None:
        """Let the time pass until the object is due, and look at it."""
        seconds = self.due_in()
        assert seconds is not None
        await self.home.clock.advance(seconds + 0.001)  # a timer never fires early
        await self.pass_over()

    @property
    def status(self) -> Json:
        return self.home.cluster.status(DYNAMIC, "db")

    @property
    def lease(self) -> str:
        """The lease that the status gives the Secret."""
        return str(self.status.get("secretLease", {}).get("id", ""))

    @property
    def named(self) -> set[str]:
        """Every lease that the status names."""
        refs = [self.status.get("secretLease") or {}, self.status.get("pendingLease") or {}]
        refs += self.status.get("retiredLeases") or []
        return {ref["id"] for ref in refs if ref.get("id")}

    @property
    def mark(self) -> str:
        """The hash of the lease whose data the Secret holds."""
        found = self.home.cluster.secrets.stored.get("db", {"metadata": {}})["metadata"]
        return str(found.get("annotations", {}).get(LEASE_ANNOTATION, ""))

    def digest(self, lease_id: str) -> str:
        return self.running.desk.digest(lease_id)


@asynccontextmanager
async def dynamic_house(
    *, full: bool = True, ttl: float = 600, token_ttl: float = 3600, company: float = 0.0
) -> AsyncIterator[DynamicHouse]:
    """Open a house with one VaultDynamicSecret that nobody has looked at yet."""
    async with house(full=full, company=company) as home:
        fate = Fate()
        home.tokens.ttl = token_ttl
        vault = LeaseVault(home.vault, home.tokens, home.clock, fate, ttl)
        home.api.respond = fate.kube(home.cluster)
        made = DynamicHouse(home, vault, fate, process(home, full=full), full)
        destination = {"name": "db", "create": True, "transformation": {"excludeRaw": True}}
        made.wants(vaultAuthRef="vault", mount="database", path="creds/app", overlap="30s", destination=destination)
        yield made


async def rotated(house: DynamicHouse) -> None:
    """Have `OLD` issued, and `NEW` in its place."""
    await house.pass_over()
    house.wants(params={"ttl": "5m"})
    await house.pass_over()


def consumer(house: DynamicHouse, **status: int) -> Json:
    """Have a Deployment use the Secret; how far it has changed over is told by its status."""
    house.wants(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    house.home.cluster.workload(WEB, "web")["status"] = status
    return house.home.cluster.workloads[f"{WEB}/web"]
