"""Vault's database engine with a real PostgreSQL: what the scenarios of dynamic secrets take for granted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import psycopg
import pytest

from tests.testbed.bed import VaultError, eventually
from tests.testbed.database import Database
from tests.testbed.postgres import Login
from tests.testbed.real import RealBed

pytestmark = pytest.mark.real


@pytest.fixture
def database(real_bed: RealBed) -> Iterator[Database]:
    """The database, running before and after."""
    database = real_bed.database()
    yield database
    if not database.postgres.process.running:
        database.start()


def test_a_role_issues_users_that_work_until_they_are_revoked(database: Database) -> None:
    database.role("smoke")
    one, other = database.issue("smoke"), database.issue("smoke")
    assert database.users("smoke") == [one.login.username, other.login.username]
    assert (one.seconds, one.renewable) == (3600, True)
    assert database.leases("smoke") == sorted([one.lease_id, other.lease_id])
    assert database.accepts(one.login)
    assert not database.accepts(Login(one.login.username, "wrong"))
    with database.postgres.connect(one.login) as session:
        database.revoke(one.lease_id)
        with pytest.raises(psycopg.OperationalError, match="terminating connection"):
            session.execute("SELECT 1")
    assert database.users("smoke") == [other.login.username]
    assert not database.accepts(one.login)
    assert database.accepts(other.login)
    database.revoke(other.lease_id)


def test_a_renewal_is_cut_at_the_roles_longest_life(database: Database) -> None:
    database.role("short", default_ttl="20s", max_ttl="30s")
    issued = database.issue("short")
    assert issued.seconds == 20
    assert 20 < database.renew(issued.lease_id, 3600) <= 30
    database.revoke(issued.lease_id)
    with pytest.raises(VaultError, match="lease not found") as gone:
        database.renew(issued.lease_id)
    assert gone.value.status == 400


def test_a_user_ends_with_its_lease_and_a_renewed_one_lives_on(database: Database) -> None:
    database.role("brief", default_ttl="3s", max_ttl="60s")
    ends, stays = database.issue("brief"), database.issue("brief")
    database.renew(stays.lease_id, 60)
    eventually(lambda: database.users("brief") == [stays.login.username], message="the other user is gone")
    assert not database.accepts(ends.login)
    assert database.accepts(stays.login), "its life in the database was renewed too"
    database.revoke(stays.lease_id)


def test_a_user_may_be_dropped_behind_vaults_back(database: Database) -> None:
    database.role("dropped")
    issued = database.issue("dropped")
    database.drop_user(issued.login.username)
    assert not database.accepts(issued.login)
    assert database.leases("dropped") == [issued.lease_id], "Vault does not notice"
    database.revoke(issued.lease_id)
    assert database.leases("dropped") == []


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_while_the_database_is_away_vault_issues_and_revokes_nothing(database: Database, end: str) -> None:
    database.role(f"away-{end}")
    issued = database.issue(f"away-{end}")
    database.stop() if end == "stop" else database.postgres.kill()
    with pytest.raises(VaultError) as issue:
        database.issue(f"away-{end}")
    assert issue.value.status == 500
    with pytest.raises(VaultError) as revoke:
        database.revoke(issued.lease_id)
    assert revoke.value.status == 400
    with pytest.raises(psycopg.OperationalError):
        database.accepts(issued.login)
    database.start()
    assert database.leases(f"away-{end}") == [issued.lease_id]
    assert database.accepts(issued.login)
    database.revoke(issued.lease_id)
    assert database.users(f"away-{end}") == []


def test_a_static_roles_password_and_its_time_of_rotation_switch_together(database: Database) -> None:
    database.static_role("rotating", rotation_period="5s")
    seen: dict[datetime, set[str]] = {}
    due: list[bool] = []

    def three_rotations() -> bool:
        now = database.rotating("rotating")
        seen.setdefault(now.rotated, set()).add(now.login.password)
        if now.seconds == 0:
            due.append(database.accepts(now.login))
        return len(seen) >= 3

    eventually(three_rotations, 30, "the password was rotated twice")
    assert all(len(passwords) == 1 for passwords in seen.values())
    assert len(set[str]().union(*seen.values())) == len(seen)
    assert any(due), "a password that is due is still the right one for a while"
    database.vault.delete("database/static-roles/rotating")


def test_a_static_role_is_rotated_by_hand(database: Database) -> None:
    database.static_role("by-hand")
    before = database.rotating("by-hand")
    database.rotate("by-hand")
    after = database.rotating("by-hand")
    assert after.rotated > before.rotated
    assert database.accepts(after.login)
    assert not database.accepts(before.login)
    database.vault.delete("database/static-roles/by-hand")
