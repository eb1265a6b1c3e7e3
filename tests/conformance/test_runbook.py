"""Incidents of the runbook in `GUIDE.md` that no other scenario carries out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.conformance.stage import Team
from tests.testbed.bed import eventually
from tests.testbed.real import REVIEWER, REVIEWER_NAMESPACE, RealBed

pytestmark = pytest.mark.real
LASTS = 130

MOUNT = "elsewhere"
DYNAMIC = "VaultDynamicSecret"


def mount_login(team: Team, bed: RealBed) -> None:
    """Mount a login of the method kubernetes of its own, with the team's role."""
    config = {
        "kubernetes_host": bed.kube.access.url,
        "kubernetes_ca_cert": bed.authority.certificate.read_text(),
        "token_reviewer_jwt": bed.token_for(REVIEWER_NAMESPACE, REVIEWER),
        "disable_local_ca_jwt": True,
    }
    bed.vault.write(f"sys/auth/{MOUNT}", {"type": "kubernetes"})
    bed.vault.write(f"auth/{MOUNT}/config", config)
    role = {"bound_service_account_names": "app", "bound_service_account_namespaces": team.ns, "audience": "vault"}
    bed.vault.write(f"auth/{MOUNT}/role/{team.ns}", {**role, "token_policies": team.ns, "token_ttl": "20m"})


@pytest.fixture
def login(team: Team, real_bed: RealBed) -> Iterator[None]:
    """The login mount, there before and gone afterwards."""
    mount_login(team, real_bed)
    yield
    real_bed.vault.delete(f"sys/auth/{MOUNT}")


@pytest.mark.usefixtures("login")
def test_a_login_mount_that_was_taken_away_is_named_and_used_again_when_it_is_back(
    team: Team, real_bed: RealBed
) -> None:
    team.access(auth={"mount": MOUNT})
    team.put("app", {"password": "v1"})
    team.static()
    team.wait_ready()
    real_bed.vault.delete(f"sys/auth/{MOUNT}")
    condition = team.wait_condition("Stalled", reason="VaultLoginRefused", timeout=40)
    assert MOUNT in condition["message"]
    assert team.the_data()["password"] == "v1"
    mount_login(team, real_bed)
    team.put("app", {"password": "v2"})
    team.access(auth={"mount": MOUNT, "kubernetes": {"tokenExpirationSeconds": 900}})
    team.wait_data(lambda data: data["password"] == "v2", timeout=40)


@pytest.mark.long  # an older version may be a node that lags behind, for a minute
def test_a_vault_that_is_put_back_to_a_snapshot_is_followed(team: Team, real_bed: RealBed) -> None:
    database = real_bed.database()
    database.role(team.ns, default_ttl="1h")
    team.policy(
        f'path "kv/data/{team.ns}/*" {{ capabilities = ["read"] }}\n'
        f'path "{database.mount}/creds/{team.ns}" {{ capabilities = ["read"] }}\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n'
    )
    team.ready()
    data, kept = real_bed.directory / "vault", real_bed.directory / "vault-snapshot"
    real_bed.stop_server("vault")
    shutil.copytree(data, kept)
    real_bed.start_server("vault")
    team.put("app", {"password": "v2"})
    team.wait_data(lambda found: found["password"] == "v2", timeout=40)
    spec = {"vaultAuthRef": "auth", "mount": database.mount, "path": f"creds/{team.ns}"}
    team.apply(DYNAMIC, "db", {**spec, "destination": {"name": "db", "create": True}})
    team.wait_ready("db", DYNAMIC, timeout=30)
    forgotten = team.the_data("db")["username"]
    real_bed.stop_server("vault")
    shutil.rmtree(data)
    kept.rename(data)
    real_bed.start_server("vault")
    team.wait_data(lambda found: found["password"] == "v1", timeout=120)
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}}, DYNAMIC, "db")
    team.wait_data(lambda found: found["username"] != forgotten, name="db", timeout=60)
    team.wait_ready()
    users = database.users(team.ns)
    assert set(users) == {forgotten, team.the_data("db")["username"]}
    database.drop_user(forgotten)
    team.bed.kube.delete(DYNAMIC, team.ns, "db")
    eventually(lambda: database.users(team.ns) == [], message="what Vault knows of is given back")
