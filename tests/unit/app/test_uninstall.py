"""What happens before a release is deleted: the operator stops, then its finalizers go, everywhere."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.kube_transport import Reply, Request, connected, serving, status
from vso.app.uninstall import stop, uninstall

SCALE = "/apis/apps/v1/namespaces/vso-system/deployments/vault-secrets-operator/scale"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/vso-system/leases/b0d477c0.hashicorp.com"
OURS = "vaultdynamicsecret.secrets.hashicorp.com/finalizer"
Json = dict[str, Any]


@dataclass
class Cluster:
    """A Deployment with a number of pods, a Lease, and VaultDynamicSecrets."""

    pods: int | None = 1
    holder: str | None = "pod-1"
    renewed: int = 0
    objects: list[Json] = field(default_factory=list)
    asked_for: list[int] = field(default_factory=list)
    refused: str = ""

    def __call__(self, request: Request) -> Reply:
        if request.path == SCALE:
            return self._scale(request)
        if request.path == LEASE:
            return self._lease()
        if request.method == "PATCH":
            return self._patch(request)
        if request.path.endswith("vaultdynamicsecrets"):
            return Reply(200, {"metadata": {"resourceVersion": "9"}, "items": self.objects})
        return Reply(200, {"metadata": {"resourceVersion": "9"}, "items": []})

    def _scale(self, request: Request) -> Reply:
        if self.pods is None:
            return status(404, "NotFound")
        if request.method == "PATCH":
            self.asked_for.append(request.json["spec"]["replicas"])
        return Reply(200, {"status": {"replicas": self.pods}})

    def _lease(self) -> Reply:
        if self.holder is None:
            return status(404, "NotFound")
        spec = {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": 15,
            "renewTime": f"2026-01-01T12:00:{self.renewed:02}Z",
        }
        return Reply(200, {"metadata": {"resourceVersion": str(self.renewed)}, "spec": spec})

    def _patch(self, request: Request) -> Reply:
        name = request.path.rpartition("/")[2]
        if name == self.refused:
            return status(403, "Forbidden")
        (found,) = [item for item in self.objects if item["metadata"]["name"] == name]
        found["metadata"]["finalizers"] = request.json["metadata"]["finalizers"]
        return Reply(200, {"metadata": {"resourceVersion": "10"}})


def dynamic(name: str, *finalizers: str, namespace: str = "app") -> Json:
    meta = {"name": name, "namespace": namespace, "uid": name, "resourceVersion": "1", "finalizers": list(finalizers)}
    return {"metadata": meta, "spec": {}}


async def stopped_after(cluster: Cluster, clock: FakeClock, *seconds: float) -> list[bool]:
    """Whether `stop` has returned after each of the waits."""
    async with serving(cluster) as server, connected(server, clock=clock) as client:
        stopping = asyncio.ensure_future(stop(client, clock, "vso-system", "vault-secrets-operator"))
        seen = []
        for wait in seconds:
            for _ in range(200):  # answers come over a real socket
                await settle()
            await clock.advance(wait)
            for _ in range(200):
                await settle()
            seen.append(stopping.done())
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
    return seen


async def test_an_operator_that_has_let_go_is_not_waited_for() -> None:
    cluster = Cluster(pods=0, holder="")
    assert await stopped_after(cluster, FakeClock(), 0) == [True]
    assert cluster.asked_for == [0]


@pytest.mark.parametrize("cluster", [Cluster(pods=None, holder=None), Cluster(pods=None, holder="")])
async def test_what_is_gone_already_is_no_obstacle(cluster: Cluster) -> None:
    assert await stopped_after(cluster, FakeClock(), 0) == [True]


async def test_it_waits_while_a_pod_is_there() -> None:
    cluster = Cluster(pods=2, holder="")
    assert await stopped_after(cluster, FakeClock(), 1, 1) == [False, False]


async def test_a_leader_that_was_killed_is_waited_for_as_long_as_it_may_be_silent() -> None:
    assert await stopped_after(Cluster(pods=0), FakeClock(), 14, 2) == [False, True]


async def test_every_finalizer_of_ours_goes_and_no_other() -> None:
    cluster = Cluster(objects=[dynamic("a", OURS), dynamic("b", "foreign/x", OURS, namespace="b"), dynamic("c")])
    async with serving(cluster) as server, connected(server) as client:
        assert await uninstall(client, ())
    assert [item["metadata"]["finalizers"] for item in cluster.objects] == [[], ["foreign/x"], []]


async def test_one_that_cannot_be_released_does_not_hold_up_the_others() -> None:
    cluster = Cluster(objects=[dynamic("a", OURS), dynamic("b", OURS)], refused="a")
    async with serving(cluster) as server, connected(server) as client:
        assert not await uninstall(client, ())
    assert [item["metadata"]["finalizers"] for item in cluster.objects] == [[OURS], []]


async def test_kinds_that_are_served_no_more_hold_nothing() -> None:
    async with serving(lambda _: status(404, "NotFound")) as server, connected(server) as client:
        assert await uninstall(client, ())
    assert len({request.path for request in server.requests}) == 6


async def test_an_install_for_namespaces_asks_for_those_alone() -> None:
    async with serving(Cluster()) as server, connected(server) as client:
        assert await uninstall(client, ("a", "b"))
    assert {request.path.split("/")[5] for request in server.requests} == {"a", "b"}
