"""How far a workload's consumers are, by kind."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.kube_transport import Reply, connected, serving, status
from vso.kube.progress import is_rolled_out, rolled_out
from vso.kube.workloads import SECRET_DIGEST

DIGEST = "d1"
DONE = {"updatedReplicas": 2, "availableReplicas": 2, "replicas": 2, "observedGeneration": 3}
DAEMONS = {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2, "observedGeneration": 3}


def workload(told: dict[str, Any], digest: str = DIGEST, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"annotations": {SECRET_DIGEST: digest}}}
    return {"metadata": {"generation": 3}, "spec": {"replicas": 2, "template": template, **spec}, "status": told}


@pytest.mark.parametrize(
    ("kind", "seen", "expected"),
    [
        pytest.param("Deployment", workload(DONE), True, id="done"),
        pytest.param("Deployment", workload(DONE, "d0"), False, id="other-digest"),
        pytest.param("Deployment", workload({**DONE, "observedGeneration": 2}), False, id="not-looked-at-yet"),
        pytest.param("Deployment", workload({**DONE, "updatedReplicas": 1}), False, id="half-way"),
        pytest.param("Deployment", workload({**DONE, "availableReplicas": 1}), False, id="not-available"),
        pytest.param("Deployment", workload({**DONE, "replicas": 3}), False, id="an-old-pod-lives"),
        pytest.param("Deployment", workload({"observedGeneration": 3}, replicas=0), True, id="scaled-to-zero"),
        pytest.param("Deployment", {}, False, id="nothing-known"),
        pytest.param("StatefulSet", workload(DONE), True, id="set-done"),
        pytest.param("StatefulSet", workload({**DONE, "updatedReplicas": 1}), False, id="set-half-way"),
        pytest.param("StatefulSet", workload({**DONE, "availableReplicas": 1}), False, id="set-not-available"),
        pytest.param("DaemonSet", workload(DAEMONS), True, id="daemons-done"),
        pytest.param("DaemonSet", workload({**DAEMONS, "updatedNumberScheduled": 1}), False, id="daemons-half-way"),
        pytest.param("DaemonSet", workload({**DAEMONS, "numberAvailable": 1}), False, id="daemons-not-available"),
        pytest.param("DaemonSet", workload({"observedGeneration": 3}), True, id="daemons-nowhere"),
    ],
)
def test_a_workload_is_judged_by_its_status(kind: str, seen: dict[str, Any], expected: bool) -> None:
    assert is_rolled_out(kind, seen, DIGEST) is expected


@pytest.mark.parametrize(
    ("digest", "restarted", "expected"),
    [
        (DIGEST, "2026-01-01T12:00:00Z", True),
        (DIGEST, "2026-01-01T11:59:59Z", False),
        (DIGEST, None, False),
        ("d0", "2026-01-01T12:00:00Z", False),
    ],
)
def test_a_rollout_of_argo_tells_when_it_restarted(digest: str, restarted: str | None, expected: bool) -> None:
    told = {} if restarted is None else {"restartedAt": restarted}
    meta = {"annotations": {SECRET_DIGEST: digest}}
    seen = {"metadata": meta, "spec": {"restartAt": "2026-01-01T12:00:00Z"}, "status": told}
    assert is_rolled_out("argo.Rollout", seen, DIGEST) is expected


@pytest.mark.parametrize(
    ("kind", "verb"),
    [("Deployment", "PATCH"), ("StatefulSet", "PATCH"), ("DaemonSet", "PATCH"), ("argo.Rollout", "GET")],
)
async def test_asking_takes_no_right_that_restarts_do_not(kind: str, verb: str) -> None:
    async with serving(lambda _: Reply(200, workload(DONE, "d0"))) as api, connected(api) as kube:
        assert not await rolled_out(kube, "app", kind, "web", DIGEST)
        (request,) = api.requests
        assert (request.method, request.query.get("dryRun")) == (verb, "All" if verb == "PATCH" else None)
        assert not request.json


async def test_a_workload_that_is_gone_or_unknown_has_no_consumers() -> None:
    async with serving(lambda _: status(404, "NotFound")) as api, connected(api) as kube:
        assert await rolled_out(kube, "app", "Deployment", "web", DIGEST)
        assert await rolled_out(kube, "app", "CronJob", "web", DIGEST)
        assert len(api.requests) == 1
