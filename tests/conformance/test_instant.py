"""Instant updates: without Vault Enterprise the status says why and polling goes on; with events a change is there at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conformance.quiet import logins_told
from tests.conformance.stage import OPERATOR_USER, Stage, Team
from tests.testbed.bed import Mark, always, eventually
from tests.testbed.event_vault import EventVault

LASTS = 40

INSTANT = {"instantUpdates": True}
SUBSCRIBE = "sys/events/subscribe/kv*"
ALLOWED = '\npath "sys/events/subscribe/kv*" { capabilities = ["read"] }'


@pytest.fixture
def enterprise(stage: Stage) -> Iterator[EventVault]:
    with EventVault(stage.bed.vault.url) as vault:
        yield vault


def read_policy(team: Team) -> str:
    return f'path "kv/data/{team.ns}/*" {{ capabilities = ["read"] }}'


def writes(stage: Stage, mark: Mark, namespace: str) -> int:
    """How often the operator wrote about a namespace since the mark."""
    return sum(c.user == OPERATOR_USER and c.namespace == namespace and c.writes for c in stage.bed.kube_audit(mark))


def reads(team: Team, mark: Mark, path: str = "app") -> int:
    asked = f"kv/data/{team.ns}/{path}"
    return sum(call.operation == "read" and call.path == asked for call in team.bed.vault_audit(mark))


def counted(stage: Stage, name: str, **labels: str) -> float:
    operator = stage.operator
    families = text_string_to_metric_families(operator.metrics())
    samples = (sample for family in families for sample in family.samples)
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def followed(team: Team, address: str, *names: str, **changes: Any) -> None:
    """Have objects on one source follow its events, all in order and listening."""
    team.put("app", {"password": "v1"})
    team.access(address=address)
    for name in names or ("app",):
        team.static(name, refreshAfter="1h", syncConfig=INSTANT, **changes)
    for name in names or ("app",):
        team.wait_ready(name)
        team.wait_condition("InstantUpdates", "True", "EventWatcherStarted", name=name)


@pytest.mark.parametrize(
    ("permitted", "reason", "words"),
    [(False, "EventsForbidden", "grant read on sys/events/subscribe/kv*"), (True, "EventsUnsupported", "Enterprise")],
    ids=["default-policy", "permitted"],
)
def test_without_event_notifications_polling_goes_on_and_the_status_says_why(
    team: Team, stage: Stage, permitted: bool, reason: str, words: str
) -> None:
    team.policy(read_policy(team) + ALLOWED * permitted)
    team.access()
    team.put("app", {"password": "v1"})
    mark = stage.bed.mark()
    team.static(syncConfig=INSTANT)
    team.wait_ready()
    condition = team.wait_condition("InstantUpdates", "False", reason)
    assert words in condition["message"]
    assert "polling goes on" in condition["message"]
    team.wait_condition("Healthy")
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2", timeout=5)
    eventually(lambda: team.get()["status"]["sourceVersion"] == "2", message="the change is told")
    eventually(lambda: team.events(reason="EventWatcherError"), message="an event tells it too")
    eventually(lambda: len(team.events(reason="SecretSynced")) == 2, message="and one of each version")
    logins_told(team)
    settled = stage.bed.mark()
    always(lambda: writes(stage, settled, team.ns) == 0, during=3, message="nothing is written while nothing changes")
    asked = [call for call in stage.bed.vault_audit(mark) if call.path == SUBSCRIBE]
    assert len(asked) == 1
    assert team.get()["status"]["conditions"][0]["type"] == "Ready"


def test_removing_the_wish_removes_the_condition(team: Team) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.static(refreshAfter="1h", syncConfig=INSTANT)
    team.wait_ready()
    team.wait_condition("InstantUpdates", "False")
    team.patch({"spec": {"syncConfig": None}})
    eventually(lambda: not team.condition("InstantUpdates"), message="nothing is said of what nobody wants")
    team.wait_ready()


def test_a_change_that_vault_tells_is_there_within_seconds(team: Team, stage: Stage, enterprise: EventVault) -> None:
    followed(team, enterprise.url)
    eventually(lambda: team.events(reason="EventWatcherStarted"), message="an event says that it listens")
    matched = counted(stage, "vso_vault_events_matched_total")
    team.put("app", {"password": "v2"})
    enterprise.tell(f"kv/data/{team.ns}/app")
    team.wait_data(lambda data: data["password"] == "v2", timeout=5)
    assert counted(stage, "vso_vault_event_streams", up="true") >= 1
    assert counted(stage, "vso_vault_events_matched_total") == matched + 1


def test_a_change_in_kv_v1_is_there_within_seconds(team: Team, enterprise: EventVault) -> None:
    team.put_v1("app", {"password": "v1"})
    followed(team, enterprise.url, mount="kv1", type="kv-v1")
    team.put_v1("app", {"password": "v2"})
    enterprise.tell(f"kv1/{team.ns}/app")
    team.wait_data(lambda data: data["password"] == "v2", timeout=5)


def test_what_concerns_somebody_else_is_not_looked_at(team: Team, stage: Stage, enterprise: EventVault) -> None:
    followed(team, enterprise.url)
    received = counted(stage, "vso_vault_events_received_total")
    always(lambda: True, during=1.5)  # what nobody heard before has been looked for
    mark = stage.bed.mark()
    enterprise.tell(f"kv/data/{team.ns}/other")
    enterprise.tell(f"kv/data/{team.ns}/app", modified="false")
    enterprise.tell(f"kv/data/{team.ns}/app", namespace="elsewhere/")
    eventually(lambda: counted(stage, "vso_vault_events_received_total") >= received + 3)
    always(lambda: reads(team, mark) == 0, during=1.5)


def test_many_objects_on_one_source_share_one_websocket_and_one_look(
    team: Team, stage: Stage, enterprise: EventVault
) -> None:
    names = [f"app-{number}" for number in range(20)]
    followed(team, enterprise.url, *names)
    assert len(enterprise.handshakes) == 1
    always(lambda: True, during=1.5)  # what nobody heard before has been looked for
    mark = stage.bed.mark()
    team.put("app", {"password": "v2"})
    enterprise.tell(f"kv/data/{team.ns}/app")
    for name in names:
        team.wait_data(lambda data: data["password"] == "v2", name=name, timeout=5)
    assert reads(team, mark) == 1


def test_the_inherited_vault_namespace_is_the_one_that_is_heard(team: Team, enterprise: EventVault) -> None:
    team.put("app", {"password": "v1"})
    team.access(address=enterprise.url, auth={"namespace": "/ns/team/"})
    team.static(refreshAfter="1h", syncConfig=INSTANT)
    team.wait_condition("InstantUpdates", "True")
    assert enterprise.handshakes[0]["X-Vault-Namespace"] == "ns/team"
    team.put("app", {"password": "v2"})
    enterprise.tell(f"kv/data/{team.ns}/app", namespace="ns/team/")
    team.wait_data(lambda data: data["password"] == "v2", timeout=5)


def test_a_change_while_nobody_listened_is_looked_for(team: Team, enterprise: EventVault) -> None:
    followed(team, enterprise.url)
    version = team.get()["metadata"]["resourceVersion"]
    enterprise.hang_up()
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2", timeout=15)
    assert team.condition("InstantUpdates")["status"] == "True"
    assert team.get()["metadata"]["generation"] == 1
    assert version != team.get()["metadata"]["resourceVersion"]


def test_a_stream_that_breaks_writes_no_status(team: Team, stage: Stage, enterprise: EventVault) -> None:
    followed(team, enterprise.url)
    eventually(lambda: team.events(reason="EventWatcherStarted"), message="the event is there")
    logins_told(team)
    mark = stage.bed.mark()
    enterprise.hang_up()
    eventually(lambda: len(enterprise.handshakes) == 2 and enterprise.open == 1, message="it is opened again")
    always(lambda: writes(stage, mark, team.ns) == 0, during=2)


def test_the_socket_is_closed_when_nobody_follows_any_more(team: Team, enterprise: EventVault) -> None:
    followed(team, enterprise.url, "app", "twin")
    assert enterprise.open == 1
    team.patch({"spec": {"syncConfig": {"instantUpdates": False}}})
    eventually(lambda: not team.condition("InstantUpdates"), message="nothing is said of what nobody wants")
    assert enterprise.open == 1
    team.bed.kube.delete("VaultStaticSecret", team.ns, "twin")
    eventually(lambda: enterprise.open == 0, message="the last one has gone")
