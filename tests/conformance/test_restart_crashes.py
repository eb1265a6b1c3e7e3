"""Restarts and crashes: an operator that dies, or an answer that is lost, makes no restart twice and drops none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from tests.conformance.restarting import (
    RESTARTED_AT,
    ask,
    marks,
    ready,
    restarted,
    restarts,
    rotate,
    target,
    wait_acknowledged,
    wait_for_looks,
    workload,
)
from tests.conformance.stage import Team
from tests.conformance.workloads import serve_rollouts
from tests.testbed.bed import Bed, always, eventually
from tests.testbed.operator import Operator
from tests.testbed.proxy import BlackHole, Cut, Proxy, path_has

LASTS = 20

BEHIND_A_PROXY = True
OPERATOR_ARGS = (
    "--backoff-initial-interval=500ms",
    "--backoff-max-interval=1s",
    "--leader-elect=false",  # a killed leader would be waited for
)


@pytest.fixture
def rollouts(bed: Bed) -> None:
    """The API server serves Argo Rollouts, as far as a restart needs them."""
    serve_rollouts(bed)


def test_a_crash_between_secret_and_restart_leads_to_exactly_one_restart(
    team: Team, operator: Operator, kube_proxy: Proxy
) -> None:
    workload(team, "Deployment", "app")
    mark = team.bed.mark()
    ready(team, target())
    on_the_way = path_has("/deployments/app", method="PATCH")
    kube_proxy.fault(BlackHole(), on_the_way)
    rotate(team)
    eventually(lambda: kube_proxy.count(on_the_way), message="the restart is on its way")
    operator.kill()
    kube_proxy.clear()
    assert restarts(team, mark) == []
    operator.start()
    operator.wait_ready()
    eventually(lambda: restarted(team), message="the restart that was owed")
    team.wait_condition("RolloutRestart")
    wait_for_looks(team)
    assert restarts(team, mark) == ["app"]


def test_a_crash_between_restart_and_status_restarts_nothing_twice(
    team: Team, operator: Operator, kube_proxy: Proxy
) -> None:
    workload(team, "Deployment", "app")
    ready(team, target())
    crash_before_the_status(team, operator, kube_proxy, lambda: restarted(team))
    first = marks(team)
    operator.start()
    operator.wait_ready()
    team.wait_condition("RolloutRestart")
    wait_for_looks(team)
    assert marks(team) == first
    assert team.bed.kube.find("Deployment", team.ns, "app")["metadata"]["generation"] == 2
    found = team.get()["status"]
    assert (found["history"][0]["version"], found["history"][0]["restart"]) == ("2", "Triggered")
    assert found["lastSyncTime"] == first[RESTARTED_AT]


@pytest.mark.usefixtures("rollouts")
def test_a_crash_between_the_restart_of_an_argo_rollout_and_the_status_restarts_nothing_twice(
    team: Team, operator: Operator, kube_proxy: Proxy
) -> None:
    def restart_at() -> str | None:
        found: str | None = team.bed.kube.find("Rollout", team.ns, "app")["spec"].get("restartAt")
        return found

    meta = {"name": "app", "namespace": team.ns}
    rollout = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": meta, "spec": {"replicas": 1}}
    team.bed.kube.apply(rollout)
    ready(team, target("argo.Rollout"))
    crash_before_the_status(team, operator, kube_proxy, restart_at)
    first = restart_at()
    operator.start()
    operator.wait_ready()
    team.wait_condition("RolloutRestart")
    wait_for_looks(team)
    assert restart_at() == first


@pytest.mark.usefixtures("rollouts")
@pytest.mark.parametrize("kind", ["Deployment", "argo.Rollout"])
def test_a_crash_before_a_restart_is_acknowledged_makes_no_second_one(
    team: Team, operator: Operator, kube_proxy: Proxy, kind: str
) -> None:
    if kind == "Deployment":
        workload(team, kind, "app")
    else:
        meta = {"name": "app", "namespace": team.ns}
        team.bed.kube.apply(
            {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": meta, "spec": {"replicas": 1}}
        )
    found = partial(team.bed.kube.find, kind.removeprefix("argo."), team.ns, "app")
    before = found()["spec"]
    ready(team, target(kind))
    crash_before_the_status(team, operator, kube_proxy, lambda: found()["spec"] != before, partial(ask, team, "now"))
    first = found()["spec"]
    operator.start()
    operator.wait_ready()
    wait_acknowledged(team, "now")
    wait_for_looks(team)
    assert found()["spec"] == first


def crash_before_the_status(
    team: Team,
    operator: Operator,
    kube_proxy: Proxy,
    restarted: Callable[[], object],
    cause: Callable[[], None] | None = None,
) -> None:
    """Kill the operator when a rotation, or another cause, has restarted its target and no status tells it yet."""
    on_the_way = path_has("vaultstaticsecrets/app/status", method="PATCH")
    kube_proxy.fault(BlackHole(), on_the_way)
    mark = kube_proxy.count(on_the_way)
    if cause is None:
        rotate(team)
    else:
        cause()
    eventually(restarted, message="the restart")
    eventually(lambda: kube_proxy.count(on_the_way) > mark, message="the status is on its way")
    operator.kill()
    kube_proxy.clear()
    first = restarted()
    # Times are told in seconds: what is done again is to be told from what was done before.
    always(lambda: restarted() == first, during=1.5)


def test_an_answer_that_is_lost_after_the_restart_rolls_nothing_twice(team: Team, kube_proxy: Proxy) -> None:
    workload(team, "Deployment", "app")
    ready(team, target())
    kube_proxy.fault(Cut(), path_has("/deployments/app", method="PATCH"), times=1)
    rotate(team)
    first = eventually(lambda: restarted(team), message="the restart")
    team.wait_condition("RolloutRestart")
    assert restarted(team) == first
    assert team.bed.kube.find("Deployment", team.ns, "app")["metadata"]["generation"] == 2
