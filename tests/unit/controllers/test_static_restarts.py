"""Crashes and restarts: what was written and not yet said is found out by the next pass, and restarts once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.house import STATIC, House
from tests.fakes.kube_transport import Reply, once, status
from vso.core.errors import Reason, TransientError

DEPLOYMENTS = "/apis/apps/v1/namespaces/app/deployments"
ROLLOUTS = "/apis/argoproj.io/v1alpha1/namespaces/app/rollouts"
CONFLICT = status(409, "Conflict", "the object has been modified")


async def test_a_crash_between_write_and_status_leads_to_no_second_change(home: House) -> None:
    home.cluster.refuse = once(status(500, "InternalError"), "PATCH", "/status")
    with pytest.raises(TransientError):
        await home.pass_over()
    stored = home.cluster.secrets.stored["db"]
    home.restarted()
    await home.pass_over()
    assert home.cluster.secrets.stored["db"] == stored
    assert home.condition("Ready")["status"] == "True"
    assert home.status()["destination"]["uid"] == stored["metadata"]["uid"]


async def test_a_status_that_moved_on_is_not_overwritten_and_looked_at_again(home: House) -> None:
    home.watches.show(STATIC, home.cluster.record(STATIC, "db"))
    home.static(metadata={"labels": {"a": "b"}})  # the watch is behind
    with pytest.raises(TransientError) as caught:
        await home.pass_over(caught_up=False)
    assert caught.value.reason is Reason.KUBERNETES_CONFLICT
    assert home.status() == {}
    await home.pass_over()
    assert home.condition("Ready")["status"] == "True"


# Restarts.


async def _change(home: House, value: str, version: int = 2) -> None:
    home.holds({"password": value}, version=version)
    await home.clock.advance(10)
    home.notes().source_changed = True


def _patches(home: House, name: str) -> list[Any]:
    return [seen.json for seen in home.requests("PATCH", f"deployments/{name}")]


async def test_no_restart_on_the_first_sync_and_one_per_change(home: House) -> None:
    home.static(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    home.cluster.workload(DEPLOYMENTS, "web")
    await home.pass_over()
    await home.pass_over()
    assert _patches(home, "web") == []
    await _change(home, "s3cret-2")
    await home.pass_over()
    await home.pass_over()
    assert len(_patches(home, "web")) == 1
    assert home.condition("RolloutRestart")["status"] == "True"
    assert home.status()["history"][0]["restart"] == "Triggered"


async def test_a_failed_restart_is_owed_and_paid_later(home: House) -> None:
    home.static(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    await home.pass_over()
    await _change(home, "s3cret-2")
    with pytest.raises(TransientError) as caught:
        await home.pass_over()
    assert caught.value.reason is Reason.ROLLOUT_RESTART_FAILED
    assert home.condition("RolloutRestart")["status"] == "False"
    assert "Deployment app/web" in home.condition("RolloutRestart")["message"]
    assert home.condition("Ready")["status"] == "True"
    home.cluster.workload(DEPLOYMENTS, "web")
    await home.clock.advance(10)
    await home.pass_over()
    assert home.condition("RolloutRestart")["status"] == "True"
    assert home.status()["rolledOutDigest"] == home.status()["secretMAC"]


async def test_a_target_that_took_its_restart_is_left_alone_while_another_is_missing(home: House) -> None:
    home.static(rolloutRestartTargets=[{"kind": "Deployment", "name": name} for name in ("web", "missing")])
    home.cluster.workload(DEPLOYMENTS, "web")
    await home.pass_over()
    await _change(home, "s3cret-2")
    for _ in range(3):
        with pytest.raises(TransientError):
            await home.pass_over()
        await home.clock.advance(10)
    assert len({str(patch) for patch in _patches(home, "web")}) == 1
    home.restarted()
    with pytest.raises(TransientError):
        await home.pass_over()
    assert len({str(patch) for patch in _patches(home, "web")}) == 1


async def test_a_restart_that_could_not_be_said_is_not_made_twice(home: House) -> None:
    home.static(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    home.cluster.workload(DEPLOYMENTS, "web")
    await home.pass_over()
    await _change(home, "s3cret-2")
    home.cluster.refuse = once(CONFLICT, "PATCH", "/status")
    with pytest.raises(TransientError):
        await home.pass_over()
    await home.clock.advance(10)
    await home.pass_over()
    assert len(_patches(home, "web")) == 1
    assert home.status()["sourceVersion"] == "2"
    assert home.status()["rolledOutDigest"] == home.status()["secretMAC"]


@pytest.mark.parametrize("targets", [("Deployment", DEPLOYMENTS), ("argo.Rollout", ROLLOUTS)])
async def test_a_crash_between_restart_and_status_leads_to_one_restart(home: House, targets: tuple[str, str]) -> None:
    kind, path = targets
    home.static(rolloutRestartTargets=[{"kind": kind, "name": "web"}])
    home.cluster.workload(path, "web")
    await home.pass_over()
    await _change(home, "s3cret-2")
    home.cluster.refuse = once(status(500, "InternalError"), "PATCH", "/status")
    with pytest.raises(TransientError):
        await home.pass_over()
    restarted = home.cluster.workload(path, "web")
    assert "spec" in restarted
    home.restarted()
    await home.clock.advance(10)
    await home.pass_over()
    assert home.cluster.workload(path, "web") == restarted
    assert home.status()["lastSyncTime"] == home.status()["history"][0]["time"] == "2026-01-01T12:00:10Z"
    assert home.status()["rolledOutDigest"] == home.status()["secretMAC"]


async def test_a_crash_after_labels_and_data_changed_together_leads_to_one_restart(home: House) -> None:
    home.static(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    home.cluster.workload(DEPLOYMENTS, "web")
    await home.pass_over()
    await _change(home, "s3cret-2")
    home.static(
        rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}],
        destination={"name": "db", "create": True, "labels": {"tier": "db"}, "transformation": {"excludeRaw": True}},
    )
    home.cluster.refuse = once(status(500, "InternalError"), "PATCH", "/status")
    with pytest.raises(TransientError):
        await home.pass_over()
    home.restarted()
    await home.clock.advance(10)
    await home.pass_over()
    assert len({str(patch) for patch in _patches(home, "web")}) == 1


async def test_a_restart_that_is_paid_later_has_the_time_of_the_rotation(home: House) -> None:
    home.static(rolloutRestartTargets=[{"kind": "Deployment", "name": name} for name in ("web", "late")])
    home.cluster.workload(DEPLOYMENTS, "web")
    await home.pass_over()
    await _change(home, "s3cret-2")
    with pytest.raises(TransientError):
        await home.pass_over()
    home.cluster.workload(DEPLOYMENTS, "late")
    await home.clock.advance(10)
    await home.pass_over()
    assert str(_patches(home, "late")[-1]) == str(_patches(home, "web")[0])


async def test_a_rotation_that_only_takes_keys_away_restarts_once_too_and_the_history_tells_when(home: House) -> None:
    home.holds({"password": "s3cret-1", "user": "app"})
    home.static(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    home.cluster.workload(DEPLOYMENTS, "web")
    await home.pass_over()
    await _change(home, "s3cret-1")
    home.cluster.refuse = once(status(500, "InternalError"), "PATCH", "/status")
    with pytest.raises(TransientError):
        await home.pass_over()
    home.restarted()
    await home.clock.advance(10)
    await home.pass_over()
    assert [entry["time"] for entry in home.status()["history"]] == ["2026-01-01T12:00:10Z", "2026-01-01T12:00:00Z"]
    assert len({str(patch) for patch in _patches(home, "web")}) == 1


@pytest.mark.parametrize("refusal", [CONFLICT, status(500, "InternalError")], ids=["conflict", "server-error"])
async def test_a_rotation_that_could_not_be_said_is_said_by_the_next_pass(home: House, refusal: Reply) -> None:
    await home.pass_over()
    await _change(home, "s3cret-2")
    refused = [refusal, refusal]
    home.cluster.refuse = lambda seen: refused.pop() if refused and seen.path.endswith("/status") else None
    with pytest.raises(TransientError):
        await home.pass_over()
    refused.clear()
    await home.pass_over()
    assert home.status()["sourceVersion"] == "2"
    assert len(home.status()["history"]) == 2
    before = len(home.api.requests)
    await home.pass_over()
    assert len(home.api.requests) == before


async def test_targets_that_come_later_are_not_restarted_for_data_they_started_with(home: House) -> None:
    await home.pass_over()
    home.static(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    home.cluster.workload(DEPLOYMENTS, "web")
    await home.pass_over()
    assert _patches(home, "web") == []
