"""What it costs, counted in the audit logs of both servers."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conformance.quiet import logins_told
from tests.conformance.stage import OPERATOR_USER, Stage, Team
from tests.testbed.bed import Mark, always, eventually

LASTS = 100


def kube_calls(stage: Stage, mark: Mark, namespace: str) -> Counter[tuple[str, str]]:
    """The operator's requests about a namespace, by verb and resource."""
    return Counter(
        (call.verb, f"{call.resource}/{call.subresource}" if call.subresource else call.resource)
        for call in stage.bed.kube_audit(mark)
        if call.user == OPERATOR_USER and call.namespace == namespace
        if not (stage.watched and call.verb in {"list", "watch"})  # of the namespace, in place of the cluster
    )


def reads(stage: Stage, mark: Mark, path: str) -> int:
    """How often the path was read in Vault."""
    return sum(c.operation == "read" and c.path == path for c in stage.bed.vault_audit(mark))


def settled(team: Team) -> None:
    team.access()
    team.wait_ready("auth", "VaultAuth")
    team.wait_ready("vault", "VaultConnection")


def test_the_first_sync_makes_two_requests_and_one_event(team: Team, stage: Stage) -> None:
    settled(team)
    team.put("app", {"password": "v1"})
    always(lambda: True, during=1)
    mark = stage.bed.mark()
    team.static(refreshAfter="1h")
    team.wait_ready()
    eventually(lambda: team.events("app"), message="the event is there")
    logins_told(team)
    always(lambda: True, during=1)
    calls = kube_calls(stage, mark, team.ns)
    assert calls == {
        ("create", "secrets"): 1,
        ("patch", "vaultstaticsecrets/status"): 1,
        ("create", "events"): 1,
        ("create", "serviceaccounts/token"): 1,
        ("patch", "vaultauths/status"): 1,
    }
    assert reads(stage, mark, f"kv/data/{team.ns}/app") == 1


def test_an_idle_refresh_makes_no_kubernetes_request_and_one_read_per_interval(team: Team, stage: Stage) -> None:
    settled(team)
    team.put("app", {"password": "v1"})
    team.static(refreshAfter="1s")
    team.wait_ready()
    eventually(lambda: team.events("app"), message="the event is there")
    logins_told(team)
    always(lambda: True, during=1)  # an event is there a moment before it stands in the audit log
    mark = stage.bed.mark()
    always(lambda: True, during=5)
    assert kube_calls(stage, mark, team.ns) == {}
    assert 4 <= reads(stage, mark, f"kv/data/{team.ns}/app") <= 6


def test_many_objects_on_one_path_share_one_read_per_interval(team: Team, stage: Stage) -> None:
    settled(team)
    team.put("app", {"password": "v1"})
    for number in range(20):
        team.static(f"app-{number}", refreshAfter="1s")
    for number in range(20):
        team.wait_ready(f"app-{number}")
    mark = stage.bed.mark()
    always(lambda: True, during=3)
    assert 2 <= reads(stage, mark, f"kv/data/{team.ns}/app") <= 4


def test_a_changed_secret_costs_two_requests_and_an_event(team: Team, stage: Stage) -> None:
    settled(team)
    team.put("app", {"password": "v1"})
    team.static(refreshAfter="1s")
    team.wait_ready()
    eventually(lambda: team.events("app"), message="the first event is there")
    logins_told(team)
    mark = stage.bed.mark()
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")
    eventually(lambda: kube_calls(stage, mark, team.ns).total() >= 3, message="the event follows")
    always(lambda: True, during=2)
    calls = kube_calls(stage, mark, team.ns)
    events = sum(count for (_, resource), count in calls.items() if resource == "events")
    assert events == 1
    assert calls[("patch", "secrets")] == 1
    assert calls[("patch", "vaultstaticsecrets/status")] == 1
    assert calls.total() == 3


def test_a_restart_inside_the_refresh_period_makes_no_request_about_objects_in_order(team: Team, stage: Stage) -> None:
    settled(team)
    team.put("app", {"password": "v1"})
    team.static(refreshAfter="1h")
    team.wait_ready()
    eventually(lambda: team.events("app"), message="the event is there")
    logins_told(team)
    operator = stage.operator
    operator.stop()
    mark = stage.bed.mark()
    operator.start()
    operator.wait_ready()
    always(lambda: True, during=4)
    assert kube_calls(stage, mark, team.ns) == {}
    assert reads(stage, mark, f"kv/data/{team.ns}/app") == 0


def test_one_login_serves_every_object_of_an_identity(team: Team, stage: Stage) -> None:
    settled(team)
    for number in range(5):
        team.put(f"app-{number}", {"password": "v1"})
    mark = stage.bed.mark()
    for number in range(5):
        team.static(f"app-{number}", path=f"app-{number}")
    for number in range(5):
        team.wait_ready(f"app-{number}")
    tokens = kube_calls(stage, mark, team.ns)[("create", "serviceaccounts/token")]
    assert tokens == 1
    assert sum(c.path == "auth/kubernetes/login" for c in stage.bed.vault_audit(mark)) == 1


@pytest.mark.beside(*map(str, range(6)))
def test_many_identities_of_an_auth_cost_it_one_status_write_and_are_counted(team: Team, stage: Stage) -> None:
    others = [stage.team(f"{team.ns}-{number}") for number in range(6)]
    names = ",".join(other.ns for other in others)
    team.role(bound_service_account_namespaces=names)
    team.policy('path "kv/data/*" { capabilities = ["read"] }')
    team.access(auth={"allowedNamespaces": ["*"]})
    team.wait_ready("auth", "VaultAuth")
    mark = stage.bed.mark()
    for other in others:
        other.put("app", {"password": "v1"})
        other.static(vaultAuthRef=f"{team.ns}/auth")
    for other in others:
        other.wait_ready()
    logins_told(team, len(others))
    assert team.get("VaultAuth", "auth")["status"]["tokenType"] == "service"
    assert kube_calls(stage, mark, team.ns) == {("patch", "vaultauths/status"): 1}
    for other in others[:2]:
        other.disband()
    logins_told(team, len(others) - 2)
    for other in others[2:]:
        other.disband()


@pytest.mark.long
def test_many_objects_whose_credential_is_missing_ask_for_it_seldom_and_all_work_when_one_has_found_it(
    team: Team, stage: Stage
) -> None:
    names = [f"app-{number}" for number in range(20)]
    stage.bed.kube.delete("ServiceAccount", team.ns, "app")
    settled(team)
    team.put("app", {"password": "v1"})
    for name in names:
        team.static(name, refreshAfter="1h")
    for name in names:  # from now on each is looked at again after minutes
        team.wait_condition("Stalled", reason="ServiceAccountNotFound", name=name, timeout=60)
    mark = stage.bed.mark()
    for number in range(3):
        for name in names:
            team.patch({"metadata": {"labels": {"look": str(number)}}}, name=name)
    always(lambda: True, during=8)
    assert 1 <= kube_calls(stage, mark, team.ns)[("create", "serviceaccounts/token")] <= 4
    meta = {"name": "app", "namespace": team.ns}
    stage.bed.kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    team.patch({"metadata": {"labels": {"look": "again"}}}, name=names[7])
    for name in names:
        team.wait_ready(name)


@pytest.mark.beside("b")
def test_two_identities_on_one_path_read_it_once_each(team: Team, stage: Stage) -> None:
    settled(team)
    other = stage.team(f"{team.ns}-b")
    try:
        other.policy(f'path "kv/data/{team.ns}/*" {{ capabilities = ["read"] }}')
        settled(other)
        team.put("app", {"password": "v1"})
        mark = stage.bed.mark()
        team.static(refreshAfter="1h")
        other.apply("VaultStaticSecret", "app", {**other.secret_spec(refreshAfter="1h"), "path": f"{team.ns}/app"})
        team.wait_ready()
        other.wait_ready()
        assert reads(stage, mark, f"kv/data/{team.ns}/app") == 2
    finally:
        other.disband()


def test_nothing_but_login_and_read_is_asked_of_vault(team: Team, stage: Stage) -> None:
    settled(team)
    team.put("app", {"password": "v1"})
    mark = stage.bed.mark()
    team.static(refreshAfter="1s")
    team.wait_ready()
    always(lambda: True, during=3)
    asked = {
        (call.operation, call.path)
        for call in stage.bed.vault_audit(mark)
        if call.display_name == f"kubernetes-{team.ns}-app"
    }
    assert asked == {("update", "auth/kubernetes/login"), ("read", f"kv/data/{team.ns}/app")}
