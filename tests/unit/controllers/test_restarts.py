from __future__ import annotations

from typing import Any

from tests.fakes.clock import T0
from tests.fakes.cluster import FakeCluster
from tests.fakes.kube_transport import FakeApiServer, connected, serving
from vso.api.shared import RolloutTarget
from vso.controllers.restarts import Restarted, Restarts

WEB = RolloutTarget(kind="Deployment", name="web")
DAEMON = RolloutTarget(kind="DaemonSet", name="agent")
ROLLOUT = RolloutTarget(kind="argo.Rollout", name="canary")


async def restart(
    cluster: FakeCluster, *targets: RolloutTarget, already: tuple[str, ...] = ()
) -> tuple[Restarted, FakeApiServer]:
    async with serving(cluster) as api, connected(api) as kube:
        return await Restarts(kube).restart("app", targets, "digest-2", T0, already=already), api


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
        "vso.hashicorp.com/secret-digest": "digest-2",
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
