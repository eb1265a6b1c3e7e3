"""Dynamic secrets when something fails: the database, Vault, a right, a token, a proxy, the operator itself.

No credentials are lost by it, and none are left behind.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.borrowing import KIND, dynamic, ready, role_of, status
from tests.conformance.stage import Stage, Team
from tests.testbed.bed import always, eventually
from tests.testbed.database import AnyDatabase
from tests.testbed.proxy import Header, Proxy, Status, path_has

LASTS = 30


@pytest.fixture
def database(stage: Stage) -> AnyDatabase:
    """The database behind Vault."""
    return stage.bed.database()


@pytest.fixture
def role(team: Team, database: AnyDatabase) -> str:
    """A role of the team's own, whose policy lets it issue and give back."""
    return role_of(team, database)


@pytest.fixture
def proxy(stage: Stage) -> Iterator[Proxy]:
    """A fault proxy before Vault."""
    with stage.bed.vault_proxy() as proxy:
        yield proxy


def test_without_the_right_to_revoke_the_object_goes_all_the_same(team: Team, role: str, database: AnyDatabase) -> None:
    team.policy(f'path "{database.mount}/creds/{role}" {{ capabilities = ["read"] }}')
    ready(team, role)
    team.bed.kube.remove(team.manifest(KIND, "db", {}))
    eventually(lambda: team.secret("db") is None, timeout=60, message="the object went")


def test_a_user_dropped_behind_vaults_back_is_replaced(team: Team, role: str, database: AnyDatabase) -> None:
    data = ready(team, role)
    database.drop_user(data["username"])
    team.wait_data(lambda now: now["username"] != data["username"], "db", timeout=40)


def test_a_lease_revoked_behind_our_back_is_replaced(team: Team, role: str, database: AnyDatabase) -> None:
    data = ready(team, role)
    database.revoke(status(team)["secretLease"]["id"])
    team.wait_data(lambda now: now["username"] != data["username"], "db", timeout=40)
    eventually(lambda: status(team)["history"][0]["reason"] == "LeaseNotFound", message="the history tells why")


def test_an_outage_of_vault_keeps_the_credentials_ready_and_they_are_renewed_afterwards(
    team: Team, role: str, proxy: Proxy, database: AnyDatabase
) -> None:
    database.role(role, default_ttl="1m")
    team.access(address=proxy.url)
    dynamic(team, role, renewalPercent=10)
    team.wait_ready("db", KIND, timeout=30)
    data = team.data("db")
    proxy.fault(Status(503, b'{"errors":["Vault is sealed"]}'))
    team.wait_condition("Healthy", "False", kind=KIND, name="db", timeout=40)
    assert team.condition("Ready", KIND, "db")["status"] == "True"
    proxy.clear()
    team.wait_condition("Healthy", kind=KIND, name="db", timeout=40)
    assert team.data("db") == data


def test_an_issue_while_the_database_is_down_is_tried_again(team: Team, role: str, database: AnyDatabase) -> None:
    database.stop()
    try:
        team.access()
        dynamic(team, role)
        team.wait_condition("Reconciling", "True", "VaultUnavailable", kind=KIND, name="db", timeout=40)
        assert team.condition("Ready", "VaultConnection", "vault")["status"] == "True"
    finally:
        database.start()
    team.wait_ready("db", KIND, timeout=90)


def test_an_unknown_role_is_told(team: Team, role: str) -> None:
    team.policy('path "database/creds/*" { capabilities = ["read"] }')
    team.access()
    dynamic(team, "no-such-role")
    condition = team.wait_condition("Stalled", kind=KIND, name="db", timeout=30)
    assert "no-such-role" in condition["message"]


def test_credentials_whose_pass_was_cut_off_are_settled_with_all_of_their_life_and_their_tokens_end(
    team: Team, role: str, database: AnyDatabase, stage: Stage
) -> None:
    database.role(role, default_ttl="1h")
    data = ready(team, role)
    issued = status(team)["secretLease"]
    stage.operator.stop()
    pending = {"id": issued["id"], "tokenExpireTime": issued["tokenExpireTime"]}
    cut_off = {"pendingLease": pending, "secretLease": None, "expires": None, "lastRenewalTime": 0, "destination": None}
    team.bed.kube.patch(KIND, team.ns, "db", {"status": cut_off}, subresource="status")
    stage.operator.start()
    stage.operator.wait_ready()
    eventually(lambda: "pendingLease" not in status(team), timeout=20, message="it is settled")
    told = status(team)
    assert told["history"][0]["reason"] == "PendingFound"
    assert told["secretLease"] == {**issued, "requestID": told["secretLease"]["requestID"]}
    assert issued["duration"] == 3600
    assert team.data("db") == data
    assert database.users(role) == [data["username"]]


def test_credentials_that_a_proxy_has_had_wrapped_are_unwrapped_and_no_lease_is_lost(
    team: Team, role: str, proxy: Proxy, database: AnyDatabase
) -> None:
    wrapped = proxy.fault(Header("X-Vault-Wrap-TTL", "60s"), path_has(f"/creds/{role}"))
    team.access(address=proxy.url)
    dynamic(team, role)
    team.wait_ready("db", KIND, timeout=30)
    data = team.data("db") or {}
    assert wrapped.hits == proxy.count(path_has("/sys/wrapping/unwrap")) == 1
    assert set(data) == {"username", "password"}
    assert database.users(role) == [data["username"]]
    first = status(team)
    assert first["secretLease"]["id"].startswith(f"database/creds/{role}/")
    eventually(lambda: status(team)["lastRenewalTime"] > first["lastRenewalTime"], timeout=30, message="it is renewed")
    team.bed.kube.remove(team.manifest(KIND, "db", {}))
    eventually(lambda: database.users(role) == [], timeout=20, message="the user is gone")


def test_a_connection_that_would_have_every_answer_wrapped_is_refused_before_anything_is_issued(
    team: Team, role: str, database: AnyDatabase
) -> None:
    team.access(connection={"headers": {"X-Vault-Wrap-TTL": "60s"}})
    dynamic(team, role)
    condition = team.wait_condition("Stalled", "True", "InvalidSpec", kind="VaultConnection", name="vault")
    assert "would have every answer wrapped" in condition["message"]
    always(lambda: database.users(role) == [], during=3)


def test_all_leases_of_a_token_that_somebody_revoked_are_replaced_when_one_request_shows_it(
    team: Team, role: str, database: AnyDatabase, stage: Stage
) -> None:
    names = [f"db-{number}" for number in range(8)]
    database.role(role, default_ttl="1h")
    with Proxy(stage.bed.vault.url, record_headers=True) as proxy:
        team.access(address=proxy.url)
        for name in names:
            dynamic(team, role, destination={"name": name, "create": True}, name=name)
        for name in names:
            team.wait_ready(name, KIND, timeout=30)
        before = set(database.users(role))
        sent = {
            value for headers in proxy.headers for name, value in headers.items() if name.lower() == "x-vault-token"
        }
        (token,) = sent
        team.bed.vault.write("auth/token/revoke", {"token": token})
        eventually(lambda: database.users(role) == [], timeout=20, message="Vault has dropped the leases")
        team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}}, KIND, names[0])

        def held() -> set[str]:
            return {(team.data(name) or {})["username"] for name in names}

        eventually(lambda: not held() & before, timeout=20, message="every Secret holds new credentials")
        assert sorted(database.users(role)) == sorted(held())


@pytest.mark.real  # the next leader waits for the Lease to run out
def test_a_killed_operator_issues_nothing_anew_while_the_parents_end_is_far(
    team: Team, role: str, database: AnyDatabase, stage: Stage
) -> None:
    database.role(role, default_ttl="1h")
    data = ready(team, role)
    operator = stage.operator
    operator.kill()
    operator.start()
    operator.wait_ready()
    eventually(lambda: operator.leads, timeout=40, message="it works again")
    always(lambda: team.data("db") == data, during=5)
    assert database.users(role) == [data["username"]]
