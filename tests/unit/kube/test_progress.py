"""Whether the pods of a workload run with the data that it was restarted for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.kube_transport import Reply, connected, serving, status
from vso.kube.progress import is_rolled_out, rolled_out
from vso.kube.workloads import Workload, digest_mark

MARK = digest_mark("VaultDynamicSecret/db")
DONE = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}
PLACED = {"observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}


def workload(found: dict[str, Any], digest: str = "d") -> dict[str, Any]:
    template = {"metadata": {"annotations": {MARK: digest, digest_mark("VaultStaticSecret/db"): "other"}}}
    return {"metadata": {"generation": 2}, "spec": {"replicas": 3, "template": template}, "status": found}


@pytest.mark.parametrize(
    ("kind", "seen", "expected"),
    [
        pytest.param("Deployment", workload(DONE), True, id="done"),
        pytest.param("Deployment", workload(DONE, "older"), False, id="for-older-data"),
        pytest.param("Deployment", workload({}), False, id="not-looked-at"),
        pytest.param("Deployment", workload({**DONE, "observedGeneration": 1}), False, id="older-generation"),
        pytest.param("Deployment", workload({**DONE, "updatedReplicas": 2}), False, id="one-to-update"),
        pytest.param("Deployment", workload({**DONE, "replicas": 4}), False, id="an-old-one-left"),
        pytest.param("Deployment", workload({**DONE, "terminatingReplicas": 1}), False, id="an-old-one-going"),
        pytest.param("Deployment", workload({**DONE, "terminatingReplicas": 0}), True, id="none-going"),
        pytest.param("Deployment", workload({**DONE, "availableReplicas": 2}), False, id="one-not-available"),
        pytest.param("StatefulSet", workload(DONE), True, id="set-done"),
        pytest.param("StatefulSet", workload({**DONE, "updatedReplicas": 2}), False, id="set-one-to-update"),
        pytest.param("DaemonSet", workload(PLACED), True, id="on-each-node"),
        pytest.param("DaemonSet", workload({**PLACED, "numberAvailable": 2}), False, id="one-node-lacks"),
    ],
)
def test_a_rollout_is_through_when_all_runs_with_the_data(kind: str, seen: dict[str, Any], *, expected: bool) -> None:
    assert is_rolled_out(kind, seen, MARK, "d") is expected


async def test_the_workload_is_seen_by_a_dry_run_that_changes_nothing() -> None:
    async with serving(lambda _: Reply(200, workload(DONE))) as server, connected(server) as client:
        assert await rolled_out(client, Workload("app", "Deployment", "web"), MARK, "d")
    (seen,) = server.requests
    assert (seen.method, seen.query.get("dryRun"), seen.json) == ("PATCH", "All", {})


async def test_a_workload_that_is_gone_has_no_pods_left() -> None:
    async with serving(lambda _: status(404, "NotFound")) as server, connected(server) as client:
        assert await rolled_out(client, Workload("app", "Deployment", "web"), MARK, "d")
