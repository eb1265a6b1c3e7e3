"""VaultAuthGlobal: what its status says, and who is counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster, Json, key
from tests.fakes.house import OPERATOR, Watches, reporter_for
from tests.fakes.kube_transport import FakeApiServer, connected, serving
from vso.controllers.auth_global import AuthGlobalReconciler
from vso.controllers.memory import Memories
from vso.controllers.passes import PassParts
from vso.controllers.relations import Relations
from vso.controllers.ways import reserved
from vso.core.errors import ConfigError, Reason
from vso.core.keys import Kind
from vso.kube.client import KubeClient
from vso.runtime.reconcile import Result

GLOBAL, AUTH = Kind.VAULT_AUTH_GLOBAL, Kind.VAULT_AUTH


class Desk:
    """The reconciler, and a VaultAuthGlobal named g."""

    def __init__(self, kube: KubeClient, api: FakeApiServer, cluster: FakeCluster) -> None:
        clock = FakeClock()
        self.api, self.cluster, self.watches = api, cluster, Watches()
        caches = self.watches.caches()
        self.reporter, self.events, self.freshness = reporter_for(kube, GLOBAL, clock)
        relations = Relations(caches, OPERATOR)
        parts: PassParts[Any] = PassParts(caches[GLOBAL], Memories(), self.reporter, clock)
        self.reconciler = AuthGlobalReconciler(parts, relations.referrers)

    def refers(self, auth: str, in_namespace: str = "app", **ref: Any) -> None:
        self.watches.show(AUTH, self.cluster.put(AUTH, auth, {"vaultAuthGlobalRef": ref}, in_namespace))

    async def look(self, spec: Json) -> Result:
        self.watches.show(GLOBAL, self.cluster.put(GLOBAL, "g", spec))
        return await self.reconciler.reconcile(key("g"))

    @property
    def status(self) -> Json:
        return self.cluster.status(GLOBAL, "g")

    def condition(self, type_: str) -> Json:
        return next((c for c in self.status["conditions"] if c["type"] == type_), {})


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    cluster = FakeCluster()
    async with serving(cluster) as api, connected(api) as kube:
        yield Desk(kube, api, cluster)


async def test_a_good_one_is_ready_and_counts_its_referrers(desk: Desk) -> None:
    desk.refers("one", name="g")
    desk.refers("two", "team-b", name="g", namespace="app")
    desk.refers("other", "team-b", name="g")
    assert await desk.look({"defaultAuthMethod": "kubernetes", "headers": {"X-Team": "a"}}) == Result()
    assert (desk.status["valid"], desk.status["error"], desk.status["referrers"]) == (True, "", 2)
    assert (desk.condition("Ready")["status"], desk.condition("Healthy")["status"]) == ("True", "True")
    assert desk.status["observedGeneration"] == 1


async def test_nothing_is_written_where_nothing_changes(desk: Desk) -> None:
    for _ in range(3):
        await desk.look({"defaultAuthMethod": "kubernetes"})
    assert len(desk.api.requests) == 1
    desk.refers("one", name="g")
    await desk.look({"defaultAuthMethod": "kubernetes"})
    assert desk.status["referrers"] == 1
    assert len(desk.api.requests) == 2


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"headers": {"X-Vault-Token": "t"}}, Reason.INVALID_SPEC, "spec.headers: X-Vault-Token"),
        ({"jwt": {"headers": {"a b": "t"}}}, Reason.INVALID_SPEC, "spec.jwt.headers: 'a b'"),
        ({"appRole": {"params": {"secret_id": "x"}}}, Reason.INVALID_SPEC, "spec.appRole.params may not set secret_id"),
        ({"vaultConnectionRef": "a/b/c"}, Reason.INVALID_REFERENCE, "'a/b/c'"),
        ({"defaultAuthMethod": "carrier-pigeon"}, Reason.INVALID_SPEC, "spec.defaultAuthMethod: must be "),
    ],
)
async def test_what_no_auth_could_use_is_stalled_with_the_field(
    desk: Desk, spec: Json, reason: Reason, words: str
) -> None:
    desk.refers("one", name="g")
    with pytest.raises(ConfigError):
        await desk.look(spec)
    assert desk.condition("Stalled")["reason"] == reason
    assert desk.condition("Ready")["status"] == "False"
    assert (desk.status["valid"], desk.status["referrers"]) == (False, 1)
    assert words in desk.status["error"]
    await desk.look({"defaultAuthMethod": "jwt"})
    assert (desk.status["valid"], desk.status["error"]) == (True, "")
    assert desk.condition("Stalled") == {}


async def test_one_that_is_gone_or_going_is_left_alone(desk: Desk) -> None:
    assert await desk.reconciler.reconcile(key("g")) == Result()
    desk.cluster.put(GLOBAL, "g", {}, deletionTimestamp="2026-01-01T12:00:00Z")
    assert await desk.look({}) == Result()
    assert desk.api.requests == []


METHODS = ["kubernetes", "jwt", "appRole", "aws", "gcp", "azure", "cert", "userpass", "ldap", "token", "generic"]


@pytest.mark.parametrize("method", METHODS)
async def test_every_method_may_have_params_and_keeps_its_own_fields(desk: Desk, method: str) -> None:
    await desk.look({method: {"params": {"team": "a"}}})
    assert desk.status["valid"] is True
    for name in reserved(method):
        with pytest.raises(ConfigError, match=f"spec.{method}.params may not set {name}"):
            await desk.look({method: {"params": {name: "a"}}})
