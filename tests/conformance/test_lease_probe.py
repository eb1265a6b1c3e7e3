"""Leases that nobody renews for long are looked up now and then; answers without a lease are asked for again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.quiet import logins_told
from tests.conformance.stage import Json, Stage, Team
from tests.testbed.bed import always, eventually
from tests.testbed.database import AnyDatabase

LASTS = 25

OPERATOR_ARGS = ("--lease-probe-interval=3s",)
KIND = "VaultDynamicSecret"


@pytest.fixture
def database(stage: Stage) -> AnyDatabase:
    """The database behind Vault."""
    return stage.bed.database()


@pytest.fixture
def role(team: Team, database: AnyDatabase) -> str:
    """A role of the team's own, whose credentials live an hour at a time."""
    database.role(team.ns, default_ttl="1h", max_ttl="24h")
    team.policy(
        f'path "{database.mount}/creds/{team.ns}" {{ capabilities = ["read"] }}\n'
        f'path "kv1/{team.ns}/*" {{ capabilities = ["read"] }}\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n'
    )
    return team.ns


def ready(team: Team, mount: str, path: str, **changes: Any) -> dict[str, str]:
    team.access()
    destination = {"name": "db", "create": True, "transformation": {"excludeRaw": True}}
    spec = {"vaultAuthRef": "auth", "mount": mount, "path": path, "destination": destination, **changes}
    team.apply(KIND, "db", spec)
    team.wait_ready("db", KIND, timeout=30)
    return team.data("db") or {}


def status(team: Team) -> Json:
    found: Json = team.get(KIND, "db").get("status", {})
    return found


def lookups(stage: Stage, mark: Any, path: str = "sys/leases/lookup") -> int:
    return len([call for call in stage.bed.vault_audit(mark) if call.path == path])


def test_a_lease_revoked_behind_our_back_is_replaced_long_before_its_renewal(
    team: Team, role: str, database: AnyDatabase
) -> None:
    data = ready(team, "database", f"creds/{role}")
    database.revoke(status(team)["secretLease"]["id"])
    now = team.wait_data(lambda now: now["username"] != data["username"], "db", timeout=20)
    eventually(lambda: database.users(role) == [now["username"]], message="the new user lives")
    eventually(lambda: status(team)["history"][0]["reason"] == "LeaseNotFound", message="the status says why")


def test_looking_a_lease_up_writes_nothing(team: Team, role: str, stage: Stage) -> None:
    ready(team, "database", f"creds/{role}")
    logins_told(team)
    mark = stage.bed.mark()
    eventually(lambda: lookups(stage, mark) >= 2, timeout=20, message="it is looked up")
    assert [
        c for c in stage.bed.kube_audit(mark) if c.namespace == team.ns and c.writes and c.resource != "events"
    ] == []


def test_an_answer_without_a_lease_is_asked_for_again_and_holds_no_object(team: Team, role: str, stage: Stage) -> None:
    team.put_v1("app", {"password": "first"})
    ready(team, "kv1", f"{role}/app", refreshAfter="4s")
    assert "finalizers" not in team.get(KIND, "db")["metadata"]
    assert "expires" not in status(team)
    team.put_v1("app", {"password": "second"})
    team.wait_data({"password": "second"}, "db", timeout=20)
    assert lookups(stage, stage.bed.mark()) == 0
    team.bed.kube.remove(team.manifest(KIND, "db", {}))
    eventually(lambda: team.secret("db") is None, timeout=20, message="the object went at once")


def test_an_answer_without_a_lease_and_without_refresh_after_is_asked_for_once(
    team: Team, role: str, stage: Stage
) -> None:
    team.put_v1("app", {"password": "first"})
    data = ready(team, "kv1", f"{role}/app")
    mark = stage.bed.mark()
    always(lambda: team.data("db") == data, during=6)
    assert lookups(stage, mark, f"kv1/{role}/app") == 0
