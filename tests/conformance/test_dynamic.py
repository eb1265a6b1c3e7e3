"""Dynamic secrets: credentials of a database that Vault makes, renews and takes back.

The database counts its users itself: whatever the operator says, that is what lives.
"""

from __future__ import annotations

import pytest

from tests.conformance.borrowing import KIND, dynamic, ready, role_of, status
from tests.conformance.quiet import changes, logins_told
from tests.conformance.stage import Stage, Team
from tests.testbed.bed import always, eventually
from tests.testbed.database import AnyDatabase

LASTS = 80

OPERATOR_ARGS = ("--drift-interval=1s",)  # where no watch shows a foreign edit

RESTART = "vso.hashicorp.com/restart"
FINALIZER = "vaultdynamicsecret.secrets.hashicorp.com/finalizer"


@pytest.fixture
def database(stage: Stage) -> AnyDatabase:
    """The database behind Vault."""
    return stage.bed.database()


@pytest.fixture
def role(team: Team, database: AnyDatabase) -> str:
    """A role of the team's own, whose policy lets it issue and give back."""
    return role_of(team, database)


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


def test_a_replaced_lease_is_kept_alive_while_its_consumers_change_over_and_as_long_as_its_overlap(
    team: Team, role: str, database: AnyDatabase
) -> None:
    data = ready(team, role, overlap="25s", rolloutRestartTargets=[{"kind": "Deployment", "name": "late"}])
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}}, KIND, "db")
    now = team.wait_data(lambda now: now["username"] != data["username"], "db", timeout=30)
    both = {data["username"], now["username"]}
    always(lambda: set(database.users(role)) == both, during=20, message="twice as long as it would live by itself")
    eventually(lambda: database.users(role) == [now["username"]], timeout=12, message="the old user is gone")
