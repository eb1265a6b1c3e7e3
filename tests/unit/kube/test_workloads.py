"""Restart patches."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.kube_transport import Reply, connected, serving, status
from vso.core.errors import ConfigError, Reason
from vso.kube.workloads import SECRET_DIGEST, restart, rollout_patch, template_patch

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
@pytest.mark.parametrize("restarted_for", [None, "of another Secret"])
def test_a_rollout_s_time_always_moves(previous: object, expected: str, restarted_for: str | None) -> None:
    patch = rollout_patch("d", NOW, rollout(previous, restarted_for))
    assert patch == {"metadata": {"annotations": {SECRET_DIGEST: "d"}}, "spec": {"restartAt": expected}}


@pytest.mark.parametrize(
    ("previous", "again"),
    [
        pytest.param("2026-01-01T11:00:00Z", False, id="for-this-data"),
        pytest.param("2999-01-01T00:00:00Z", False, id="which-had-to-move-on"),
        pytest.param("nonsense", True, id="nobody-knows-when"),
        pytest.param(None, True, id="somebody-took-it-back"),
    ],
)
def test_a_rollout_that_was_restarted_for_this_data_is_left_alone(previous: object, again: bool) -> None:
    assert (rollout_patch("d", NOW, rollout(previous, "d")) is not None) == again


def rollout(restart_at: object, digest: str | None) -> dict[str, Any]:
    annotations = {} if digest is None else {SECRET_DIGEST: digest}
    return {"metadata": {"annotations": annotations}, "spec": {"restartAt": restart_at}}


async def test_a_rollout_is_read_and_patched() -> None:
    async with serving() as server, connected(server, clock=FakeClock(NOW)) as client:
        server.script.extend([Reply(200, {"spec": {"restartAt": "2026-01-01T12:00:00Z"}}), Reply(200, {})])
        await restart(client, "app", "argo.Rollout", "web", "d", NOW)
    read, patched = server.requests
    assert (read.method, patched.method) == ("GET", "PATCH")
    assert patched.json["spec"] == {"restartAt": "2026-01-01T12:00:01Z"}


async def test_a_rollout_that_has_its_restart_is_not_written() -> None:
    async with serving() as server, connected(server) as client:
        server.script.append(Reply(200, rollout("2026-01-01T12:00:00Z", "d")))
        await restart(client, "app", "argo.Rollout", "web", "d", NOW)
    assert [seen.method for seen in server.requests] == ["GET"]


@pytest.mark.parametrize("kind", ["Deployment", "argo.Rollout", "CronJob"])
async def test_what_cannot_be_restarted_is_named(kind: str) -> None:
    async with serving(lambda _: status(404, "NotFound")) as server, connected(server) as client:
        with pytest.raises(ConfigError, match=kind) as caught:
            await restart(client, "app", kind, "web", "d", NOW)
    assert caught.value.reason is Reason.ROLLOUT_RESTART_FAILED
