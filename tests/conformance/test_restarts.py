"""Restarts: once per change of the data, never otherwise, retried until the target takes them."""

from __future__ import annotations

from functools import partial

import pytest

from tests.conformance.restarting import (
    RESTART,
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
from tests.testbed.bed import Bed, KubeError, always, eventually

LASTS = 25

OPERATOR_ARGS = ("--backoff-initial-interval=500ms", "--backoff-max-interval=1s")
MANUALLY_AT = "kubectl.kubernetes.io/restartedAt"
KINDS = ("Deployment", "StatefulSet", "DaemonSet")


@pytest.fixture
def rollouts(bed: Bed) -> None:
    """The API server serves Argo Rollouts, as far as a restart needs them."""
    serve_rollouts(bed)


def test_workloads_of_every_kind_are_restarted_once_per_change(team: Team) -> None:
    for kind in KINDS:
        workload(team, kind, kind.lower())
    mark = team.bed.mark()
    ready(team, *(target(kind, kind.lower()) for kind in KINDS))
    rotate(team)
    for kind in KINDS:
        eventually(partial(restarted, team, kind, kind.lower()), message=f"{kind} is restarted")
    team.wait_condition("RolloutRestart")
    wait_for_looks(team)
    assert sorted(restarts(team, mark)) == sorted(kind.lower() for kind in KINDS)


def test_neither_the_first_sync_nor_an_unchanged_refresh_restarts_anything(team: Team) -> None:
    workload(team, "Deployment", "app")
    mark = team.bed.mark()
    ready(team, target())
    wait_for_looks(team)
    team.put("app", {"password": "v1"})  # a new version that holds the same
    eventually(lambda: team.get()["status"]["sourceVersion"] == "2", message="the new version is seen")
    assert restarts(team, mark) == []
    assert marks(team) == {}


def test_two_changes_are_two_restarts_and_the_history_tells_them(team: Team) -> None:
    workload(team, "Deployment", "app")
    mark = team.bed.mark()
    ready(team, target())
    for password in ("v2", "v3"):
        rotate(team, password)
    history = eventually(lambda: h if len(h := team.get()["status"]["history"]) == 3 else None, message="three entries")
    assert restarts(team, mark) == ["app", "app"]
    assert [(entry["version"], entry.get("restart", "")) for entry in history] == [
        ("3", "Triggered"),
        ("2", "Triggered"),
        ("1", ""),
    ]


def test_a_change_of_labels_or_targets_alone_restarts_nothing(team: Team) -> None:
    for name in ("app", "second"):
        workload(team, "Deployment", name)
    mark = team.bed.mark()
    ready(team, target())
    team.patch({"spec": {"destination": {"labels": {"tier": "db"}}}})
    team.wait_ready()
    team.patch({"spec": {"rolloutRestartTargets": [target(), target(name="second")]}})
    team.wait_ready()
    assert restarts(team, mark) == []


def test_a_manual_restart_is_neither_undone_nor_repeated(team: Team) -> None:
    workload(team, "Deployment", "app")
    ready(team, target())
    rotate(team)
    first = eventually(lambda: restarted(team), message="the restart of the change")
    manual = {"spec": {"template": {"metadata": {"annotations": {MANUALLY_AT: "2026-01-01T00:00:00Z"}}}}}
    team.bed.kube.patch("Deployment", team.ns, "app", manual, type_="strategic")
    wait_for_looks(team)
    assert marks(team)[MANUALLY_AT] == "2026-01-01T00:00:00Z"
    assert restarted(team) == first


def test_every_missing_target_is_named_and_retried_until_it_exists(team: Team) -> None:
    workload(team, "Deployment", "app")
    mark = team.bed.mark()
    ready(team, target(name="late"), target(), target("StatefulSet", "later"))
    rotate(team)
    condition = team.wait_condition("RolloutRestart", "False", "RolloutRestartTriggeredFailed")
    assert f"Deployment {team.ns}/late" in condition["message"]
    assert f"StatefulSet {team.ns}/later" in condition["message"]
    assert f"Deployment {team.ns}/app" not in condition["message"]
    assert team.condition("Ready")["status"] == "True"
    workload(team, "Deployment", "late")
    workload(team, "StatefulSet", "later")
    team.wait_condition("RolloutRestart")
    assert sorted(restarts(team, mark)) == ["app", "late", "later"]
    assert team.get()["status"]["history"][0]["restart"] == "Triggered"
    assert len(eventually(lambda: team.events(reason="RolloutRestartTriggeredFailed"), message="it is told once")) == 1


def test_a_target_of_an_unknown_kind_stops_no_other(team: Team) -> None:
    workload(team, "Deployment", "app")
    team.access()
    team.put("app", {"password": "v1"})
    try:
        team.static(rolloutRestartTargets=[target("CronJob", "nightly"), target()])
    except KubeError as error:  # the API server says it before we do
        assert "CronJob" in error.message  # noqa: PT017
        return
    team.wait_ready()
    rotate(team)
    eventually(lambda: restarted(team), message="the Deployment is restarted")
    assert "CronJob" in team.wait_condition("RolloutRestart", "False")["message"]


@pytest.mark.usefixtures("rollouts")
def test_an_argo_rollout_is_restarted_through_its_own_field(team: Team) -> None:
    meta = {"name": "app", "namespace": team.ns}
    future = "2999-01-01T00:00:00Z"
    rollout = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": meta, "spec": {"replicas": 1}}
    team.bed.kube.apply(rollout)
    ready(team, target("argo.Rollout"))
    assert "restartAt" not in team.bed.kube.find("Rollout", team.ns, "app")["spec"]
    rotate(team)
    first = eventually(
        lambda: team.bed.kube.find("Rollout", team.ns, "app")["spec"].get("restartAt"), message="it is restarted"
    )
    assert first < future
    team.bed.kube.patch("Rollout", team.ns, "app", {"spec": {"restartAt": future}})
    rotate(team, "v3")
    eventually(
        lambda: team.bed.kube.find("Rollout", team.ns, "app")["spec"]["restartAt"] == "2999-01-01T00:00:01Z",
        message="the time moves forward although the previous one lies ahead",
    )


def test_a_restart_that_is_asked_for_reaches_every_target_once_per_value(team: Team) -> None:
    for kind in KINDS:
        workload(team, kind, kind.lower())
    mark = team.bed.mark()
    ready(team, *(target(kind, kind.lower()) for kind in KINDS))
    synced = team.get()["status"]
    ask(team, "one")
    wait_acknowledged(team, "one")
    assert sorted(restarts(team, mark)) == sorted(kind.lower() for kind in KINDS)
    assert "asked for" in team.condition("RolloutRestart")["message"]
    wait_for_looks(team)
    ask(team, None)
    wait_for_looks(team)
    ask(team, "one")  # GitOps took it away and put it back
    wait_for_looks(team)
    assert len(restarts(team, mark)) == len(KINDS)
    ask(team, "two")
    wait_acknowledged(team, "two")
    assert len(restarts(team, mark)) == 2 * len(KINDS)
    for kind in KINDS:
        assert team.bed.kube.find(kind, team.ns, kind.lower())["metadata"]["generation"] == 3
    found = team.get()["status"]
    assert [found[name] for name in ("secretMAC", "history", "lastSyncTime", "rolledOutDigest")] == [
        synced[name] for name in ("secretMAC", "history", "lastSyncTime", "rolledOutDigest")
    ]


def test_a_restart_that_an_object_was_created_with_is_acknowledged_and_not_made(team: Team) -> None:
    workload(team, "Deployment", "app")
    mark = team.bed.mark()
    team.access()
    team.put("app", {"password": "v1"})
    team.static(rolloutRestartTargets=[target()], metadata={"annotations": {RESTART: "from-git"}})
    wait_acknowledged(team, "from-git")
    wait_for_looks(team)
    assert restarts(team, mark) == []


def test_a_suspended_object_makes_the_restart_that_is_asked_for_when_it_goes_on(team: Team) -> None:
    workload(team, "Deployment", "app")
    mark = team.bed.mark()
    ready(team, target())
    team.patch({"spec": {"suspend": True}})
    eventually(
        lambda: team.get()["status"]["observedGeneration"] == team.get()["metadata"]["generation"],
        message="it rests",
    )
    ask(team, "now")
    always(lambda: restarts(team, mark) == [], during=1.5)
    assert "lastHandledRestart" not in team.get()["status"]
    team.patch({"spec": {"suspend": False}})
    wait_acknowledged(team, "now")
    assert restarts(team, mark) == ["app"]


def test_a_restart_that_is_asked_for_names_missing_targets_and_is_acknowledged_when_all_took_it(team: Team) -> None:
    workload(team, "Deployment", "app")
    ready(team, target(), target(name="late"))
    mark = team.bed.mark()
    ask(team, "now")
    condition = team.wait_condition("RolloutRestart", "False", "RolloutRestartTriggeredFailed")
    assert f"Deployment {team.ns}/late" in condition["message"]
    assert "lastHandledRestart" not in team.get()["status"]
    workload(team, "Deployment", "late")
    wait_acknowledged(team, "now")
    team.wait_condition("RolloutRestart")
    assert sorted(restarts(team, mark)) == ["app", "late"]


def test_a_restart_that_is_asked_for_together_with_new_data_is_one_restart(team: Team) -> None:
    workload(team, "Deployment", "app")
    mark = team.bed.mark()
    team.access()
    team.put("app", {"password": "v1"})
    team.static(
        refreshAfter="1h",
        rolloutRestartTargets=[target()],
        destination={"transformation": {"excludeRaw": True}},
    )
    team.wait_ready()
    team.put("app", {"password": "v2"})
    ask(team, "now")
    wait_acknowledged(team, "now")
    assert team.data() == {"password": "v2"}
    assert restarts(team, mark) == ["app"]
    assert team.get()["status"]["history"][0]["restart"] == "Triggered"
