"""Each pass has a name, and its end is told in the object's status, whatever the kind and whatever went wrong."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from structlog.contextvars import clear_contextvars, get_contextvars

from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster, Json, key
from tests.fakes.house import STATIC, House, Watches, reporter_for, static_spec
from tests.fakes.kube_transport import FakeApiServer, connected, serving
from vso.api.meta import Resource
from vso.api.scheme import MODELS
from vso.controllers.finalizers import Finalizers
from vso.controllers.looks import Look
from vso.controllers.memory import Memories
from vso.controllers.passes import NamedPasses, ObjectReconciler, PassParts
from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.core.keys import Kind, ObjectKey
from vso.kube.client import KubeClient
from vso.runtime.reconcile import Result

KEY = ObjectKey("team", "app")


class Listening:
    """A reconciler that notes what a line of its pass would carry."""

    def __init__(self) -> None:
        self.heard: list[dict[str, object]] = []

    async def reconcile(self, key: ObjectKey) -> Result:
        self.heard.append(dict(get_contextvars()))
        return Result(requeue_after=7)


@pytest.fixture(autouse=True)
def _bare() -> None:
    clear_contextvars()
    structlog.reset_defaults()


async def test_a_pass_has_an_id_of_its_own_and_says_which_object_it_is_about() -> None:
    inner = Listening()
    passes = NamedPasses(Kind.VAULT_STATIC_SECRET, inner, random.Random(1))
    for _ in range(3):
        assert await passes.reconcile(KEY) == Result(requeue_after=7)
    assert {(line["kind"], line["object"]) for line in inner.heard} == {("VaultStaticSecret", "team/app")}
    names = [str(line["pass"]) for line in inner.heard]
    assert len(set(names)) == 3
    assert {len(name) for name in names} == {12}


async def test_what_the_worker_says_after_the_pass_still_belongs_to_it() -> None:
    inner = Listening()
    await NamedPasses(Kind.VAULT_AUTH, inner, random.Random(1)).reconcile(KEY)
    assert get_contextvars() == inner.heard[-1]


# The frame of a pass.

SPECS: dict[Kind, Json] = {
    Kind.VAULT_CONNECTION: {"address": "http://vault:8200"},
    Kind.VAULT_AUTH: {},
    Kind.VAULT_AUTH_GLOBAL: {},
    Kind.VAULT_STATIC_SECRET: static_spec(),
    Kind.VAULT_DYNAMIC_SECRET: {"mount": "db", "path": "creds/x", "destination": {"name": "x"}},
    Kind.VAULT_PKI_SECRET: {"mount": "pki", "role": "x", "destination": {"name": "x"}},
    Kind.SECRET_TRANSFORMATION: {},
    Kind.HCP_AUTH: {"organizationID": "o", "projectID": "p"},
    Kind.HCP_VAULT_SECRETS_APP: {"appName": "a", "destination": {"name": "d"}},
    Kind.CSI_SECRETS: {"secrets": {}, "accessControl": {"serviceAccountPattern": ".*"}},
}
BROKEN: dict[Kind, tuple[Json, str]] = {
    Kind.VAULT_CONNECTION: ({"timeout": "1h30m"}, "spec.timeout"),
    Kind.VAULT_AUTH: ({"method": "carrier-pigeon"}, "spec.method"),
    Kind.VAULT_AUTH_GLOBAL: ({"defaultAuthMethod": 1}, "spec.defaultAuthMethod"),
    Kind.VAULT_STATIC_SECRET: ({"type": "kv-v3"}, "spec.type"),
    Kind.VAULT_DYNAMIC_SECRET: ({"renewalPercent": 101}, "spec.renewalPercent"),
    Kind.VAULT_PKI_SECRET: ({"role": 1}, "spec.role"),
    Kind.SECRET_TRANSFORMATION: ({"includes": "all"}, "spec.includes"),
    Kind.HCP_AUTH: ({"organizationID": 1}, "spec.organizationID"),
    Kind.HCP_VAULT_SECRETS_APP: ({"appName": 1}, "spec.appName"),
    Kind.CSI_SECRETS: ({"secrets": 1}, "spec.secrets"),
}


class Scripted(ObjectReconciler[Resource, Any]):
    """Ends as it is told to, and notes what was asked of it."""

    def __init__(self, kind: Kind, parts: PassParts[Any], ends: Result | Exception) -> None:
        super().__init__(parts)
        self.kind, self.ends = kind, ends
        self.untold: VsoError | None = None
        self.did: list[str] = []

    @property
    def model(self) -> type[Resource]:
        return MODELS[self.kind]

    async def look_over(self, look: Look[Resource, Any]) -> Result | VsoError:
        self.did.append("deleting" if look.record.deleting else "look")
        if isinstance(self.ends, Exception):
            raise self.ends
        return self.untold or self.ends

    def rest(self, key: ObjectKey) -> None:
        self.did.append("rest")

    def gone(self, uid: str) -> None:
        self.did.append(f"gone {uid}")


class Desk:
    def __init__(self, kind: Kind, kube: KubeClient, api: FakeApiServer, cluster: FakeCluster) -> None:
        clock = FakeClock()
        self.kind, self.api, self.cluster, self.watches = kind, api, cluster, Watches()
        reporter, self.events, self.freshness = reporter_for(kube, kind, clock)
        cache = self.watches.caches()[kind]
        parts: PassParts[Any] = PassParts(cache, Memories(), reporter, clock, Finalizers(kube, kind))
        self.reconciler = Scripted(kind, parts, Result(7))

    def put(self, *, status: Json | None = None, broken: bool = False, **metadata: Any) -> None:
        spec = SPECS[self.kind] | (BROKEN[self.kind][0] if broken else {})
        self.cluster.put(self.kind, "x", spec, **metadata)
        if status is not None:
            path = f"/apis/secrets.hashicorp.com/v1beta1/namespaces/app/{self.kind.plural}/x"
            self.cluster.objects[path]["status"] = status

    async def pass_over(self) -> Result:
        self.watches.show(self.kind, self.cluster.record(self.kind, "x"))
        return await self.reconciler.reconcile(key("x"))

    async def fails(self) -> Exception:
        with pytest.raises(Exception) as caught:  # noqa: PT011  whichever it is
            await self.pass_over()
        return caught.value

    def condition(self, type_: str) -> Json:
        conditions = self.cluster.status(self.kind, "x").get("conditions", ())
        return next((c for c in conditions if c["type"] == type_), {})


@pytest.fixture
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    cluster = FakeCluster()
    async with serving(cluster) as api, connected(api) as kube:
        yield Desk(getattr(request, "param", STATIC), kube, api, cluster)


EVERY_KIND = pytest.mark.parametrize("desk", list(Kind), indirect=True)


@EVERY_KIND
async def test_an_object_that_cannot_be_understood_is_stalled_with_the_field_and_not_looked_over(desk: Desk) -> None:
    desk.put(broken=True)
    for _ in range(2):
        error = await desk.fails()
    assert isinstance(error, ConfigError)
    assert error.reason is Reason.INVALID_SPEC
    assert desk.condition("Stalled")["reason"] == desk.condition("Ready")["reason"] == "InvalidSpec"
    assert BROKEN[desk.kind][1] in desk.condition("Stalled")["message"]
    assert len(desk.api.requests) == 1
    assert set(desk.reconciler.did) == {"rest"}
    await desk.events.flush()
    assert [event["reason"] for event in desk.cluster.events] == ["InvalidSpec"]


@EVERY_KIND
async def test_a_bug_is_told_in_the_status_and_goes_on_to_the_controller(desk: Desk) -> None:
    desk.put()
    desk.reconciler.ends = KeyError("s3cret")
    assert await desk.fails() is desk.reconciler.ends
    assert desk.condition("Reconciling")["reason"] == "InternalError"
    assert "KeyError" in desk.condition("Ready")["message"]
    assert "s3cret" not in str(desk.cluster.status(desk.kind, "x"))


async def test_what_the_status_told_before_is_kept_when_an_object_cannot_be_understood(desk: Desk) -> None:
    told = {"lastGeneration": 3, "destination": {"name": "x", "uid": "u", "resourceVersion": "7"}, "secretMAC": "bWFj"}
    desk.put(status={"observedGeneration": 3, "history": "torn", **told}, broken=True)
    await desk.fails()
    assert told.items() <= desk.cluster.status(STATIC, "x").items()


async def test_an_object_that_can_be_understood_again_is_looked_over_again(desk: Desk) -> None:
    desk.put(broken=True)
    await desk.fails()
    desk.put()
    assert await desk.pass_over() == Result(7)


async def test_an_object_whose_status_alone_is_torn_is_looked_over(desk: Desk) -> None:
    desk.put(status={"observedGeneration": "one", "conditions": 7})
    assert await desk.pass_over() == Result(7)
    assert desk.reconciler.did == ["look"]


@pytest.mark.parametrize("broken", [False, True], ids=["understood", "not-understood"])
async def test_an_object_on_its_way_out_loses_the_references_finalizer_and_is_not_spoken_of(
    desk: Desk, broken: bool
) -> None:
    finalizers = ["vaultstaticsecret.secrets.hashicorp.com/finalizer", "example.com/theirs"]
    desk.put(broken=broken, finalizers=finalizers, deletionTimestamp="2026-01-01T12:00:00Z")
    await desk.pass_over()
    assert [seen.json["metadata"]["finalizers"] for seen in desk.api.requests] == [["example.com/theirs"]]
    assert "look" not in desk.reconciler.did


async def test_an_error_that_is_raised_is_told_and_one_that_is_returned_is_not(desk: Desk) -> None:
    desk.put()
    desk.reconciler.untold = TransientError(Reason.ROLLOUT_RESTART_FAILED, "said already")
    assert await desk.fails() is desk.reconciler.untold
    assert desk.api.requests == []
    desk.reconciler.ends = TransientError(Reason.VAULT_SEALED, "sealed")
    assert await desk.fails() is desk.reconciler.ends
    assert desk.condition("Reconciling")["reason"] == "VaultSealed"


async def test_what_is_gone_is_forgotten(desk: Desk) -> None:
    desk.put()
    await desk.pass_over()
    desk.watches.writers[STATIC].delete(key("x"))
    assert await desk.reconciler.reconcile(key("x")) == Result()
    assert desk.reconciler.did == ["look", "rest", "gone uid-of-x"]
    assert desk.freshness.left == [key("x")]


async def test_a_secret_stays_and_is_polled_no_more_when_its_object_cannot_be_understood(home: House) -> None:
    await home.pass_over()
    stored = home.cluster.secrets.stored["db"]
    home.static(type="kv-v3")
    with pytest.raises(ConfigError):
        await home.pass_over()
    assert home.cluster.secrets.stored["db"] == stored
    assert home.poller.sources() == 0
    assert home.status()["destination"]["name"] == "db"
    home.static()
    await home.pass_over()
    assert home.condition("Ready")["status"] == "True"
    assert home.cluster.secrets.stored["db"]["metadata"]["uid"] == stored["metadata"]["uid"]
    assert home.poller.sources() == 1
