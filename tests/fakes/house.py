"""The controllers between a scripted API server and a scripted Vault, wired by hand.

`House` holds one set of parts; `pass_over` shows the reconciler what the watch would show and runs
one pass, so that a test says exactly when the watch catches up.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.clock import FakeClock, settle
from tests.fakes.cluster import FakeCluster, Json, key
from tests.fakes.kube_transport import FakeApiServer, FakeSecrets, Request, connected, serving
from tests.fakes.vault_parts import Observed, Tokens
from tests.fakes.vault_server import Reply, VaultServer, errors
from vso.api.meta import Status
from vso.api.secrets import VaultStaticSecretStatus
from vso.app.feeds import indexes
from vso.controllers.cache import ALL_NAMESPACES, Caches, ObjectCache
from vso.controllers.clients import ClientPool
from vso.controllers.credentials import Credentials
from vso.controllers.destinations import Destinations
from vso.controllers.finalizers import Finalizers
from vso.controllers.instant import InstantUpdates
from vso.controllers.materials import FilePolicy, Materials
from vso.controllers.memory import Memories, Memory
from vso.controllers.passes import PassParts
from vso.controllers.report import Reporter, Voices
from vso.controllers.resolver import Resolver
from vso.controllers.restarts import Restarts
from vso.controllers.sources import Source, SourceReader
from vso.controllers.static_secret import Rooms, StaticSecretConfig, StaticSecretReconciler
from vso.controllers.status import StatusWriter
from vso.controllers.trust import TrustPolicy, TrustStore
from vso.core.keys import Kind, ObjectKey
from vso.core.records import Record
from vso.core.sensitive import Sensitive
from vso.decide.outcome import Policy
from vso.kube.client import KubeClient
from vso.kube.event_recorder import EventRecorder
from vso.kube.secrets import SecretWriter
from vso.kube.tokens import TokenMinter
from vso.runtime.poller import Poller
from vso.runtime.reconcile import Result
from vso.runtime.store import StoreWriter
from vso.vault.client import VaultClient
from vso.vault.config import ConnectionConfig
from vso.vault.events import Ears, EventStreams
from vso.vault.sessions import Sessions

OPERATOR = "vso-system"
MAC_KEY = Sensitive(b"0123456789abcdef")
STATIC = Kind.VAULT_STATIC_SECRET


@dataclass
class Freshness:
    """Remembers the standings that were told."""

    told: list[tuple[ObjectKey, bool, str]] = field(default_factory=list)
    left: list[ObjectKey] = field(default_factory=list)

    def assessed(self, kind: Kind, key: ObjectKey, *, ready: bool, reason: str) -> None:
        self.told.append((key, ready, reason))

    def gone(self, kind: Kind, key: ObjectKey) -> None:
        self.left.append(key)


class Watches:
    """What the watches have shown so far."""

    def __init__(self) -> None:
        indexers = indexes(OPERATOR)
        self.writers: dict[Kind, StoreWriter[ObjectKey, Record]] = {kind: StoreWriter(indexers[kind]) for kind in Kind}
        self.secrets: StoreWriter[ObjectKey, Record] = StoreWriter()

    def caches(self, *, full: bool = True, namespaces: tuple[str, ...] = (ALL_NAMESPACES,)) -> Caches:
        kinds = {kind: ObjectCache(dict.fromkeys(namespaces, writer.store)) for kind, writer in self.writers.items()}
        return Caches(kinds, ObjectCache(dict.fromkeys(namespaces, self.secrets.store)) if full else None)

    def show(self, kind: Kind, record: Record) -> None:
        self.writers[kind].apply(record)


@dataclass
class House:
    """Everything that one static secret needs, at rest."""

    clock: FakeClock
    api: FakeApiServer
    cluster: FakeCluster
    vault: VaultServer
    tokens: Tokens
    kube: KubeClient
    watches: Watches
    caches: Caches
    memories: Memories[VaultStaticSecretStatus]
    clients: ClientPool
    sessions: Sessions
    resolver: Resolver
    reader: SourceReader
    poller: Poller[Source, ObjectKey]
    streams: EventStreams[ObjectKey, Source]
    events: EventRecorder
    freshness: Freshness
    reconciler: StaticSecretReconciler
    woken: list[frozenset[ObjectKey]]
    restarts: Restarts

    def holds(self, data: Mapping[str, Any], version: int = 1, path: str = "kv/data/app/config") -> None:
        """Have Vault hold a secret (kv-v2)."""
        body = {"data": {"data": dict(data), "metadata": {"version": version}}, "request_id": "r"}
        self.vault.on("GET", path, Reply(200, body))

    def fails(self, status: int = 500, *texts: str, path: str = "kv/data/app/config") -> None:
        """Have Vault answer the read with an error."""
        self.vault.on("GET", path, errors(status, *texts))

    def static(self, name: str = "db", **changes: Any) -> Record:
        """Create or change a VaultStaticSecret; a field of None goes, `metadata` is merged."""
        metadata = changes.pop("metadata", {})
        return self.cluster.put(STATIC, name, static_spec(**changes), **metadata)

    def notes(self, name: str = "db") -> Memory[VaultStaticSecretStatus]:
        found = self.memories.find(key(name))
        assert found is not None
        return found

    async def pass_over(self, name: str = "db", *, caught_up: bool = True) -> Result:
        """Let the watches catch up, unless told not to, and run one pass."""
        if caught_up:
            self.watches.show(STATIC, self.cluster.record(STATIC, name))
            if self.caches.secrets is not None:
                self.watches.secrets.replace([self.cluster.secret_record(name) for name in self.cluster.secrets.stored])
        return await self.reconciler.reconcile(key(name))

    def restarted(self) -> ObjectKey:
        """Forget what the process remembers of `db`, as a restart does."""
        self.memories.forget(key("db"))
        return key("db")

    def status(self, name: str = "db") -> Json:
        return self.cluster.status(STATIC, name)

    def condition(self, type_: str, name: str = "db") -> Json:
        return next((c for c in self.status(name).get("conditions", ()) if c["type"] == type_), {})

    def reads(self, path: str = "kv/data/app/config") -> int:
        return len(self.vault.asked(path))

    def requests(self, method: str, part: str) -> list[Request]:
        return [seen for seen in self.api.requests if seen.method == method and part in seen.path]

    def writes(self) -> list[str]:
        """What was written to Kubernetes, tokens apart."""
        return [
            f"{seen.method} {seen.path.rpartition('namespaces/app/')[2]}"
            for seen in self.api.requests
            if seen.method != "GET" and not seen.path.endswith("/token")
        ]

    async def told(self) -> list[str]:
        """Send the events and return their reasons, in order."""
        await self.events.flush()
        return [event["reason"] for event in self.cluster.events if "reason" in event]


def static_spec(**changes: Any) -> Json:
    """Return the spec of a VaultStaticSecret; a field of None is left out."""
    spec = {
        "vaultAuthRef": "vault",
        "mount": "kv",
        "path": "app/config",
        "type": "kv-v2",
        "refreshAfter": "1m",
        "destination": {"name": "db", "create": True, "transformation": {"excludeRaw": True}},
        **changes,
    }
    return {name: value for name, value in spec.items() if value is not None}


def auth_spec(**changes: Any) -> Json:
    return {
        "vaultConnectionRef": "vault",
        "method": "kubernetes",
        "mount": "kubernetes",
        "kubernetes": {"role": "app", "serviceAccount": "app", "audiences": ["vault"]},
        **changes,
    }


@asynccontextmanager
async def house(*, full: bool = True, drift_interval: float = 600.0, company: float = 0.0) -> AsyncIterator[House]:
    """Open a house with a VaultConnection and a VaultAuth named vault in namespace app.

    With `company` every workload is shared, and its restarts wait so many seconds for each other.
    """
    clock, watches, freshness = FakeClock(), Watches(), Freshness()
    cluster = FakeCluster(FakeSecrets(clock))
    woken: list[frozenset[ObjectKey]] = []
    caches = watches.caches(full=full)
    async with serving(cluster) as api, connected(api, clock=clock) as kube, VaultServer() as vault:
        watches.show(
            Kind.VAULT_CONNECTION, cluster.put(Kind.VAULT_CONNECTION, "vault", {"address": vault.url, "timeout": "5s"})
        )
        watches.show(Kind.VAULT_AUTH, cluster.put(Kind.VAULT_AUTH, "vault", auth_spec()))
        memories: Memories[VaultStaticSecretStatus] = Memories()
        clients = ClientPool(clock, lambda config: _client(config, clock), lambda name, is_open: None)
        materials = Materials(kube, FilePolicy(OPERATOR))
        sessions = Sessions(clock, Credentials(TokenMinter(kube), materials), Observed())
        resolver = Resolver(caches, TrustStore(materials, clock, TrustPolicy()), clients, sessions, OPERATOR)
        reader = SourceReader(clock, MAC_KEY.reveal())
        poller: Poller[Source, ObjectKey] = Poller(clock, reader.look, woken.append, phase=lambda source: 0.5)
        ears: Ears[ObjectKey, Source] = Ears(poller.look_now, poller.look_now, woken.append, Observed())
        streams = EventStreams(clock, random.Random(1), ears)
        events = EventRecorder(kube, clock, "vault-secrets-operator")
        rooms = Rooms(
            resolver=resolver,
            reader=reader,
            poller=poller,
            instant=InstantUpdates(streams),
            destinations=Destinations(
                STATIC,
                SecretWriter(kube, delete_allowed=full),
                caches.secrets,
                may_delete=full,
                drift_interval=drift_interval,
            ),
            restarts=(restarts := restarts_of(kube, company)),
        )
        reporter: Reporter[VaultStaticSecretStatus] = Reporter(
            STATIC, StatusWriter(kube, STATIC), Voices(events, freshness), Policy()
        )
        parts = PassParts(caches[STATIC], memories, reporter, clock, Finalizers(kube, STATIC))
        made = House(
            clock, api, cluster, vault, Tokens(vault, clock), kube, watches, caches, memories, clients, sessions, resolver,
            reader, poller, streams, events, freshness, StaticSecretReconciler(parts, rooms, StaticSecretConfig(MAC_KEY)), woken,
            restarts,
        )  # fmt: skip
        async with running(clients):
            yield made


def restarts_of(kube: KubeClient, company: float) -> Restarts:
    return Restarts(kube, window=company, is_shared=lambda workload: company > 0)


@asynccontextmanager
async def running(clients: ClientPool) -> AsyncIterator[None]:
    """Run the client pool meanwhile."""
    task = asyncio.get_running_loop().create_task(clients.run())
    await settle()
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


def _client(config: ConnectionConfig, clock: FakeClock) -> VaultClient:
    return VaultClient(config, clock, random.Random(1), user_agent="vso-test", observer=Observed())


def reporter_for(kube: KubeClient, kind: Kind, clock: FakeClock) -> tuple[Reporter[Any], EventRecorder, Freshness]:
    """Return a reporter of one kind with its ears."""
    events, freshness = EventRecorder(kube, clock, "vault-secrets-operator"), Freshness()
    writer: StatusWriter[Status] = StatusWriter(kube, kind)
    return Reporter(kind, writer, Voices(events, freshness), Policy()), events, freshness
