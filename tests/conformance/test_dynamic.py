"""Dynamic secrets: credentials of a database that Vault makes, renews and takes back.

The database counts its users itself: whatever the operator says, that is what lives.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.quiet import changes, logins_told
from tests.conformance.stage import Json, Stage, Team
from tests.testbed.bed import always, eventually
from tests.testbed.database import AnyDatabase
from tests.testbed.proxy import Header, Proxy, Status, path_has

LASTS = 100
OPERATOR_ARGS = ("--drift-interval=1s",)  # where no watch shows a foreign edit

KIND = "VaultDynamicSecret"
RESTART = "vso.hashicorp.com/restart"
FINALIZER = "vaultdynamicsecret.secrets.hashicorp.com/finalizer"


@pytest.fixture
def database(stage: Stage) -> AnyDatabase:
    """The database behind Vault."""
    return stage.bed.database()


@pytest.fixture
def role(team: Team, database: AnyDatabase) -> str:
    """A role of the team's own, whose policy lets it issue and give back."""
    name = team.ns
    database.role(name, default_ttl="10s", max_ttl="24h")
    team.policy(
        f'path "{database.mount}/creds/{name}" {{ capabilities = ["read"] }}\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n'
    )
    return name


@pytest.fixture
def proxy(stage: Stage) -> Iterator[Proxy]:
    """A fault proxy before Vault."""
    with stage.bed.vault_proxy() as proxy:
        yield proxy


def dynamic(team: Team, role: str, **changes: Any) -> Json:
    spec = {
        "vaultAuthRef": "auth",
        "mount": "database",
        "path": f"creds/{role}",
        "destination": {"name": "db", "create": True, "transformation": {"excludeRaw": True}},
        "overlap": "3s",
        **changes,
    }
    metadata, name = spec.pop("metadata", {}), spec.pop("name", "db")
    return team.apply(KIND, name, {field: value for field, value in spec.items() if value is not None}, **metadata)


def ready(team: Team, role: str, **changes: Any) -> dict[str, str]:
    team.access()
    dynamic(team, role, **changes)
    team.wait_ready("db", KIND, timeout=30)
    return team.data("db") or {}


def status(team: Team) -> Json:
    found: Json = team.get(KIND, "db").get("status", {})
    return found


def test_credentials_appear_and_work(team: Team, role: str, database: AnyDatabase) -> None:
    data = ready(team, role)
    assert set(data) == {"username", "password"}
    assert database.users(role) == [data["username"]]
    told = status(team)
    assert told["secretLease"]["id"].startswith(f"database/creds/{role}/")
    assert told["secretLease"]["duration"] == 10
    assert told["secretLease"]["renewable"] is True
    assert told["lastGeneration"] == 1
    assert "pendingLease" not in told
    assert told["history"][0]["reason"] == "InitialSync"
    secret = team.secret("db") or {}
    mark = secret["metadata"]["annotations"]["vso.hashicorp.com/lease"]
    assert mark == told["rolledOutDigest"]
    assert told["secretLease"]["id"] not in str(secret)


def test_the_first_sync_costs_four_requests_and_an_event(
    team: Team, role: str, stage: Stage, database: AnyDatabase
) -> None:
    database.role(role, default_ttl="1h")  # no renewal comes in between
    team.access()
    team.wait_ready("vault", "VaultConnection")
    team.wait_ready("auth", "VaultAuth")
    mark = stage.bed.mark()
    dynamic(team, role)
    team.wait_ready("db", KIND, timeout=30)
    eventually(lambda: team.events("db"), message="the event is told")
    calls = [
        (call.verb, f"{call.resource}/{call.subresource}".rstrip("/"))
        for call in stage.bed.kube_audit(mark)
        if call.namespace == team.ns
        and call.user.endswith("vault-secrets-operator")
        and call.resource in {"secrets", "vaultdynamicsecrets", "events"}
    ]
    assert sorted(calls) == [
        ("create", "events"),
        ("create", "secrets"),
        ("patch", "vaultdynamicsecrets"),
        ("patch", "vaultdynamicsecrets/status"),
        ("patch", "vaultdynamicsecrets/status"),
    ]


def test_a_lease_is_renewed_and_the_credentials_stay(team: Team, role: str, stage: Stage) -> None:
    data = ready(team, role)
    logins_told(team)
    first = status(team)
    eventually(lambda: team.events("db"), message="what came before is told")
    mark = stage.bed.mark()
    eventually(lambda: status(team)["lastRenewalTime"] > first["lastRenewalTime"], timeout=30, message="it is renewed")
    second = status(team)["lastRenewalTime"]
    eventually(lambda: status(team)["lastRenewalTime"] > second, timeout=30, message="and again")
    assert team.data("db") == data
    assert status(team)["secretLease"]["id"] == first["secretLease"]["id"]
    assert team.condition("LeaseRenewal", KIND, "db")["status"] == "True"
    writes = changes(stage, mark, team.ns)
    assert {(c.resource, c.subresource) for c in writes} == {("vaultdynamicsecrets", "status")}
    renewals = [c for c in stage.bed.vault_audit(mark) if c.path == "sys/leases/renew"]
    assert len(writes) == len([c for c in renewals if f"-{team.ns}-" in c.display_name])


def test_near_the_end_that_nothing_moves_new_credentials_come_and_the_old_ones_go(
    team: Team, role: str, database: AnyDatabase
) -> None:
    database.role(role, default_ttl="10s", max_ttl="18s")
    data = ready(team, role)
    most = 0

    def rotated() -> bool:
        nonlocal most
        most = max(most, len(database.users(role)))
        now = team.data("db") or {}
        return now["username"] != data["username"] and database.users(role) == [now["username"]]

    eventually(rotated, timeout=60, message="the old user is gone and the new one is in the Secret")
    assert most <= 2
    assert status(team)["history"][0]["reason"] in {"LeaseTruncated", "LeaseNotRenewable"}
    assert team.events("db", "LeaseTooShort")


def test_a_changed_label_keeps_the_lease_and_changes_the_secret(team: Team, role: str, stage: Stage) -> None:
    data = ready(team, role)
    issued = status(team)["secretLease"]["id"]
    destination = {"name": "db", "create": True, "labels": {"tier": "db"}, "transformation": {"excludeRaw": True}}
    dynamic(team, role, destination=destination, renewalPercent=50)
    team.wait_ready("db", KIND)
    assert (team.secret("db") or {})["metadata"]["labels"]["tier"] == "db"
    assert status(team)["secretLease"]["id"] == issued
    assert team.data("db") == data


def test_a_changed_request_brings_new_credentials(team: Team, role: str, database: AnyDatabase) -> None:
    data = ready(team, role)
    other = f"{role}-other"
    database.role(other, default_ttl="1h")
    team.policy(
        f'path "database/creds/{role}*" {{ capabilities = ["read"] }}\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n'
    )
    dynamic(team, other)
    team.wait_data(lambda now: now["username"] != data["username"], "db", timeout=30)
    eventually(lambda: database.users(role) == [], timeout=30, message="the old user goes when its overlap is over")
    assert len(database.users(other)) == 1


def test_a_secret_deleted_by_hand_gets_new_credentials_and_the_old_ones_go(
    team: Team, role: str, database: AnyDatabase
) -> None:
    data = ready(team, role)
    team.bed.kube.remove({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": team.ns}})
    team.wait_data(lambda now: now["username"] != data["username"], "db", timeout=30)
    eventually(
        lambda: database.users(role) == [(team.data("db") or {})["username"]], timeout=30, message="one user is left"
    )


def test_a_foreign_label_on_the_secret_issues_nothing(team: Team, role: str, database: AnyDatabase) -> None:
    data = ready(team, role)
    team.bed.kube.patch("Secret", team.ns, "db", {"metadata": {"labels": {"tracking": "argo"}}})
    always(lambda: database.users(role) == [data["username"]], during=3, message="the credentials stay")


def test_a_foreign_edit_of_the_data_brings_new_credentials(team: Team, role: str) -> None:
    data = ready(team, role)
    team.bed.kube.patch("Secret", team.ns, "db", {"data": {"password": "Zm9yZWlnbg=="}})
    team.wait_data(lambda now: now["username"] != data["username"], "db", timeout=30)


def test_deleting_the_object_gives_the_lease_back(team: Team, role: str, database: AnyDatabase) -> None:
    ready(team, role)
    assert team.get(KIND, "db")["metadata"]["finalizers"] == [FINALIZER]
    team.bed.kube.remove(team.manifest(KIND, "db", {}))
    eventually(lambda: database.users(role) == [], timeout=20, message="the user is gone")
    eventually(lambda: team.secret("db") is None, timeout=60, message="the Secret went with its owner")


def test_revoke_false_leaves_the_lease_and_takes_no_finalizer(team: Team, role: str, database: AnyDatabase) -> None:
    data = ready(team, role, revoke=False)
    assert "finalizers" not in team.get(KIND, "db")["metadata"]
    team.bed.kube.remove(team.manifest(KIND, "db", {}))
    eventually(lambda: team.secret("db") is None, timeout=60, message="the Secret went with its owner")
    assert database.users(role) == [data["username"]]


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


def test_a_resync_annotation_brings_new_credentials_once(team: Team, role: str) -> None:
    data = ready(team, role)
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}}, KIND, "db")
    now = team.wait_data(lambda now: now["username"] != data["username"], "db", timeout=30)
    eventually(lambda: status(team).get("lastHandledResync") == "1", message="it is acknowledged")
    team.patch({"metadata": {"labels": {"touched": "yes"}}}, KIND, "db")
    always(lambda: team.data("db") == now, during=3)


def test_a_restart_that_is_asked_for_keeps_the_credentials(team: Team, role: str) -> None:
    labels = {"app": "app"}
    pod = {"containers": [{"name": "app", "image": "app:1"}]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "app", "namespace": team.ns},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }
    team.bed.kube.apply(deployment)
    targets = [{"kind": "Deployment", "name": "app"}]
    data = ready(team, role, rolloutRestartTargets=targets, metadata={"annotations": {RESTART: "from-git"}})
    assert status(team)["lastHandledRestart"] == "from-git"
    for value, generation in (("one", 2), ("one", 2), ("two", 3)):
        team.patch({"metadata": {"annotations": {RESTART: value}}}, KIND, "db")
        eventually(lambda: status(team)["lastHandledRestart"] == value, message="it is acknowledged")  # noqa: B023
        assert team.bed.kube.find("Deployment", team.ns, "app")["metadata"]["generation"] == generation
    assert team.data("db") == data
    assert len(status(team)["history"]) == 1


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


def test_suspended_leases_are_renewed_and_not_replaced(team: Team, role: str) -> None:
    data = ready(team, role)
    dynamic(team, role, suspend=True)
    before = status(team)["lastRenewalTime"]
    eventually(lambda: status(team)["lastRenewalTime"] > before, timeout=40, message="it is renewed")
    assert team.data("db") == data


def test_under_a_token_that_cannot_be_renewed_credentials_stay_for_a_good_part_of_its_life(
    team: Team, role: str, database: AnyDatabase
) -> None:
    database.role(role, default_ttl="1h")
    team.role(token_type="batch", token_ttl="2m")
    data = ready(team, role, renewalPercent=10)
    logins_told(team)
    assert team.get("VaultAuth", "auth")["status"]["tokenType"] == "batch"
    # Longer than a period of renewals: none of them could grant more, and none means that the lease nears its end.
    always(lambda: team.data("db") == data, during=14, message="they are not replaced again and again")
    assert database.users(role) == [data["username"]]


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


def test_a_replaced_lease_is_kept_alive_while_its_consumers_change_over_and_as_long_as_its_overlap(
    team: Team, role: str, database: AnyDatabase
) -> None:
    data = ready(team, role, overlap="25s", rolloutRestartTargets=[{"kind": "Deployment", "name": "late"}])
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}}, KIND, "db")
    now = team.wait_data(lambda now: now["username"] != data["username"], "db", timeout=30)
    both = {data["username"], now["username"]}
    always(lambda: set(database.users(role)) == both, during=20, message="twice as long as it would live by itself")
    eventually(lambda: database.users(role) == [now["username"]], timeout=12, message="the old user is gone")


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
