"""Restart patches."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.fakes.kube_transport import Reply, connected, serving, status
from vso.core.errors import ConfigError, Reason
from vso.kube.workloads import restart, rollout_patch, template_patch

NOW = datetime(2026, 1, 1, 12, 0, 0, 900_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "resource"),
    [("Deployment", "deployments"), ("StatefulSet", "statefulsets"), ("DaemonSet", "daemonsets")],
)
async def test_a_workload_is_patched_once(kind: str, resource: str) -> None:
    async with serving(lambda _: Reply(200, {})) as server, connected(server) as client:
        await restart(client, "app", kind, "web", "digest", NOW)
    (seen,) = server.requests
    assert seen.path == f"/apis/apps/v1/namespaces/app/{resource}/web"
    assert seen.headers["Content-Type"] == "application/strategic-merge-patch+json"
    assert seen.json == template_patch("digest", NOW)


def test_the_template_carries_time_and_digest() -> None:
    annotations = template_patch("d", NOW)["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {
        "vso.secrets.hashicorp.com/restartedAt": "2026-01-01T12:00:00Z",
        "vso.hashicorp.com/secret-digest": "d",
    }


@pytest.mark.parametrize(
    ("previous", "expected"),
    [
        (None, "2026-01-01T12:00:00Z"),
        ("2025-12-31T00:00:00Z", "2026-01-01T12:00:00Z"),
        ("2026-01-01T12:00:00Z", "2026-01-01T12:00:01Z"),
        ("2026-01-01T14:00:05+01:00", "2026-01-01T13:00:06Z"),
        ("nonsense", "2026-01-01T12:00:00Z"),
    ],
)
def test_a_rollout_s_time_always_moves(previous: object, expected: str) -> None:
    assert rollout_patch(NOW, previous) == {"spec": {"restartAt": expected}}


async def test_a_rollout_is_read_and_patched() -> None:
    async with serving() as server, connected(server) as client:
        server.script.extend([Reply(200, {"spec": {"restartAt": "2026-01-01T12:00:00Z"}}), Reply(200, {})])
        await restart(client, "app", "argo.Rollout", "web", "d", NOW)
    read, patched = server.requests
    assert (read.method, patched.method) == ("GET", "PATCH")
    assert patched.json == {"spec": {"restartAt": "2026-01-01T12:00:01Z"}}


@pytest.mark.parametrize("kind", ["Deployment", "argo.Rollout", "CronJob"])
async def test_what_cannot_be_restarted_is_named(kind: str) -> None:
    async with serving(lambda _: status(404, "NotFound")) as server, connected(server) as client:
        with pytest.raises(ConfigError, match=kind) as caught:
            await restart(client, "app", kind, "web", "d", NOW)
    assert caught.value.reason is Reason.ROLLOUT_RESTART_FAILED
