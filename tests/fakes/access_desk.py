"""The reconcilers of VaultConnection and VaultAuth in a house.

Invariant: there is one object of each kind, named `vault`; a look sees what the API server holds by then.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.cluster import Json, key
from tests.fakes.house import OPERATOR, House, reporter_for
from tests.fakes.vault_server import Reply
from vso.controllers.access import AuthReconciler, ConnectionReconciler
from vso.controllers.finalizers import Finalizers
from vso.controllers.memory import Memories
from vso.controllers.passes import PassParts
from vso.controllers.relations import Relations
from vso.controllers.report import Reporter
from vso.core.errors import VsoError
from vso.core.keys import Kind
from vso.runtime.reconcile import Result

CONNECTION, AUTH = Kind.VAULT_CONNECTION, Kind.VAULT_AUTH
INTERVAL = 60.0
SEALED = Reply(503, {"initialized": True, "sealed": True, "version": "1.21.0"})
HEALTHY = Reply(200, {"initialized": True, "sealed": False, "version": "1.21.0"})


class Desk:
    """The two reconcilers in a house, and the objects named vault."""

    def __init__(self, home: House) -> None:
        self.home = home
        self.connection_events = reporter_for(home.kube, CONNECTION, home.clock)
        self.connections = ConnectionReconciler(
            self._parts(CONNECTION, self.connection_events[0]), home.resolver, home.clients, check_interval=INTERVAL
        )
        self.auths = AuthReconciler(
            self._parts(AUTH, reporter_for(home.kube, AUTH, home.clock)[0]),
            home.resolver,
            home.sessions,
            Relations(home.caches, OPERATOR).consumers,
        )

    def _parts(self, kind: Kind, reporter: Reporter[Any]) -> PassParts[Any]:
        home = self.home
        return PassParts(home.caches[kind], Memories(), reporter, home.clock, Finalizers(home.kube, kind))

    def put(self, kind: Kind, spec: Json, **metadata: Any) -> None:
        self.home.watches.show(kind, self.home.cluster.put(kind, "vault", spec, **metadata))

    async def look(self, kind: Kind) -> Result:
        """Let the watch catch up and run one pass."""
        if self.home.watches.writers[kind].store.get(key("vault")) is not None:
            self.home.watches.show(kind, self.home.cluster.record(kind, "vault"))
        return await (self.connections if kind is CONNECTION else self.auths).reconcile(key("vault"))

    async def fails(self, kind: Kind) -> VsoError:
        with pytest.raises(VsoError) as caught:
            await self.look(kind)
        return caught.value

    def status(self, kind: Kind) -> Json:
        return self.home.cluster.status(kind, "vault")

    def condition(self, kind: Kind, type_: str) -> Json:
        return next((c for c in self.status(kind).get("conditions", ()) if c["type"] == type_), {})

    @property
    def writes(self) -> int:
        return len(self.home.requests("PATCH", "/status"))
