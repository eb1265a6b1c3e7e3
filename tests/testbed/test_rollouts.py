"""Rollouts: they take place, at the pace that the workload's pods have, and touch no other scenario's pods."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from tests.testbed.bed import Json, always, eventually
from tests.testbed.real import RealBed
from tests.testbed.rollouts import NODES, Kind, Rollouts, Workload, rolled_out
from tests.testbed.stages import Pace

_numbers = itertools.count(1)


@pytest.fixture
def rollouts(real_bed: RealBed) -> Rollouts:
    return real_bed.rollouts()


@pytest.fixture
def namespace(real_bed: RealBed) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"rollouts-{next(_numbers)}"
    real_bed.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    real_bed.kube.delete("Namespace", None, name)


def uids(pods: list[Json]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}


def workload(status: Json, kind: Kind = "Deployment") -> Json:
    return {"kind": kind, "metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": status}


DONE = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}
PLACED = {"observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(workload({}), False, id="not-looked-at"),
        pytest.param(workload(DONE), True, id="done"),
        pytest.param(workload({**DONE, "observedGeneration": 1}), False, id="older-generation"),
        pytest.param(workload({**DONE, "updatedReplicas": 2}), False, id="one-to-update"),
        pytest.param(workload({**DONE, "replicas": 4}), False, id="an-old-one-left"),
        pytest.param(workload({**DONE, "availableReplicas": 2}), False, id="one-not-available"),
        pytest.param(
            workload({**DONE, "currentRevision": "a", "updateRevision": "b"}, "StatefulSet"), False, id="revisions"
        ),
        pytest.param(
            workload({**DONE, "currentRevision": "b", "updateRevision": "b"}, "StatefulSet"), True, id="one-revision"
        ),
        pytest.param(workload(PLACED, "DaemonSet"), True, id="on-each-node"),
        pytest.param(workload({**PLACED, "numberAvailable": 2}, "DaemonSet"), False, id="one-node-lacks"),
        pytest.param(workload({"observedGeneration": 2}, "DaemonSet"), False, id="on-no-node"),
    ],
)
def test_a_rollout_is_through_when_all_runs_what_is_wanted(found: Json, expected: bool) -> None:
    assert rolled_out(found) is expected


@pytest.mark.real
@pytest.mark.parametrize("kind", get_args(Kind))
def test_three_replicas_roll_out_and_a_restart_replaces_each(rollouts: Rollouts, namespace: str, kind: Kind) -> None:
    app = Workload(namespace, kind=kind)
    rollouts.apply(app)
    before = rollouts.pods(app)
    assert len(before) == 3
    assert {pod["spec"]["nodeName"] for pod in before} <= set(NODES)
    rollouts.restart(app)
    rollouts.wait_available(app)
    after = rollouts.pods(app)
    assert len(after) == 3
    assert not uids(before) & uids(after)


@pytest.mark.real
def test_a_slow_rollout_takes_its_time(rollouts: Rollouts, namespace: str) -> None:
    app = Workload(namespace, replicas=1, pace=Pace(ready_after=4, only_restarts=True))
    rollouts.apply(app)
    rollouts.restart(app)
    always(lambda: not rollouts.available(app), during=2)
    rollouts.wait_available(app)


@pytest.mark.real
@pytest.mark.parametrize("outcome", ["stuck", "crash"])
def test_a_restart_hangs_until_it_is_released(rollouts: Rollouts, namespace: str, outcome: Any) -> None:
    app = Workload(namespace, pace=Pace(outcome=outcome, only_restarts=True))
    rollouts.apply(app)
    before = rollouts.pods(app)
    rollouts.restart(app)
    eventually(lambda: len(rollouts.pods(app)) == 4, message="one new pod beside the three")
    if outcome == "crash":
        eventually(lambda: "CrashLoopBackOff" in str(rollouts.pods(app)), message="the new one crashes")
    always(lambda: not rollouts.available(app), during=1)
    assert uids(before) < uids(rollouts.pods(app))
    rollouts.release(app)
    assert not uids(before) & uids(rollouts.pods(app))


@pytest.mark.real
def test_pods_linger_when_the_rollout_is_through(rollouts: Rollouts, namespace: str, real_bed: RealBed) -> None:
    app = Workload(namespace, replicas=1, pace=Pace(lingers=3))
    rollouts.apply(app)
    rollouts.restart(app)
    rollouts.wait_available(app)
    (running,) = rollouts.pods(app)
    assert len(real_bed.kube.list("Pod", namespace)) == 2, "the old one is going"
    eventually(lambda: uids(real_bed.kube.list("Pod", namespace)) == uids([running]), message="the old one is gone")


@pytest.mark.real
def test_pods_of_other_scenarios_stay_pending(rollouts: Rollouts, namespace: str, real_bed: RealBed) -> None:
    labels = {"app": "other"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    for kind in ("Deployment", "DaemonSet"):
        meta = {"name": "other", "namespace": namespace}
        spec = {"selector": {"matchLabels": labels}, "template": template}
        real_bed.kube.apply({"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": spec})
    app = Workload(namespace)
    rollouts.apply(app)
    (pod,) = eventually(lambda: real_bed.kube.list("Pod", namespace, labelSelector="app=other"))
    assert pod["status"]["phase"] == "Pending"
    assert "nodeName" not in pod["spec"]
    assert "conditions" not in pod["status"]
    assert real_bed.kube.find("DaemonSet", namespace, "other")["status"]["desiredNumberScheduled"] == 0
