"""A team's dynamic secret `db`, whose credentials live for seconds.

Invariant: a role of the database is the team's own, named as its namespace.
"""

from __future__ import annotations

from typing import Any

from tests.conformance.stage import Json, Team
from tests.testbed.database import AnyDatabase

KIND = "VaultDynamicSecret"


def role_of(team: Team, database: AnyDatabase) -> str:
    """Write a role of the team's own, and a policy that lets it issue and give back; return its name."""
    name = team.ns
    database.role(name, default_ttl="10s", max_ttl="24h")
    team.policy(
        f'path "{database.mount}/creds/{name}" {{ capabilities = ["read"] }}\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n'
    )
    return name


def dynamic(team: Team, role: str, **changes: Any) -> Json:
    """Apply a VaultDynamicSecret, by default `db`; what is changed to None is left out."""
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
    """Have `db` ready; return what its Secret holds."""
    team.access()
    dynamic(team, role, **changes)
    team.wait_ready("db", KIND, timeout=30)
    return team.data("db") or {}


def status(team: Team) -> Json:
    """What the operator says of `db`."""
    found: Json = team.get(KIND, "db").get("status", {})
    return found
