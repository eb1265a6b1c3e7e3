"""What an operator of the operator sees: metrics, probes, log lines, events, and the columns of `kubectl get`."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conformance.scrapes import samples, total
from tests.conformance.stage import OPERATOR_NAMESPACE, Stage, Team
from tests.testbed.bed import eventually
from tests.testbed.operator import Operator, Setting

OPERATOR_ARGS = ("--backoff-initial-interval=200ms", "--backoff-max-interval=400ms")
KIND = "VaultStaticSecret"
NOTHING = 'path "elsewhere" { capabilities = ["read"] }'
LEASE = "b0d477c0.hashicorp.com"
METRIC_NAME = re.compile(r"[a-z][a-z0-9_]*")
LABEL_NAME = re.compile(r"[a-z][a-z0-9_]*")


def operator_of(team: Team) -> Operator:
    return team.stage.operator


def lines(operator: Operator) -> list[dict[str, Any]]:
    """The log of the operator's present life; a line that is no JSON fails the scenario."""
    return [json.loads(line) for line in operator.log_text(since_start=True).splitlines()]


def test_passes_are_counted_by_controller_and_outcome(team: Team) -> None:
    operator = operator_of(team)
    before = total(operator, "controller_runtime_reconcile_total", controller="vaultstaticsecrets", result="success")
    team.ready()
    after = total(operator, "controller_runtime_reconcile_total", controller="vaultstaticsecrets", result="success")
    assert after > before
    seconds = total(operator, "controller_runtime_reconcile_time_seconds_count", controller="vaultstaticsecrets")
    assert seconds >= after


def test_an_object_has_a_gauge_of_its_readiness_and_the_time_it_was_ready_last(team: Team) -> None:
    team.ready()
    where = {"kind": KIND, "namespace": team.ns, "name": "app"}
    operator = operator_of(team)
    assert total(operator, "vso_resource_ready", **where) == 1
    last = total(operator, "vso_resource_last_ready_timestamp_seconds", **where)
    assert abs(datetime.now(UTC).timestamp() - last) < 30
    team.patch({"spec": {"path": f"{team.ns}/nothing"}})
    team.wait_condition("Ready", "False")
    eventually(lambda: total(operator, "vso_resource_ready", **where) == 0, message="the gauge follows")
    reasons = samples(operator, "vso_resource_not_ready_reason", **where)
    assert [dict(labels)["reason"] for labels in reasons] == [team.condition("Ready")["reason"]]
    stopped = total(operator, "vso_resource_last_ready_timestamp_seconds", **where)
    assert stopped >= last
    assert total(operator, "vso_resource_last_ready_timestamp_seconds", **where) == stopped


def test_after_a_restart_the_gauges_of_objects_in_order_are_there_again(team: Team) -> None:
    team.ready(refreshAfter="1h")
    operator = operator_of(team)
    operator.stop()
    operator.start()
    operator.wait_ready()
    where = {"kind": KIND, "namespace": team.ns, "name": "app"}
    eventually(lambda: total(operator, "vso_resource_ready", **where) == 1, message="the gauge is there without a read")


def naming(operator: Operator, team: str) -> list[str]:
    """The series that name a team, but for those that name every namespace that is watched."""
    watching = ("informer=", "watch_namespaces=")
    return [line for line in operator.metrics().splitlines() if team in line and not any(w in line for w in watching)]


def test_the_series_of_an_object_go_with_it(team: Team) -> None:
    team.ready()
    operator = operator_of(team)
    assert f'namespace="{team.ns}"' in operator.metrics()
    team.bed.kube.delete(KIND, team.ns, "app")
    team.bed.kube.delete("VaultAuth", team.ns, "auth")
    team.bed.kube.delete("VaultConnection", team.ns, "vault")
    eventually(
        lambda: not naming(operator, team.ns),
        message=lambda: f"no series names the team any more: {naming(operator, team.ns)}",
    )


def test_requests_to_vault_are_counted_by_connection_and_operation(team: Team) -> None:
    team.ready()
    operator, connection = operator_of(team), f"{team.ns}/vault"
    for operation in ("login", "read", "health"):
        where = {"operation": operation, "vault_connection": connection}
        assert total(operator, "vso_client_operations_total", **where) >= 1
        assert total(operator, "vso_client_operations_time_seconds_count", **where) >= 1
        assert total(operator, "vso_client_operations_errors_total", **where) == 0
    assert total(operator, "vso_vault_logins_total", vault_auth=f"{team.ns}/auth", result="ok") == 1


def test_a_refused_read_is_counted_as_an_error(team: Team) -> None:
    team.access()
    team.policy(NOTHING)
    team.static()
    team.wait_condition("Stalled", reason="VaultPermissionDenied")
    where = {"operation": "read", "vault_connection": f"{team.ns}/vault"}
    assert total(operator_of(team), "vso_client_operations_errors_total", **where) >= 1


def test_the_leader_says_that_it_leads(team: Team) -> None:
    operator = operator_of(team)
    eventually(
        lambda: (
            samples(operator, "leader_election_master_status") == {frozenset({("name", "vault-secrets-operator")}): 1}
        ),
        message="the gauge says that it leads",
    )
    assert operator.bed.kube.find("Lease", OPERATOR_NAMESPACE, LEASE)["spec"]["holderIdentity"]


def test_the_metrics_are_what_prometheus_expects(team: Team) -> None:
    team.ready()
    text = operator_of(team).metrics()
    found = list(text_string_to_metric_families(text))
    names = [family.name for family in found]
    assert len(names) == len(set(names)), "a family is told once, in one piece"
    for family in found:
        assert METRIC_NAME.fullmatch(family.name), family.name
        assert family.documentation.endswith("."), f"{family.name} has no HELP"
        assert family.type in {"counter", "gauge", "histogram"}, family.name
        for sample in family.samples:
            assert all(LABEL_NAME.fullmatch(label) for label in sample.labels), sample
    series = Counter(line.rsplit(" ", 1)[0] for line in text.splitlines() if not line.startswith("#"))
    assert [name for name, count in series.items() if count > 1] == []


def test_no_metric_tells_a_value(team: Team) -> None:
    team.access()
    team.put("app", {"password": "canary-1789"})
    team.static()
    team.wait_ready()
    assert "canary" not in operator_of(team).metrics()


def test_alive_and_ready_are_answered(team: Team) -> None:
    operator = operator_of(team)
    assert operator.probe("/healthz") == 200
    assert operator.probe("/readyz") == 200
    assert operator.probe("/elsewhere") == 404


def test_every_log_line_is_json_with_time_level_logger_and_event(team: Team) -> None:
    team.ready()
    team.patch({"spec": {"path": f"{team.ns}/nothing"}})
    team.wait_condition("Ready", "False")
    found = lines(operator_of(team))
    assert found
    for line in found:
        assert list(line)[:4] == ["timestamp", "level", "logger", "event"]
        assert datetime.fromisoformat(line["timestamp"]).tzinfo == UTC
        assert line["level"] in {"info", "warning", "error"}
        assert not re.search(r"\d", line["event"]), "the event is a constant text; what varies is in fields"


def test_a_sync_is_one_line_and_an_idle_object_none(team: Team) -> None:
    team.ready(refreshAfter="1h")

    def said() -> list[dict[str, Any]]:
        return [line for line in lines(operator_of(team)) if line.get("object") == f"{team.ns}/app"]

    of_object = eventually(said, message="the line that follows the status")
    assert [(line["event"], line["kind"], line["reason"]) for line in of_object] == [("in order", KIND, "SecretSynced")]
    assert "Secret app created" in of_object[0]["message"]


def test_the_lines_of_a_pass_share_an_id_and_no_two_passes_do(team: Team) -> None:
    team.ready()
    operator = operator_of(team)
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")

    def twice() -> list[dict[str, Any]] | None:
        of_object = [line for line in lines(operator) if line.get("object") == f"{team.ns}/app"]
        return of_object if len(of_object) >= 2 else None

    found = eventually(twice, message="both passes are told")
    ids = [line["pass"] for line in found]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9a-f]{12}", name) for name in ids)


def test_a_failure_that_repeats_is_told_again_in_the_log_and_once_as_an_event(team: Team) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.static(path="nothing")
    team.wait_condition("Ready", "False")
    operator = operator_of(team)

    def failures() -> list[dict[str, Any]]:
        told = (line for line in lines(operator) if line["event"] == "pass failed" and line["kind"] == KIND)
        return [line for line in told if line["object"] == f"{team.ns}/app"]

    for number in range(3):
        team.patch({"metadata": {"labels": {"look": str(number)}}})

        def told(wanted: int = number + 2) -> bool:
            return len(failures()) >= wanted

        eventually(told, message="each failed pass is a line")
    for line in failures():
        said = datetime.fromisoformat(line["timestamp"]) + timedelta(seconds=line["next_pass_in"])
        assert abs((datetime.fromisoformat(line["next_pass_at"]) - said).total_seconds()) < 1
    warnings = [event for event in team.events("app") if event["type"] == "Warning"]
    assert len(warnings) == 1
    assert warnings[0]["reason"] == "SourceNotFound"


def test_the_same_change_told_twice_is_one_event_with_a_count(team: Team) -> None:
    team.ready()

    def flap(path: str, status: str) -> None:
        team.patch({"spec": {"path": f"{team.ns}/{path}"}})
        team.wait_condition("Ready", status)

    for _ in range(2):
        flap("nothing", "False")
        flap("app", "True")

    def counted() -> bool:
        found = team.events("app", "SourceNotFound")
        return [event["count"] for event in found] == [2]

    eventually(counted, message=lambda: f"one event, counted twice: {team.events('app')}")


def test_kubectl_get_shows_ready_reason_synced_version_and_age(team: Team) -> None:
    team.ready()
    row = table(team)
    assert list(row) == ["Name", "Ready", "Reason", "Synced", "Version", "Age"]
    assert [row[column] for column in ("Name", "Ready", "Reason", "Synced", "Version")] == [
        "app",
        "True",
        "Ready",
        "True",
        "1",
    ]
    assert row["Age"].endswith("s")
    team.patch({"spec": {"path": f"{team.ns}/nothing"}})
    condition = team.wait_condition("Ready", "False")
    row = table(team)
    assert (row["Ready"], row["Reason"]) == ("False", condition["reason"])


def table(team: Team) -> dict[str, str]:
    """The object's row of the table that kubectl prints."""
    path = f"/apis/secrets.hashicorp.com/v1beta1/namespaces/{team.ns}/vaultstaticsecrets"
    found = team.bed.kube.raw("GET", path, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json()
    names = [column["name"] for column in found["columnDefinitions"] if column.get("priority", 0) == 0]
    return dict(zip(names, found["rows"][0]["cells"], strict=False))


@pytest.fixture
def quiet(stage: Stage) -> Iterator[Operator]:
    """A second operator, that leads another namespace's election and tells nothing of single objects."""
    operator = stage.other("--metrics-per-object=false", "--leader-elect=false", setting=Setting(name="quiet"))
    stage.operator.stop()
    operator.start()
    operator.wait_ready()
    yield operator
    operator.stop()
    stage.operator.start()
    stage.operator.wait_ready()


def test_series_per_object_can_be_switched_off(team: Team, quiet: Operator) -> None:
    team.ready()
    assert samples(quiet, "vso_resource_ready") == {}
    assert samples(quiet, "controller_resource_status") == {}
    eventually(
        lambda: total(quiet, "vso_resources", kind=KIND, ready="true") >= 1, message="the totals are told all the same"
    )
