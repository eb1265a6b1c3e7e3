"""Static database roles: one user whose password Vault rotates, and the Secret that follows it.

Whether a password is right is asked of the database itself.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.quiet import changes, logins_told
from tests.conformance.stage import Json, Stage, Team
from tests.testbed.bed import always, eventually
from tests.testbed.database import AnyDatabase

LASTS = 70
OPERATOR_ARGS = ("--drift-interval=1s",)  # where no watch shows a foreign edit

KIND = "VaultDynamicSecret"


@pytest.fixture
def database(stage: Stage) -> AnyDatabase:
    """The database behind Vault."""
    return stage.bed.database()


@pytest.fixture
def role(team: Team, database: AnyDatabase) -> str:
    """A static role of the team's own, rotated once a day, whose policy lets the team read it and nothing else."""
    database.static_role(team.ns)
    team.policy(f'path "{database.mount}/static-creds/{team.ns}" {{ capabilities = ["read"] }}')
    return team.ns


def static(team: Team, role: str, **changes: Any) -> Json:
    spec = {
        "vaultAuthRef": "auth",
        "mount": "database",
        "path": f"static-creds/{role}",
        "allowStaticCreds": True,
        "destination": {"name": "db", "create": True, "transformation": {"excludeRaw": True}},
        **changes,
    }
    return team.apply(KIND, "db", {name: value for name, value in spec.items() if value is not None})


def ready(team: Team, role: str, **changes: Any) -> dict[str, str]:
    team.access()
    static(team, role, **changes)
    team.wait_ready("db", KIND, timeout=30)
    return team.data("db") or {}


def status(team: Team) -> Json:
    found: Json = team.get(KIND, "db").get("status", {})
    return found


def reads(stage: Stage, role: str, mark: Any) -> int:
    return len([call for call in stage.bed.vault_audit(mark) if call.path == f"database/static-creds/{role}"])


def test_the_password_appears_with_what_vault_says_of_its_rotations(
    team: Team, role: str, database: AnyDatabase
) -> None:
    data = ready(team, role)
    assert data["password"] == database.rotating(role).login.password
    told = status(team)
    meta = told["staticCredsMetaData"]
    assert meta["rotationPeriod"] == 86400
    assert meta["lastVaultRotation"] == int(database.rotating(role).rotated.timestamp())
    assert 86000 < meta["ttl"] <= 86400
    lease = {name: told["secretLease"][name] for name in ("id", "duration", "renewable")}
    assert lease == {"id": "", "duration": 0, "renewable": False}, "as the reference operator writes it"
    assert told["secretMAC"]
    assert told["history"][0]["reason"] == "InitialSync"
    assert "finalizers" not in team.get(KIND, "db")["metadata"]


@pytest.mark.long
def test_each_rotation_reaches_the_secret_and_a_password_from_before_never_follows_one_from_after(
    team: Team, role: str, database: AnyDatabase
) -> None:
    database.static_role(role, rotation_period="5s")
    ready(team, role)
    seen: list[str] = []
    rotations: list[int] = []

    def three_rotations() -> bool:
        now = team.data("db") or {}
        if not seen or seen[-1] != now["password"]:
            assert now["password"] not in seen
            seen.append(now["password"])
        meta = status(team)["staticCredsMetaData"]["lastVaultRotation"]
        if not rotations or rotations[-1] != meta:
            assert not rotations or meta > rotations[-1]
            rotations.append(meta)
        return len(seen) >= 4

    eventually(three_rotations, timeout=60, message="three rotations are in the Secret")
    assert status(team)["history"][0]["reason"] == "VaultRotation"
    assert team.condition("Ready", KIND, "db")["status"] == "True"
    assert team.events("db", "SecretRotated")


def test_after_a_rotation_the_secret_has_the_new_password_within_seconds(
    team: Team, role: str, database: AnyDatabase
) -> None:
    database.static_role(role, rotation_period="10s")
    ready(team, role)
    before = database.rotating(role)
    eventually(lambda: database.rotating(role).rotated > before.rotated, timeout=30, message="Vault rotates")
    now = database.rotating(role).login.password
    eventually(lambda: (team.data("db") or {})["password"] == now, timeout=5, message="the Secret follows")


def test_a_rotation_by_hand_is_seen_within_refresh_after(team: Team, role: str, database: AnyDatabase) -> None:
    data = ready(team, role, refreshAfter="2s")
    database.rotate(role)
    now = team.wait_data(lambda now: now["password"] != data["password"], "db", timeout=15)
    assert now["password"] == database.rotating(role).login.password


def test_without_refresh_after_nothing_is_read_before_the_rotation_and_a_restart_reads_nothing_either(
    team: Team, role: str, stage: Stage, database: AnyDatabase
) -> None:
    data = ready(team, role)
    before = status(team)
    mark = stage.bed.mark()
    operator = stage.operator
    operator.stop()
    operator.start()
    operator.wait_ready()
    eventually(lambda: operator.leads, timeout=30, message="it works again")
    always(lambda: team.data("db") == data, during=4)
    assert reads(stage, role, mark) == 0
    assert status(team) == before


def test_looks_that_find_the_same_password_write_nothing(team: Team, role: str, stage: Stage) -> None:
    ready(team, role, refreshAfter="1s")
    logins_told(team)
    mark = stage.bed.mark()
    eventually(lambda: reads(stage, role, mark) >= 4, timeout=20, message="Vault is asked")
    assert [call for call in changes(stage, mark, team.ns) if call.resource != "events"] == []


def test_a_resync_annotation_reads_afresh_and_is_acknowledged_without_a_write_of_the_same_password(
    team: Team, role: str, stage: Stage
) -> None:
    ready(team, role)
    version = (team.secret("db") or {})["metadata"]["resourceVersion"]
    mark = stage.bed.mark()
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}}, KIND, "db")
    eventually(lambda: status(team).get("lastHandledResync") == "1", message="it is acknowledged")
    assert reads(stage, role, mark) == 1
    assert (team.secret("db") or {})["metadata"]["resourceVersion"] == version


def test_a_secret_deleted_by_hand_returns_with_the_same_password(team: Team, role: str) -> None:
    data = ready(team, role)
    team.bed.kube.remove({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": team.ns}})
    team.wait_data(lambda now: now["password"] == data["password"], "db", timeout=30)


def test_a_changed_label_asks_vault_for_nothing(team: Team, role: str, stage: Stage) -> None:
    ready(team, role)
    mark = stage.bed.mark()
    destination = {"name": "db", "create": True, "labels": {"tier": "db"}, "transformation": {"excludeRaw": True}}
    static(team, role, destination=destination)
    eventually(
        lambda: (team.secret("db") or {})["metadata"]["labels"].get("tier") == "db", message="the label is there"
    )
    team.wait_ready("db", KIND)
    assert reads(stage, role, mark) == 0


def test_targets_restart_for_a_new_password_and_for_nothing_else(team: Team, role: str, database: AnyDatabase) -> None:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "registry/web"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    team.bed.kube.apply(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": team.ns}, "spec": spec}
    )

    def restarted() -> str:
        found = team.bed.kube.find("Deployment", team.ns, "web")["spec"]["template"]["metadata"].get("annotations", {})
        return str(found.get("vso.secrets.hashicorp.com/restartedAt", ""))

    ready(team, role, refreshAfter="1s", rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    always(lambda: not restarted(), during=3)
    database.rotate(role)
    first = eventually(lambda: restarted() or None, timeout=20, message="it restarts")
    always(lambda: restarted() == first, during=4)
    assert status(team)["history"][0]["restart"] == "Triggered"


def test_a_dynamic_role_under_allow_static_creds_is_a_lease_like_any_other(team: Team, database: AnyDatabase) -> None:
    database.role(team.ns, default_ttl="1h")
    team.policy(
        f'path "{database.mount}/creds/{team.ns}" {{ capabilities = ["read"] }}\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n'
    )
    data = ready(team, team.ns, path=f"creds/{team.ns}")
    assert database.users(team.ns) == [data["username"]]
    assert status(team)["secretLease"]["id"]
    assert team.get(KIND, "db")["metadata"]["finalizers"]
    team.bed.kube.remove(team.manifest(KIND, "db", {}))
    eventually(lambda: database.users(team.ns) == [], timeout=20, message="the user is gone")


def test_a_dynamic_role_under_allow_static_creds_never_has_more_than_two_leases(
    team: Team, database: AnyDatabase
) -> None:
    database.role(team.ns, default_ttl="1h")
    team.policy(
        f'path "{database.mount}/creds/{team.ns}" {{ capabilities = ["read"] }}\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n'
    )
    data = ready(team, team.ns, path=f"creds/{team.ns}", overlap="1h")
    for number in range(3):
        before = data["username"]
        team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": str(number)}}}, KIND, "db")
        data = team.wait_data(lambda now: now["username"] != before, "db", timeout=20)  # noqa: B023
        assert sorted(database.users(team.ns)) == sorted({before, data["username"]})


def test_from_a_dynamic_to_a_static_role_the_lease_is_given_back_and_the_object_is_free(
    team: Team, role: str, database: AnyDatabase
) -> None:
    dynamic = f"{role}-dynamic"
    database.role(dynamic, default_ttl="1h")
    team.policy(
        f'path "{database.mount}/+/{role}*" {{ capabilities = ["read"] }}\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n'
    )
    ready(team, role, path=f"creds/{dynamic}", overlap="2s", allowStaticCreds=None)
    assert len(database.users(dynamic)) == 1
    static(team, role, overlap="2s")
    team.wait_data(lambda now: now["username"] == role, "db", timeout=20)
    eventually(lambda: database.users(dynamic) == [], timeout=20, message="the lease is given back")
    eventually(
        lambda: "finalizers" not in team.get(KIND, "db")["metadata"], timeout=10, message="nothing holds the object"
    )
    team.wait_ready("db", KIND)
