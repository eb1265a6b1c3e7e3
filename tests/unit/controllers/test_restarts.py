from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.fakes.clock import T0, FakeClock, settle
from tests.fakes.cluster import FakeCluster
from tests.fakes.kube_transport import FakeApiServer, Reply, connected, serving
from vso.api.shared import RolloutTarget
from vso.controllers.restarts import Owed, Restarted, Restarts
from vso.core.keys import Kind, ObjectKey
from vso.kube.workloads import digest_mark

WEB = RolloutTarget(kind="Deployment", name="web")
DAEMON = RolloutTarget(kind="DaemonSet", name="agent")
ROLLOUT = RolloutTarget(kind="argo.Rollout", name="canary")


def mark(name: str) -> str:
    return digest_mark(f"VaultStaticSecret/{name}")


def owed(name: str, rotated: datetime | None = T0, digest: str = "digest-2") -> Owed:
    return Owed(Kind.VAULT_STATIC_SECRET, ObjectKey("app", name), {mark(name): digest}, rotated)


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
PAID = Restarted(("Deployment app/web",), ())
MISSING = "Deployment app/web does not exist"


@dataclass
class Shared:
    """A workload that is shared, and what pays the restarts that are owed to it."""

    clock: FakeClock
    cluster: FakeCluster
    api: FakeApiServer
    restarts: Restarts
    woken: list[str]
    alone: bool = False
    """Nobody else has the workload for a target at the moment."""

    async def owe(self, name: str, rotated: datetime | None = T0, digest: str = "digest-2") -> Restarted:
        return await self.restarts.restart(owed(name, rotated, digest), [WEB])

    async def waits(self, *names: str) -> list[float | None]:
        return [(await self.owe(name)).wait for name in names]

    async def paid(self, *names: str) -> list[str]:
        """Who is told that it is paid."""
        return [name for name in names if await self.owe(name) == PAID]

    def appears(self) -> None:
        self.cluster.workload("/apis/apps/v1/namespaces/app/deployments", "web")

    @property
    def patches(self) -> list[dict[str, str]]:
        return [template(seen.json) for seen in self.api.requests if "dryRun" not in seen.query]

    @property
    def company(self) -> list[list[str]]:
        """For whom each restart was."""
        names = ("one", "two", "three")
        return [[name for name in names if mark(name) in patch] for patch in self.patches]


@pytest.fixture
async def shared() -> AsyncIterator[Shared]:
    clock, cluster, woken = FakeClock(), with_workloads(), list[str]()
    async with serving(cluster) as api, connected(api, clock=clock) as kube:
        made = Shared(clock, cluster, api, Restarts(kube), woken)
        made.restarts = Restarts(
            kube,
            window=WINDOW,
            is_shared=lambda workload: not made.alone,
            wake=lambda kind, key: woken.append(key.name),
        )
        yield made


async def test_those_that_come_within_the_window_share_one_restart_of_the_latest_time(shared: Shared) -> None:
    assert await shared.owe("one") == Restarted((), (), wait=2.0)
    await shared.clock.advance(1.5)
    later = T0 + timedelta(seconds=1)
    assert await shared.owe("two", later) == Restarted((), (), wait=0.5)
    assert shared.api.requests == []
    await shared.clock.advance(0.5)
    assert await shared.owe("two", later) == PAID
    assert shared.woken == ["one"]
    assert await shared.owe("one") == PAID
    assert shared.patches == [
        {
            "vso.secrets.hashicorp.com/restartedAt": "2026-01-01T12:00:01Z",
            mark("one"): "digest-2",
            mark("two"): "digest-2",
        }
    ]


async def test_one_that_was_asked_for_shares_the_restart_and_leaves_the_time_to_the_others(shared: Shared) -> None:
    for rotations in ((None, None), (T0, None)):
        for _ in range(2):
            for name, rotated in zip(("one", "two"), rotations, strict=True):
                await shared.owe(name, rotated)
            await shared.clock.advance(WINDOW)
        shared.cluster.workloads.clear()
        shared.appears()
    marks = {mark("one"): "digest-2", mark("two"): "digest-2"}
    assert shared.patches == [marks, {"vso.secrets.hashicorp.com/restartedAt": "2026-01-01T12:00:00Z", **marks}]


async def test_whoever_comes_after_the_window_restarts_it_again(shared: Shared) -> None:
    for name in ("one", "two"):
        assert await shared.waits(name) == [WINDOW]
        await shared.clock.advance(WINDOW)
        assert await shared.paid(name) == [name]
    assert shared.company == [["one"], ["two"]]


async def test_what_was_paid_in_company_is_not_paid_again_alone(shared: Shared) -> None:
    for names in (("one", "two"), ("one",), ("two",)):  # the latter as after a crash: nobody remembers
        await shared.waits(*names)
        await shared.clock.advance(WINDOW)
        assert await shared.paid(*names) == list(names)
    assert shared.company == [["one", "two"]]


async def test_a_failure_is_everybodys_and_who_tries_again_pays_for_all_at_once(shared: Shared) -> None:
    shared.cluster.workloads.clear()
    await shared.waits("one", "two")
    await shared.clock.advance(WINDOW)
    for _ in range(2):
        assert [(await shared.owe(name)).problem for name in ("one", "two")] == [MISSING, MISSING]
        assert await shared.waits("three") == [WINDOW]
        shared.restarts.leave(Kind.VAULT_STATIC_SECRET, ObjectKey("app", "three"))
    shared.appears()
    assert await shared.paid("two", "one") == ["two"]
    await shared.clock.advance(WINDOW)
    assert await shared.paid("one") == ["one"]
    assert shared.company[-1] == ["one", "two"]
    assert len([patch for patch in shared.company if patch]) == 1


async def test_one_that_is_broken_off_leaves_nobody_waiting(shared: Shared) -> None:
    await shared.waits("one", "two")
    await shared.clock.advance(WINDOW)
    shared.cluster.refuse = lambda request: Reply(200, hang=True)
    async with asyncio.TaskGroup() as group:
        paying = group.create_task(shared.owe("one"))
        while not shared.api.requests:
            await settle()
        assert ((await shared.owe("two")).wait or 0) > WINDOW  # whoever pays wakes it before
        paying.cancel()
    assert shared.woken == ["two"]
    shared.cluster.refuse = None
    assert await shared.paid("two") == ["two"]
    assert shared.company == [["one", "two"]]


async def test_one_that_leaves_is_not_paid_for(shared: Shared) -> None:
    await shared.waits("one", "two")
    shared.restarts.leave(Kind.VAULT_STATIC_SECRET, ObjectKey("app", "one"))
    await shared.clock.advance(WINDOW)
    assert await shared.paid("two") == ["two"]
    assert shared.company == [["two"]]
    assert shared.woken == []


async def test_one_that_leaves_while_it_is_paid_for_in_vain_is_not_paid_for_again(shared: Shared) -> None:
    shared.cluster.workloads.clear()
    await shared.waits("one", "two")
    await shared.clock.advance(WINDOW)
    shared.cluster.refuse = lambda request: shared.restarts.leave(Kind.VAULT_STATIC_SECRET, ObjectKey("app", "one"))
    assert (await shared.owe("two")).problem == MISSING
    shared.cluster.refuse = None
    shared.appears()
    assert await shared.paid("two") == ["two"]
    assert shared.company[-1] == ["two"]


async def test_what_failed_in_company_is_forgotten_once_it_is_paid_alone(shared: Shared) -> None:
    shared.cluster.workloads.clear()
    await shared.waits("one", "two")
    await shared.clock.advance(WINDOW)
    await shared.paid("one", "two")
    shared.appears()
    shared.alone = True
    assert await shared.owe("one", digest="digest-3") == PAID
    shared.alone = False
    await shared.owe("three")
    await shared.clock.advance(WINDOW)
    assert await shared.paid("three") == ["three"]
    assert [patch.get(mark("one")) for patch in shared.patches if patch] == ["digest-3", None]


async def test_what_was_owed_under_an_earlier_lead_is_not_paid_under_the_next(shared: Shared) -> None:
    await shared.waits("one")
    shared.restarts.clear()
    await shared.clock.advance(60)
    assert await shared.waits("two") == [WINDOW]
    await shared.clock.advance(WINDOW)
    assert await shared.paid("two") == ["two"]
    assert shared.company == [["two"]]


async def test_a_workload_that_is_no_target_any_more_is_not_restarted(shared: Shared) -> None:
    await shared.waits("one")
    assert (await shared.restarts.restart(owed("one"), [DAEMON])).wait == WINDOW
    await shared.clock.advance(WINDOW)
    assert (await shared.restarts.restart(owed("one"), [DAEMON])).failed
    assert shared.patches == []


async def test_data_that_changes_again_while_it_waits_is_restarted_for_once(shared: Shared) -> None:
    await shared.owe("one")
    await shared.clock.advance(1.5)
    assert (await shared.owe("one", digest="digest-3")).wait == 0.5
    await shared.clock.advance(0.5)
    assert await shared.owe("one", digest="digest-3") == PAID
    assert [patch[mark("one")] for patch in shared.patches] == ["digest-3"]


async def test_data_that_changes_before_it_hears_that_it_was_paid_is_owed_still(shared: Shared) -> None:
    await shared.waits("one", "two")
    await shared.clock.advance(WINDOW)
    await shared.owe("two")
    assert (await shared.owe("one", digest="digest-3")).wait == WINDOW
    await shared.clock.advance(WINDOW)
    assert await shared.owe("one", digest="digest-3") == PAID
    assert [patch.get(mark("one")) for patch in shared.patches] == ["digest-2", "digest-3"]


async def test_a_target_that_is_named_twice_is_restarted_once(shared: Shared) -> None:
    for _ in range(2):
        restarted = await shared.restarts.restart(owed("one"), [WEB, WEB])
        await shared.clock.advance(WINDOW)
    assert restarted == PAID
    assert shared.company == [["one"]]
