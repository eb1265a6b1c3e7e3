"""What scenarios of dynamic secrets take for granted of Vault's leases, on either bed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.testbed.bed import Bed, VaultError, eventually
from tests.testbed.database import AnyDatabase

LASTS = 15


@pytest.fixture
def database(bed: Bed) -> Iterator[AnyDatabase]:
    """The database, running before and after."""
    database = bed.database()
    yield database
    for lease in [lease for role in ("leased", "brief", "away", "parted") for lease in database.leases(role)]:
        database.revoke(lease)


def refusal(vault_error: pytest.ExceptionInfo[VaultError]) -> tuple[int, str]:
    return vault_error.value.status, "; ".join(vault_error.value.errors).split(":")[0]


def test_a_credential_works_until_its_lease_is_revoked(database: AnyDatabase) -> None:
    database.role("leased", default_ttl="20s", max_ttl="30s")
    issued = database.issue("leased")
    assert (issued.seconds, issued.renewable, database.accepts(issued.login)) == (20, True, True)
    assert database.leases("leased") == [issued.lease_id]
    assert 20 < database.renew(issued.lease_id, 3600) <= 30, "cut at the role's longest life"
    database.revoke(issued.lease_id)
    database.revoke(issued.lease_id)
    assert (database.users("leased"), database.accepts(issued.login)) == ([], False)
    with pytest.raises(VaultError) as renewal:
        database.renew(issued.lease_id)
    assert refusal(renewal) == (400, "lease not found")
    with pytest.raises(VaultError) as lookup:
        database.vault.write("sys/leases/lookup", {"lease_id": issued.lease_id})
    assert refusal(lookup) == (400, "invalid lease")


def test_a_lease_ends_with_its_own_life_or_with_its_token(bed: Bed, database: AnyDatabase) -> None:
    database.role("brief", default_ttl="2s", max_ttl="60s")
    database.role("parted", default_ttl="1h")
    bed.vault.policy("parted", 'path "database/creds/parted" { capabilities = ["read"] }')
    token = bed.vault.write("auth/token/create", {"policies": ["parted"]})["auth"]
    of_token = bed.vault.read("database/creds/parted", token=token["client_token"])
    ends, stays = database.issue("brief"), database.issue("brief")
    database.renew(stays.lease_id, 60)
    with pytest.raises(VaultError) as forbidden:
        bed.vault.write("sys/leases/revoke", {"lease_id": of_token["lease_id"]}, token=token["client_token"])
    assert forbidden.value.status == 403, "revoke is not in the default policy"
    bed.vault.write("auth/token/revoke-accessor", {"accessor": token["accessor"]})
    eventually(lambda: database.users("parted") == [], message="the user went with the token")
    eventually(lambda: database.users("brief") == [stays.login.username], message="the other user is gone")
    assert (database.accepts(ends.login), database.accepts(stays.login)) == (False, True)


def test_while_the_database_is_away_nothing_is_issued_renewed_or_revoked(database: AnyDatabase) -> None:
    database.role("away")
    issued = database.issue("away")
    database.stop()
    try:
        with pytest.raises(VaultError) as issue:
            database.issue("away")
        with pytest.raises(VaultError) as renewal:
            database.renew(issued.lease_id)
        with pytest.raises(VaultError) as revoke:
            database.revoke(issued.lease_id)
    finally:
        database.start()
    assert issue.value.status == 500
    assert refusal(renewal) == (400, "failed to renew entry")
    assert refusal(revoke) == (400, "failed to revoke entry")
    assert database.leases("away") == [issued.lease_id]
    assert database.accepts(issued.login)


def test_a_user_dropped_behind_vaults_back_keeps_its_lease_and_cannot_be_renewed(database: AnyDatabase) -> None:
    database.role("leased")
    issued = database.issue("leased")
    database.drop_user(issued.login.username)
    assert (database.accepts(issued.login), database.leases("leased")) == (False, [issued.lease_id])
    with pytest.raises(VaultError) as renewal:
        database.renew(issued.lease_id)
    assert refusal(renewal) == (400, "failed to renew entry")
    database.revoke(issued.lease_id)
    assert database.leases("leased") == []


def test_a_static_role_is_rotated_by_hand_and_by_time(database: AnyDatabase) -> None:
    database.static_role("turning", rotation_period="5s")
    first = database.rotating("turning")
    database.rotate("turning")
    second = database.rotating("turning")
    assert second.rotated > first.rotated
    assert (database.accepts(first.login), database.accepts(second.login)) == (False, True)
    eventually(lambda: database.rotating("turning").rotated > second.rotated, 20, "rotated by time")
    third = database.rotating("turning")
    assert (database.accepts(second.login), database.accepts(third.login)) == (False, True)
    database.vault.delete("database/static-roles/turning")
