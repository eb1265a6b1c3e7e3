from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.fakes.clock import T0, FakeClock, settle
from tests.fakes.cluster import FakeCluster
from tests.fakes.kube_transport import FakeApiServer, connected, serving
from vso.api.shared import RolloutTarget
from vso.controllers.restarts import Owed, Restarted, Restarts
from vso.core.keys import ObjectKey
from vso.kube.workloads import digest_mark

WEB = RolloutTarget(kind="Deployment", name="web")
DAEMON = RolloutTarget(kind="DaemonSet", name="agent")
ROLLOUT = RolloutTarget(kind="argo.Rollout", name="canary")


def mark(name: str) -> str:
    return digest_mark(f"VaultStaticSecret/{name}")


def owed(name: str, rotated: datetime | None = T0) -> Owed:
    return Owed(ObjectKey("app", name), {mark(name): "digest-2"}, rotated)


async def restart(
    cluster: FakeCluster, *targets: RolloutTarget, already: tuple[str, ...] = ()
) -> tuple[Restarted, FakeApiServer]:
    async with serving(cluster) as api, connected(api) as kube:
        return await Restarts(kube).restart(owed("db"), targets, already=already), api


def with_workloads() -> FakeCluster:
    cluster = FakeCluster()
    cluster.workload("/apis/apps/v1/namespaces/app/deployments", "web")
    cluster.workload("/apis/argoproj.io/v1alpha1/namespaces/app/rollouts", "canary")
    return cluster


def template(body: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = body["spec"]["template"]["metadata"]["annotations"]
    return found


async def test_the_patch_names_the_rotation_and_the_data() -> None:
    restarted, api = await restart(with_workloads(), WEB)
    assert restarted == Restarted(("Deployment app/web",), ())
    assert template(api.requests[0].json) == {
        "vso.secrets.hashicorp.com/restartedAt": "2026-01-01T12:00:00Z",
        mark("db"): "digest-2",
    }


async def test_one_that_fails_does_not_stop_the_others_and_each_is_named() -> None:
    restarted, _ = await restart(with_workloads(), DAEMON, WEB, ROLLOUT)
    assert restarted.done == ("Deployment app/web", "argo.Rollout app/canary")
    assert restarted.problem == "DaemonSet app/agent does not exist"


async def test_a_target_whose_name_is_a_path_is_refused_and_asks_nothing() -> None:
    restarted, api = await restart(with_workloads(), RolloutTarget(kind="Deployment", name="../pods/x"), WEB)
    assert restarted.done == ("Deployment app/web",)
    assert "spec.rolloutRestartTargets[0].name is '../pods/x'" in restarted.problem
    assert [seen.path.rpartition("/")[2] for seen in api.requests] == ["web"]


async def test_those_that_have_it_already_are_left_alone_and_count() -> None:
    restarted, api = await restart(with_workloads(), WEB, ROLLOUT, already=("argo.Rollout app/canary",))
    assert restarted.done == ("Deployment app/web", "argo.Rollout app/canary")
    assert [seen.method for seen in api.requests] == ["PATCH"]


async def test_nothing_failed_is_no_problem() -> None:
    assert Restarted(("Deployment app/web",), ()).problem == ""


# Workloads that several objects share.

WINDOW = 2.0


@dataclass
class Shared:
    """A workload that is shared, and what pays the restarts that are owed to it."""

    clock: FakeClock
    cluster: FakeCluster
    api: FakeApiServer
    restarts: Restarts

    def owe(self, group: asyncio.TaskGroup, name: str, rotated: datetime | None = T0) -> asyncio.Task[Restarted]:
        return group.create_task(self.restarts.restart(owed(name, rotated), [WEB]))

    @property
    def patches(self) -> list[dict[str, str]]:
        return [template(seen.json) for seen in self.api.requests if "dryRun" not in seen.query]


@pytest.fixture
async def shared() -> AsyncIterator[Shared]:
    clock, cluster = FakeClock(), with_workloads()
    async with serving(cluster) as api, connected(api, clock=clock) as kube:
        yield Shared(clock, cluster, api, Restarts(kube, window=WINDOW, is_shared=lambda workload: True))


async def test_those_that_come_within_the_window_share_one_restart_of_the_latest_time(shared: Shared) -> None:
    async with asyncio.TaskGroup() as group:
        first = shared.owe(group, "one")
        await shared.clock.advance(1.5)
        second = shared.owe(group, "two", T0 + timedelta(seconds=1))
        await settle()
        assert shared.api.requests == []
        await shared.clock.advance(0.5)
    assert first.result() == second.result() == Restarted(("Deployment app/web",), ())
    assert shared.patches == [
        {
            "vso.secrets.hashicorp.com/restartedAt": "2026-01-01T12:00:01Z",
            mark("one"): "digest-2",
            mark("two"): "digest-2",
        }
    ]


async def test_one_that_was_asked_for_shares_the_restart_and_leaves_the_time_to_the_others(shared: Shared) -> None:
    for rotations in ((None, None), (T0, None)):
        async with asyncio.TaskGroup() as group:
            for name, rotated in zip(("one", "two"), rotations, strict=True):
                shared.owe(group, name, rotated)
            await settle()
            await shared.clock.advance(WINDOW)
        shared.cluster.workload("/apis/apps/v1/namespaces/app/deployments", "web")["spec"] = {}
    marks = {mark("one"): "digest-2", mark("two"): "digest-2"}
    assert shared.patches == [marks, {"vso.secrets.hashicorp.com/restartedAt": "2026-01-01T12:00:00Z", **marks}]


async def test_whoever_comes_after_the_window_restarts_it_again(shared: Shared) -> None:
    for name in ("one", "two"):
        async with asyncio.TaskGroup() as group:
            shared.owe(group, name)
            await settle()
            await shared.clock.advance(WINDOW)
    assert [mark(name) in patch for name, patch in zip(("one", "two"), shared.patches, strict=True)] == [
        True,
        True,
    ]


async def test_what_was_paid_in_company_is_not_paid_again_alone(shared: Shared) -> None:
    for names in (("one", "two"), ("one",), ("two",)):  # the latter as after a crash: nobody remembers
        async with asyncio.TaskGroup() as group:
            for name in names:
                shared.owe(group, name, T0 + timedelta(seconds=len(name)))
            await settle()
            await shared.clock.advance(WINDOW)
    assert len(shared.patches) == 1


async def test_a_failure_is_everybodys_and_the_next_try_is_a_new_one(shared: Shared) -> None:
    shared.cluster.workloads.clear()
    async with asyncio.TaskGroup() as group:
        tasks = [shared.owe(group, name) for name in ("one", "two")]
        await settle()
        await shared.clock.advance(WINDOW)
    assert {task.result().problem for task in tasks} == {"Deployment app/web does not exist"}
    shared.cluster.workload("/apis/apps/v1/namespaces/app/deployments", "web")
    async with asyncio.TaskGroup() as group:
        again = shared.owe(group, "one")
        await settle()
        await shared.clock.advance(WINDOW)
    assert again.result().failed == ()


async def test_one_that_is_broken_off_leaves_nobody_waiting(shared: Shared) -> None:
    async with asyncio.TaskGroup() as group:
        first, second = shared.owe(group, "one"), shared.owe(group, "two")
        await settle()
        first.cancel()
        await settle()
        assert "broken off" in second.result().problem
        third = shared.owe(group, "two")
        await settle()
        await shared.clock.advance(WINDOW)
    assert third.result().failed == ()
    assert len(shared.patches) == 1


async def test_one_that_waits_and_gives_up_takes_nobody_along(shared: Shared) -> None:
    async with asyncio.TaskGroup() as group:
        first, second = shared.owe(group, "one"), shared.owe(group, "two")
        await settle()
        second.cancel()
        await settle()
        await shared.clock.advance(WINDOW)
    assert first.result().failed == ()
