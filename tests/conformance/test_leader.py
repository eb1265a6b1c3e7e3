"""Two operators: one works, the other stands by with warm caches and takes over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.quiet import logins_told
from tests.conformance.stage import OPERATOR_NAMESPACE, OPERATOR_USER, Stage, Team
from tests.testbed.bed import Bed, always, eventually
from tests.testbed.operator import Operator, Setting

LASTS = 25

ARGS = (
    "--leader-elect-lease-duration=3s",
    "--leader-elect-renew-deadline=2s",
    "--leader-elect-retry-period=500ms",
    "--drift-interval=24h",  # in write-only mode: none falls due while what a failover costs is counted
)
LEASE = "b0d477c0.hashicorp.com"


@pytest.fixture(scope="module")
def stage(prepared: Bed, request: pytest.FixtureRequest) -> Iterator[Stage]:
    stage = Stage.of(request, prepared)
    stage.start_operator(*ARGS)
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def pair(stage: Stage) -> Iterator[tuple[Operator, Operator]]:
    """Two operators; a scenario may end either."""
    second = stage.other(*ARGS, setting=Setting(name="second"))
    second.start()
    second.wait_ready()
    yield stage.operator, second
    if second.running:
        second.stop()
    assert "Traceback" not in second.log_text()


@pytest.fixture
def leader(pair: tuple[Operator, Operator]) -> Operator:
    """The one of the two that leads; both run."""
    for operator in pair:
        if not operator.running:
            operator.start()
            operator.wait_ready()
    return eventually(lambda: next((one for one in pair if one.leads), None), message="one of them leads")


@pytest.fixture
def standby(pair: tuple[Operator, Operator], leader: Operator) -> Operator:
    """The other one."""
    return pair[1] if leader is pair[0] else pair[0]


def holder(stage: Stage) -> str:
    spec = stage.bed.kube.find("Lease", OPERATOR_NAMESPACE, LEASE)["spec"]
    return str(spec.get("holderIdentity") or "")


def syncs(team: Team) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.static()
    team.wait_ready()


def test_a_standby_is_ready_and_does_nothing(team: Team, stage: Stage, leader: Operator, standby: Operator) -> None:
    first = holder(stage)
    syncs(team)
    assert standby.ready()
    assert not standby.leads
    assert holder(stage) == first
    assert team.ns not in standby.log_text(since_start=True)


def test_the_lease_is_released_on_sigterm_and_taken_within_seconds(
    team: Team, stage: Stage, leader: Operator, standby: Operator
) -> None:
    first = holder(stage)
    assert leader.stop().code == 0
    eventually(lambda: holder(stage) not in {"", first}, timeout=5, message="the standby leads")
    syncs(team)


def test_a_killed_leader_is_replaced_when_its_lease_has_run_out(
    team: Team, stage: Stage, leader: Operator, standby: Operator
) -> None:
    first = holder(stage)
    leader.kill()
    eventually(lambda: holder(stage) not in {"", first}, timeout=15, message="the standby leads")
    syncs(team)


def test_a_failover_reads_and_writes_nothing_for_objects_in_order(
    team: Team, stage: Stage, leader: Operator, standby: Operator
) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.static(refreshAfter="1h")
    team.wait_ready()
    eventually(lambda: team.events("app"), message="the event is there")
    logins_told(team)
    first = holder(stage)
    mark = stage.bed.mark()
    leader.stop()
    eventually(lambda: holder(stage) not in {"", first}, timeout=10, message="the standby leads")
    always(lambda: True, during=2)
    calls = [c for c in stage.bed.kube_audit(mark) if c.namespace == team.ns and c.user == OPERATOR_USER]
    assert [c for c in calls if not (stage.watched and c.verb == "watch")] == []  # a watch is renewed now and then
    assert [c for c in stage.bed.vault_audit(mark) if team.ns in c.path] == []


def test_a_leader_that_comes_back_takes_the_others_writes_for_no_strangers(
    team: Team, stage: Stage, leader: Operator, standby: Operator
) -> None:
    syncs(team)
    lease = {"spec": {"holderIdentity": "somebody-else", "renewTime": "2099-01-01T00:00:00.000000Z"}}
    stage.bed.kube.patch("Lease", OPERATOR_NAMESPACE, LEASE, lease)
    eventually(lambda: not leader.leads, message="the deposed leader stands by")
    team.put("app", {"password": "v2"})
    eventually(lambda: leader.leads or standby.leads, message="the lease runs out")
    team.wait_data(lambda data: data["password"] == "v2")
    team.wait_ready()
    assert team.events("app", "ForeignWriter") == []
