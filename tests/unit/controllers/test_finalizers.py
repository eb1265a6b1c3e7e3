from __future__ import annotations

import pytest

from tests.fakes.cluster import FakeCluster
from tests.fakes.kube_transport import connected, serving
from vso.controllers.finalizers import Finalizers
from vso.controllers.memory import version_number
from vso.core.keys import Kind
from vso.kube.errors import ConflictError

FOREIGN = "example.com/keep"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Kind.VAULT_STATIC_SECRET, "vaultstaticsecret.secrets.hashicorp.com/finalizer"),
        (Kind.VAULT_CONNECTION, "vaultconnection.secrets.hashicorp.com/finalizer"),
        (Kind.VAULT_AUTH, "vaultauth.secrets.hashicorp.com/finalizer"),
        (Kind.VAULT_PKI_SECRET, "vaultpkisecrets.secrets.hashicorp.com/finalizer"),
    ],
)
async def test_the_references_finalizer_goes_and_others_stay(kind: Kind, name: str) -> None:
    cluster = FakeCluster()
    record = cluster.put(kind, "x", {}, finalizers=[FOREIGN, name])
    async with serving(cluster) as api, connected(api) as kube:
        released = await Finalizers(kube, kind).release(record, (FOREIGN, name))
        assert released > version_number(record.resource_version)
        assert api.requests[0].json["metadata"] == {
            "resourceVersion": record.resource_version,
            "finalizers": [FOREIGN],
        }


async def test_where_there_is_none_of_ours_nothing_is_asked() -> None:
    cluster = FakeCluster()
    record = cluster.put(Kind.VAULT_AUTH, "x", {}, finalizers=[FOREIGN])
    async with serving(cluster) as api, connected(api) as kube:
        finalizers = Finalizers(kube, Kind.VAULT_AUTH)
        assert await finalizers.release(record, (FOREIGN,)) == 0
        assert await finalizers.release(record, ()) == 0
        assert api.requests == []


async def test_an_object_that_went_meanwhile_is_released() -> None:
    cluster = FakeCluster()
    record = cluster.put(Kind.VAULT_AUTH, "x", {})
    cluster.objects.clear()
    async with serving(cluster) as api, connected(api) as kube:
        name = "vaultauth.secrets.hashicorp.com/finalizer"
        assert await Finalizers(kube, Kind.VAULT_AUTH).release(record, (name,)) == 0


async def test_an_object_that_moved_on_is_a_conflict() -> None:
    cluster = FakeCluster()
    record = cluster.put(Kind.VAULT_AUTH, "x", {})
    cluster.put(Kind.VAULT_AUTH, "x", {"mount": "new"})
    async with serving(cluster) as api, connected(api) as kube:
        with pytest.raises(ConflictError):
            await Finalizers(kube, Kind.VAULT_AUTH).release(record, ("vaultauth.secrets.hashicorp.com/finalizer",))


async def test_the_finalizer_is_put_on_once_and_others_stay() -> None:
    cluster, ours = FakeCluster(), "vaultdynamicsecret.secrets.hashicorp.com/finalizer"
    record = cluster.put(Kind.VAULT_DYNAMIC_SECRET, "x", {}, finalizers=[FOREIGN])
    async with serving(cluster) as api, connected(api) as kube:
        finalizers = Finalizers(kube, Kind.VAULT_DYNAMIC_SECRET)
        held = await finalizers.hold(record, (FOREIGN,), record.resource_version)
        assert held > version_number(record.resource_version)
        assert api.requests[0].json["metadata"]["finalizers"] == [FOREIGN, ours]
        assert await finalizers.hold(record, (FOREIGN, ours), str(held)) == 0
        assert len(api.requests) == 1
        with pytest.raises(ConflictError):
            await finalizers.hold(record, (FOREIGN,), record.resource_version)
