"""The destinations of one object at the far end of a socket.

Invariant: the watch shows what happened to Secrets only when it is told to catch up, so that a test can
act in between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from tests.fakes.clock import T0
from tests.fakes.cluster import FakeCluster
from tests.fakes.house import STATIC, static_spec
from tests.fakes.kube_transport import FakeApiServer, connected, serving
from vso.api.scheme import parse_as
from vso.api.secrets import VaultStaticSecret, VaultStaticSecretStatus
from vso.api.shared import DestinationStatus
from vso.controllers.cache import ALL_NAMESPACES, ObjectCache
from vso.controllers.destinations import Destinations, Landed, StaticLook
from vso.controllers.looks import Look
from vso.controllers.memory import Memory
from vso.core.keys import ObjectKey
from vso.core.records import Record
from vso.core.sensitive import Sensitive
from vso.decide.sync import Compared, Why, plan_sync
from vso.kube.secrets import SecretWriter
from vso.runtime.store import StoreWriter

ONE = {"password": Sensitive.of("one")}
TWO = {"password": Sensitive.of("two")}
INTERVAL = 600.0


@dataclass
class Desk:
    """The destinations of one object, in one mode."""

    destinations: Destinations
    cluster: FakeCluster
    api: FakeApiServer
    secrets: StoreWriter[ObjectKey, Record]
    look: StaticLook

    def asks(self, **spec: Any) -> None:
        """Have the object ask for another destination."""
        destination = {"name": "db", "create": True, **spec}
        record = self.cluster.put(STATIC, "db", static_spec(destination=destination))
        self.look = replace(self.look, record=record, cr=parse_as(VaultStaticSecret, record.body))

    def shows(self) -> None:
        """Let the watch catch up."""
        self.secrets.replace([self.cluster.secret_record(name) for name in self.cluster.secrets.stored])

    def at(self, seconds: float) -> StaticLook:
        return replace(self.look, monotonic=seconds)

    def restarted(self) -> None:
        self.look = replace(self.look, notes=Memory(self.look.record.uid, 0))

    async def write(
        self, data: dict[str, Sensitive] = ONE, *, why: Why = Why.FIRST_SYNC, changed: bool = True
    ) -> Landed:
        """Write as a pass does and take what it returned into the status."""
        recorded = self.look.status.destination
        old_name, new_name = recorded.name if recorded else "", self.look.cr.spec.destination.name
        plan = plan_sync(why, Compared(new_name, old_name, "new" if changed else "old", "old"))
        landed = await self.destinations.apply(self.look, plan, data)
        written = landed.written
        told = DestinationStatus(name=written.name, uid=written.uid, resource_version=written.resource_version)
        self.look = replace(self.look, status=self.look.status.model_copy(update={"destination": told}))
        return landed


@asynccontextmanager
async def desk(*, full: bool) -> AsyncIterator[Desk]:
    cluster, secrets = FakeCluster(), StoreWriter[ObjectKey, Record]()
    record = cluster.put(STATIC, "db", static_spec(destination={"name": "db", "create": True}))
    cr = parse_as(VaultStaticSecret, record.body)
    look = Look(record, cr, VaultStaticSecretStatus(), Memory[VaultStaticSecretStatus](record.uid, 0), T0, 0.0)
    async with serving(cluster) as api, connected(api) as kube:
        cache = ObjectCache({ALL_NAMESPACES: secrets.store}) if full else None
        writer = SecretWriter(kube, delete_allowed=full)
        made = Destinations(STATIC, writer, cache, may_delete=full, drift_interval=INTERVAL)
        yield Desk(made, cluster, api, secrets, look)
