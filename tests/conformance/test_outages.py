"""What an outage of Vault costs: two status writes per secret, whatever becomes of its cause, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conformance.contract import flux_kustomizations, judge_by_argo
from tests.conformance.stage import GROUP, OPERATOR_USER, Team
from tests.testbed.audits import ApiCall, Mark
from tests.testbed.bed import always, eventually
from tests.testbed.faults import Action
from tests.testbed.gitops import flux_verdicts
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


def told(team: Team, mark: Mark, resource: str = "vaultstaticsecrets") -> Counter[str]:
    """How often the status of each static secret was written, or of each object of another kind."""
    calls = writes_since(team, mark)
    return Counter(c.name for c in calls if c.resource == resource and c.subresource == "status")


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


def said_of_connection(team: Team) -> tuple[str, ...]:
    """What its conditions say, and what Argo CD, kstatus and Flux make of it."""
    obj = team.get("VaultConnection", "vault") | {"apiVersion": GROUP, "kind": "VaultConnection"}
    (verdict,) = flux_verdicts(flux_kustomizations(), [obj])
    truths = (team.condition(type_, "VaultConnection", "vault").get("status", "-") for type_ in ("Ready", "Healthy"))
    return (*truths, judge_by_argo(obj), verdict.kstatus, verdict.cel)


def test_a_connection_that_was_in_order_stays_ready_in_an_outage_and_nothing_waits_for_it(
    team: Team, proxy: Proxy
) -> None:
    ready(team, proxy)
    team.wait_ready("vault", "VaultConnection")
    eventually(
        lambda: team.get("VaultAuth", "auth")["status"].get("identityCount") == 1,
        message="the login is told",
        timeout=30,
    )
    mark = team.bed.mark()
    proxy.stop()
    team.wait_condition("Healthy", "False", "VaultUnavailable")
    team.wait_condition("Healthy", "False", "VaultUnavailable", kind="VaultConnection", name="vault", timeout=40)
    assert said_of_connection(team) == ("True", "False", "Healthy", "Current", "Current")
    always(
        lambda: team.condition("Ready", "VaultConnection", "vault")["status"] == "True", during=5, message="it holds"
    )
    assert team.get("VaultConnection", "vault")["status"]["valid"] is True
    proxy.start()
    team.wait_condition("Healthy", kind="VaultConnection", name="vault", timeout=40)
    assert told(team, mark, "vaultconnections") == {"vault": 2}
    assert told(team, mark, "vaultauths") == {}


def test_a_connection_is_not_ready_when_an_outage_has_lasted_for_ten_minutes(team: Team, proxy: Proxy) -> None:
    ready(team, proxy)
    team.wait_ready("vault", "VaultConnection")
    proxy.stop()
    team.wait_condition("Healthy", "False", "VaultUnavailable", kind="VaultConnection", name="vault", timeout=40)
    assert team.condition("Ready", "VaultConnection", "vault")["status"] == "True"
    team.stage.operator.stop()  # its successor knows of the outage what the status tells
    try:
        conditions = team.get("VaultConnection", "vault")["status"]["conditions"]
        began = (datetime.now(UTC) - timedelta(minutes=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for condition in conditions:
            condition["lastTransitionTime"] = began
        status = {"status": {"conditions": conditions}}
        team.bed.kube.patch("VaultConnection", team.ns, "vault", status, subresource="status")
    finally:
        team.stage.operator.start()
        team.stage.operator.wait_ready()
    team.wait_condition("Ready", "False", "VaultUnavailable", kind="VaultConnection", name="vault", timeout=40)
    team.wait_condition("Reconciling", kind="VaultConnection", name="vault")
    assert said_of_connection(team) == ("False", "False", "Progressing", "InProgress", "InProgress")
    assert team.get("VaultConnection", "vault")["status"]["valid"] is True
    proxy.start()
    team.wait_ready("vault", "VaultConnection", timeout=40)


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
