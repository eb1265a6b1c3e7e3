"""A team that holds credentials of a database, which is what keeps a finalizer of the operator's on an object."""

from __future__ import annotations

from tests.conformance.stage import Team
from tests.testbed.database import AnyDatabase

KIND, NAME = "VaultDynamicSecret", "held"
FINALIZER = "vaultdynamicsecret.secrets.hashicorp.com/finalizer"


def hold(team: Team) -> AnyDatabase:
    """Have the team, which has its access, hold a lease for an hour."""
    database = team.bed.database()
    database.role(team.ns, default_ttl="1h")
    team.policy(
        f'path "kv/data/{team.ns}/*" {{ capabilities = ["read"] }}\n'
        f'path "{database.mount}/creds/{team.ns}" {{ capabilities = ["read"] }}\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n'
    )
    destination = {"name": NAME, "create": True, "transformation": {"excludeRaw": True}}
    spec = {"vaultAuthRef": "auth", "mount": database.mount, "path": f"creds/{team.ns}", "destination": destination}
    team.apply(KIND, NAME, spec)
    team.wait_ready(NAME, KIND, timeout=30)
    return database


def finalizers(team: Team) -> list[str]:
    """The finalizers of the object that holds them."""
    found: list[str] = team.get(KIND, NAME)["metadata"].get("finalizers", [])
    return found
