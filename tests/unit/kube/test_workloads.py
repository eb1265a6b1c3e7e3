"""Restart patches."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.kube_transport import Reply, connected, serving, status
from vso.core.errors import ConfigError, Reason
from vso.kube.workloads import (
    RESTARTED_AT,
    Workload,
    digest_mark,
    restart,
    rollout_patch,
    template_patch,
    unless_restarted,
)

MARK = digest_mark("VaultStaticSecret/db")
MARKS = {MARK: "d"}
NOW = datetime(2026, 1, 1, 12, 0, 0, 900_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "resource"),
    [("Deployment", "deployments"), ("StatefulSet", "statefulsets"), ("DaemonSet", "daemonsets")],
)
async def test_a_workload_is_patched_once(kind: str, resource: str) -> None:
    async with serving(lambda _: Reply(200, {})) as server, connected(server) as client:
        await restart(client, Workload("app", kind, "web"), MARKS, NOW)
    (seen,) = server.requests
    assert seen.path == f"/apis/apps/v1/namespaces/app/{resource}/web"
    assert seen.headers["Content-Type"] == "application/strategic-merge-patch+json"
    assert seen.json == template_patch(MARKS, NOW)


def test_the_template_carries_time_and_digest() -> None:
    annotations = template_patch(MARKS, NOW)["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {
        "vso.secrets.hashicorp.com/restartedAt": "2026-01-01T12:00:00Z",
        MARK: "d",
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
    patch = rollout_patch(MARKS, NOW, rollout(previous, restarted_for))
    assert patch == {"metadata": {"annotations": MARKS}, "spec": {"restartAt": expected}}


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
    assert (rollout_patch(MARKS, NOW, rollout(previous, "d")) is not None) == again


def rollout(restart_at: object, digest: str | None) -> dict[str, Any]:
    annotations = {} if digest is None else {MARK: digest}
    return {"metadata": {"annotations": annotations}, "spec": {"restartAt": restart_at}}


async def test_a_rollout_is_read_and_patched() -> None:
    async with serving() as server, connected(server, clock=FakeClock(NOW)) as client:
        server.script.extend([Reply(200, {"spec": {"restartAt": "2026-01-01T12:00:00Z"}}), Reply(200, {})])
        await restart(client, Workload("app", "argo.Rollout", "web"), MARKS, NOW)
    read, patched = server.requests
    assert (read.method, patched.method) == ("GET", "PATCH")
    assert patched.json["spec"] == {"restartAt": "2026-01-01T12:00:01Z"}


async def test_a_rollout_that_has_its_restart_is_not_written() -> None:
    async with serving() as server, connected(server) as client:
        server.script.append(Reply(200, rollout("2026-01-01T12:00:00Z", "d")))
        await restart(client, Workload("app", "argo.Rollout", "web"), MARKS, NOW)
    assert [seen.method for seen in server.requests] == ["GET"]


@pytest.mark.parametrize("kind", ["Deployment", "argo.Rollout", "CronJob"])
async def test_what_cannot_be_restarted_is_named(kind: str) -> None:
    async with serving(lambda _: status(404, "NotFound")) as server, connected(server) as client:
        with pytest.raises(ConfigError, match=kind) as caught:
            await restart(client, Workload("app", kind, "web"), MARKS, NOW)
    assert caught.value.reason is Reason.ROLLOUT_RESTART_FAILED


def test_each_object_has_a_mark_of_its_own_that_says_nothing_else() -> None:
    names = [f"{kind}/{name}" for kind in ("VaultStaticSecret", "VaultDynamicSecret") for name in ("db", "x" * 253)]
    marks = {digest_mark(name) for name in names}
    assert len(marks) == 4
    assert all(len(mark.partition("/")[2]) <= 63 for mark in marks)


OTHER = digest_mark("VaultDynamicSecret/db")


@pytest.mark.parametrize(
    ("seen", "marks", "at"),
    [
        pytest.param({}, {MARK: "d", OTHER: "e"}, "2026-01-01T12:00:00Z", id="never-restarted"),
        pytest.param({MARK: "d"}, {OTHER: "e"}, "2026-01-01T12:00:00Z", id="for-one-of-them"),
        pytest.param({MARK: "c", OTHER: "e"}, {MARK: "d"}, "2026-01-01T12:00:00Z", id="for-older-data"),
        pytest.param(
            {RESTARTED_AT: "2026-01-01T13:00:00Z"}, {MARK: "d", OTHER: "e"}, "2026-01-01T13:00:00Z", id="later"
        ),
        pytest.param(
            {RESTARTED_AT: "nonsense"}, {MARK: "d", OTHER: "e"}, "2026-01-01T12:00:00Z", id="nobody-knows-when"
        ),
    ],
)
def test_a_shared_template_gets_the_marks_that_it_lacks_and_no_earlier_time(
    seen: dict[str, str], marks: dict[str, str], at: str
) -> None:
    patch = unless_restarted({MARK: "d", OTHER: "e"}, NOW, template(seen))
    assert patch == template({RESTARTED_AT: at, **marks})


def test_a_shared_template_with_every_mark_is_left_alone() -> None:
    seen = {RESTARTED_AT: "2026-01-01T13:00:00Z", MARK: "d", OTHER: "e", "foreign": "x"}
    assert unless_restarted({MARK: "d"}, NOW, template(seen)) is None


def template(annotations: dict[str, str]) -> dict[str, Any]:
    return {"spec": {"template": {"metadata": {"annotations": annotations}}}}


@pytest.mark.parametrize(("seen", "queries"), [({}, ["All", None]), (MARKS, ["All"])], ids=["owed", "paid"])
async def test_a_shared_workload_is_looked_at_by_a_dry_run_first(
    seen: dict[str, str], queries: list[str | None]
) -> None:
    async with serving(lambda _: Reply(200, template(seen))) as server, connected(server) as client:
        await restart(client, Workload("app", "Deployment", "web"), MARKS, NOW, shared=True)
    assert [request.query.get("dryRun") for request in server.requests] == queries
    assert server.requests[0].json == {}
