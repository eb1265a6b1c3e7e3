from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster, Json, key
from tests.fakes.house import Watches, reporter_for
from tests.fakes.kube_transport import FakeApiServer, connected, serving
from vso.controllers.memory import Memories
from vso.controllers.passes import PassParts
from vso.controllers.unsupported import NEVER, NOT_YET, UnsupportedReconciler
from vso.core.errors import Reason, TerminalError
from vso.core.keys import Kind
from vso.kube.client import KubeClient
from vso.runtime.reconcile import Result

SPECS: dict[Kind, Json] = {
    Kind.HCP_AUTH: {"organizationID": "o", "projectID": "p"},
    Kind.HCP_VAULT_SECRETS_APP: {"appName": "a", "destination": {"name": "d"}},
    Kind.SECRET_TRANSFORMATION: {},
}


class Desk:
    def __init__(self, kind: Kind, kube: KubeClient, api: FakeApiServer, cluster: FakeCluster) -> None:
        clock = FakeClock()
        self.kind, self.api, self.cluster, self.watches = kind, api, cluster, Watches()
        self.reporter, self.events, self.freshness = reporter_for(kube, kind, clock)
        cache = self.watches.caches()[kind]
        self.reconciler = UnsupportedReconciler(kind, PassParts(cache, Memories(), self.reporter, clock))

    async def look(self) -> Result:
        self.watches.show(self.kind, self.cluster.record(self.kind, "x"))
        return await self.reconciler.reconcile(key("x"))


@pytest.fixture
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    cluster = FakeCluster()
    async with serving(cluster) as api, connected(api) as kube:
        yield Desk(request.param, kube, api, cluster)


@pytest.mark.parametrize("desk", SPECS, indirect=True)
async def test_a_kind_without_a_controller_says_so_once_per_generation(desk: Desk) -> None:
    desk.cluster.put(desk.kind, "x", SPECS[desk.kind])
    for _ in range(2):
        with pytest.raises(TerminalError) as caught:
            await desk.look()
    assert caught.value.reason is (Reason.UNSUPPORTED if desk.kind in NEVER else Reason.NOT_IMPLEMENTED)
    assert len(desk.api.requests) == 1
    conditions = {c["type"]: c for c in desk.cluster.status(desk.kind, "x")["conditions"]}
    assert conditions["Stalled"]["reason"] == caught.value.reason
    assert conditions["Ready"]["status"] == "False"
    assert desk.kind.value in conditions["Stalled"]["message"]


@pytest.mark.parametrize("desk", [Kind.HCP_AUTH], indirect=True)
async def test_one_that_is_gone_or_going_is_left_alone(desk: Desk) -> None:
    assert await desk.reconciler.reconcile(key("x")) == Result()
    desk.cluster.put(desk.kind, "x", SPECS[desk.kind], deletionTimestamp="2026-01-01T12:00:00Z")
    assert await desk.look() == Result()
    assert desk.api.requests == []
    assert desk.freshness.left == [key("x"), key("x")]


def test_every_kind_is_acted_on_or_reported() -> None:
    acted_on = {
        Kind.VAULT_CONNECTION,
        Kind.VAULT_AUTH,
        Kind.VAULT_AUTH_GLOBAL,
        Kind.VAULT_STATIC_SECRET,
        Kind.VAULT_DYNAMIC_SECRET,
    }
    assert NEVER | NOT_YET | acted_on == set(Kind)
    assert not NEVER & NOT_YET
