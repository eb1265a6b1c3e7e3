"""What an outage of Vault costs: two status writes per secret and nothing else, whatever becomes of its cause."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.stage import OPERATOR_USER, Team
from tests.testbed.audits import ApiCall, Mark
from tests.testbed.bed import always, eventually
from tests.testbed.faults import Action
from tests.testbed.proxy import BlackHole, Proxy, Status
from tests.testbed.real import RealBed

LASTS = 20

SEALED = Status(503, {"errors": ["Vault is sealed"]})
OPERATOR_ARGS = ("--backoff-initial-interval=1s", "--backoff-max-interval=3s")


@pytest.fixture
def proxy(team: Team) -> Iterator[Proxy]:
    with Proxy(team.bed.vault.url) as proxy:
        yield proxy


def ready(team: Team, proxy: Proxy, **changes: Any) -> None:
    team.ready(address=proxy.url, connection={"timeout": "2s"}, **changes)


def writes_since(team: Team, mark: Mark) -> list[ApiCall]:
    """What the operator wrote in the team's namespace, events apart."""
    calls = team.bed.kube_audit(mark)
    return [c for c in calls if c.namespace == team.ns and c.writes and c.user == OPERATOR_USER]


def told(team: Team, mark: Mark) -> Counter[str]:
    """How often the status of each static secret was written."""
    calls = writes_since(team, mark)
    return Counter(c.name for c in calls if c.resource == "vaultstaticsecrets" and c.subresource == "status")


def test_an_outage_costs_at_most_two_status_writes_and_no_secret_write(team: Team, proxy: Proxy) -> None:
    ready(team, proxy)
    mark = team.bed.mark()
    proxy.stop()
    team.wait_condition("Healthy", "False", "VaultUnavailable")
    always(lambda: team.condition("Ready")["status"] == "True", during=3)
    proxy.start()
    team.wait_condition("Healthy", timeout=30)
    assert told(team, mark) == {"app": 2}
    assert [c for c in writes_since(team, mark) if c.resource == "secrets"] == []


def failures(team: Team, name: str) -> int:
    """How many passes over a static secret of the team have failed, by the log."""
    operator = team.stage.operator
    found = [json.loads(line) for line in operator.log_text().splitlines() if '"pass failed"' in line]
    return len([line for line in found if line["object"] == f"{team.ns}/{name}"])


def meets_the_cause(team: Team, name: str = "app") -> None:
    """Have one more pass fail."""
    before = failures(team, name)
    team.patch({"metadata": {"labels": {"look": str(before)}}}, name=name)
    eventually(lambda: failures(team, name) > before, message="the secret has met the new cause")


def test_an_outage_that_changes_its_cause_costs_no_further_status_write(team: Team, proxy: Proxy) -> None:
    ready(team, proxy)
    mark = team.bed.mark()
    proxy.stop()
    team.wait_condition("Healthy", "False", "VaultUnavailable")
    present = proxy.fault(SEALED)
    proxy.start()
    causes: list[tuple[Action, str]] = [
        (SEALED, "VaultSealed"),
        (BlackHole(), "VaultUnavailable"),
        (SEALED, "VaultSealed"),
    ]
    for fault, reason in causes:
        before, present = present, proxy.fault(fault)
        proxy.lift(before)  # afterwards: Vault must not be well for a moment in between
        team.wait_condition("Healthy", "False", reason, kind="VaultConnection", name="vault", timeout=40)
        meets_the_cause(team)
        condition = team.condition("Healthy")
        assert condition["reason"] == "VaultUnavailable"
        assert f"VaultConnection {team.ns}/vault tells how it is now" in condition["message"]
    proxy.clear()
    team.wait_condition("Healthy", timeout=40)
    assert told(team, mark) == {"app": 2}
    assert [event["reason"] for event in team.events() if event["type"] == "Warning"] == ["VaultUnavailable"]


@pytest.mark.real
def test_a_vault_that_is_stopped_and_stays_sealed_for_a_while_costs_two_status_writes(
    team: Team, real_bed: RealBed
) -> None:
    team.access()
    names = [f"app-{number}" for number in range(3)]
    for name in names:
        team.put(name, {"password": "v1"})
        team.static(name, path=name)
    for name in names:
        team.wait_ready(name)
    mark = real_bed.mark()
    real_bed.stop_server("vault")
    for name in names:
        team.wait_condition("Healthy", "False", name=name)
    team.wait_condition("Healthy", "False", "VaultUnavailable", kind="VaultConnection", name="vault", timeout=40)
    real_bed.process("vault").start()
    real_bed.vault.reconnect()
    team.wait_condition("Healthy", "False", "VaultSealed", kind="VaultConnection", name="vault", timeout=40)
    for name in names:
        meets_the_cause(team, name)
    real_bed.vault.unseal()
    for name in names:
        team.wait_condition("Healthy", name=name, timeout=30)
    assert told(team, mark) == dict.fromkeys(names, 2)
