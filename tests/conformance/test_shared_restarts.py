"""A workload that several secrets restart: once for all that change together, and for each that changes later."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.conformance.stage import OPERATOR_USER, Json, Stage, Team
from tests.testbed.bed import Bed, Mark, eventually

LASTS = 40

NAMES = ("one", "two", "three")
WINDOW = 6


@pytest.fixture(scope="module")
def stage(prepared: Bed, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """One operator that waits for nobody when it was killed, and has fewer workers than there are secrets."""
    stage = Stage.of(request, prepared)
    stage.start_operator("--leader-elect=false", "--max-concurrent-reconciles=2", f"--restart-window={WINDOW}s")
    yield stage
    stage.close()


def workload(team: Team) -> None:
    labels = {"app": "app"}
    pod = {"containers": [{"name": "app", "image": "app:1"}]}
    spec: Json = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    meta = {"name": "app", "namespace": team.ns}
    team.bed.kube.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})


def ready(team: Team) -> None:
    """Sync the secrets, each with a Secret of its own, that restart one workload."""
    workload(team)
    team.access()
    for name in NAMES:
        team.put(name, {"password": "v1"})
        team.static(
            name,
            name,
            refreshAfter="1h",
            rolloutRestartTargets=[{"kind": "Deployment", "name": "app"}],
            destination={"name": name, "transformation": {"excludeRaw": True}},
        )
        team.wait_ready(name)


def rotate(team: Team, *names: str, password: str = "v2") -> None:
    for name in names:
        team.put(name, {"password": password})
    for name in names:
        team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": password}}}, name=name)


def wait_settled(team: Team, *names: str, password: str = "v2") -> None:
    for name in names:
        team.wait_data({"password": password}, name)
    for name in names:
        eventually(partial(settled, team, name), message=f"the restart of {name} is told")


def settled(team: Team, name: str) -> bool:
    status = team.get(name=name)["status"]
    return bool(status["rolledOutDigest"] == status["secretMAC"] and status["history"][0].get("restart") == "Triggered")


def restarts(team: Team, since: Mark) -> int:
    """How often the operator patched the workload; a dry run is no patch."""
    return len(
        [
            call
            for call in team.bed.kube_audit(since)
            if call.user == OPERATOR_USER
            and call.namespace == team.ns
            and call.resource == "deployments"
            and call.verb == "patch"
            and "dryRun" not in call.query
            and call.code == 200
        ]
    )


def test_secrets_that_change_together_restart_it_once(team: Team) -> None:
    ready(team)
    mark = team.bed.mark()
    rotate(team, *NAMES)
    wait_settled(team, *NAMES)
    assert restarts(team, mark) == 1


def test_whoever_waits_for_the_others_holds_up_nobody(team: Team) -> None:
    ready(team)
    team.put("newcomer", {"password": "v1"})
    mark = team.bed.mark()
    rotate(team, *NAMES)
    for name in NAMES:
        team.wait_data({"password": "v2"}, name)
    team.static("newcomer", "newcomer", destination={"name": "newcomer"})
    team.wait_ready("newcomer")
    assert restarts(team, mark) == 0
    wait_settled(team, *NAMES)
    assert restarts(team, mark) == 1


def test_one_that_changes_later_restarts_it_again(team: Team) -> None:
    ready(team)
    mark = team.bed.mark()
    for name in NAMES[:2]:
        rotate(team, name)
        wait_settled(team, name)
    assert restarts(team, mark) == 2
    found = team.bed.kube.find("Deployment", team.ns, "app")
    assert found["metadata"]["generation"] == 3


def test_a_crash_while_they_wait_for_each_other_leads_to_exactly_one_restart(team: Team, stage: Stage) -> None:
    operator = stage.operator
    ready(team)
    mark = team.bed.mark()
    rotate(team, *NAMES)
    for name in NAMES:
        team.wait_data({"password": "v2"}, name)
    operator.kill()
    operator.start()
    operator.wait_ready()
    wait_settled(team, *NAMES)
    assert restarts(team, mark) == 1
    assert team.bed.kube.find("Deployment", team.ns, "app")["metadata"]["generation"] == 2
