"""Two operators: one works, the other stands by with warm caches and takes over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.stage import OPERATOR_NAMESPACE, Stage, Team
from tests.testbed.bed import Bed, always, eventually
from tests.testbed.operator import Operator, Setting

ARGS = (
    "--leader-elect-lease-duration=4s",
    "--leader-elect-renew-deadline=3s",
    "--leader-elect-retry-period=500ms",
)
LEASE = "b0d477c0.hashicorp.com"


@pytest.fixture
def stage(prepared: Bed) -> Iterator[Stage]:
    stage = Stage(prepared)
    stage.start_operator(*ARGS)
    yield stage
    stage.close()


@pytest.fixture
def standby(stage: Stage) -> Iterator[Operator]:
    eventually(lambda: holder(stage), message="the first operator leads")
    operator = Operator(stage.bed, "--secrets-access=full", *ARGS, setting=Setting(name="standby"))
    operator.start()
    operator.wait_ready()
    yield operator
    if operator.running:
        operator.stop()


def holder(stage: Stage) -> str:
    spec = stage.bed.kube.find("Lease", OPERATOR_NAMESPACE, LEASE)["spec"]
    return str(spec.get("holderIdentity") or "")


def test_a_standby_is_ready_and_does_nothing(team: Team, stage: Stage, standby: Operator) -> None:
    leader = holder(stage)
    team.access()
    team.put("app", {"password": "v1"})
    team.static()
    team.wait_ready()
    assert standby.ready()
    assert holder(stage) == leader
    assert "pass" not in standby.log_text() or team.ns not in standby.log_text()


def test_the_lease_is_released_on_sigterm_and_taken_within_seconds(team: Team, stage: Stage, standby: Operator) -> None:
    first = holder(stage)
    ended = stage.operator.stop()  # type: ignore[union-attr]
    assert ended.code == 0
    eventually(lambda: holder(stage) not in {"", first}, timeout=5, message="the standby leads")
    team.access()
    team.put("app", {"password": "v1"})
    team.static()
    team.wait_ready()


def test_a_killed_leader_is_replaced_when_its_lease_has_run_out(team: Team, stage: Stage, standby: Operator) -> None:
    first = holder(stage)
    stage.operator.kill()  # type: ignore[union-attr]
    eventually(lambda: holder(stage) not in {"", first}, timeout=15, message="the standby leads")
    team.access()
    team.put("app", {"password": "v1"})
    team.static()
    team.wait_ready()


def test_a_failover_reads_and_writes_nothing_for_objects_in_order(team: Team, stage: Stage, standby: Operator) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.static(refreshAfter="1h")
    team.wait_ready()
    eventually(lambda: team.events("app"), message="the event is there")
    first = holder(stage)
    mark = stage.bed.mark()
    stage.operator.stop()  # type: ignore[union-attr]
    eventually(lambda: holder(stage) not in {"", first}, timeout=10, message="the standby leads")
    always(lambda: True, during=3)
    calls = [
        c for c in stage.bed.kube_audit(mark) if c.namespace == team.ns and c.user.endswith(":vault-secrets-operator")
    ]
    assert calls == []
    assert [c for c in stage.bed.vault_audit(mark) if team.ns in c.path] == []
