"""Many VaultDynamicSecrets on one role of a database: each has a lease, and a user in the database, of its own.

Invariant: who lives is asked of the database and of Vault, what was done of the audit logs; the operator is
believed nothing but its status.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.conformance.crowds import side_by_side
from tests.conformance.stage import OPERATOR_USER, Json, Team
from tests.conformance.workloads import deployment
from tests.testbed.bed import Mark, eventually
from tests.testbed.database import AnyDatabase

KIND = "VaultDynamicSecret"
_PARTS = {
    "secrets": "Secret",
    "events": "event",
    "vaultdynamicsecrets": "object",
    "vaultdynamicsecrets/status": "status",
}


class Borrowers:
    """A team's VaultDynamicSecrets `db-0`, `db-1`, …, on a role that bears the team's name."""

    def __init__(self, team: Team, database: AnyDatabase, size: int) -> None:
        self.team = team
        self.database = database
        self.size = size
        self.role = team.ns

    def found(self, *, default_ttl: str, max_ttl: str) -> None:
        """Write the database's role, the policy that lets the team use it, and the way there."""
        self.database.role(self.role, default_ttl=default_ttl, max_ttl=max_ttl)
        self.team.policy(
            f'path "{self.database.mount}/creds/{self.role}" {{ capabilities = ["read"] }}\n'
            'path "sys/leases/revoke" { capabilities = ["update"] }\n'
        )
        self.team.role(token_ttl="24h")
        self.team.bed.kube.apply(deployment(self.team.ns))
        self.team.access()
        self.team.wait_ready("vault", "VaultConnection")
        self.team.wait_ready("auth", "VaultAuth")

    def borrow(self, timeout: float) -> None:
        """Create every object and wait until each is in order and its event told."""
        mark = self.team.bed.mark()
        side_by_side(self.team.bed, lambda kube, manifest: kube.create(manifest), self._manifests())
        eventually(
            lambda: self.calls(mark)["create event"] >= self.size,
            timeout=timeout,
            message=lambda: f"{self.size} have credentials; so far {self.calls(mark)}",
            interval=2.0,
        )

    def give_up(self, timeout: float) -> None:
        """Delete every object and wait until none is left."""
        side_by_side(self.team.bed, lambda kube, name: kube.delete(KIND, self.team.ns, name), self._names())
        eventually(lambda: not self.objects(), timeout=timeout, message="all are gone", interval=2.0)

    def objects(self) -> list[Json]:
        """Every object as the API server has it."""
        return self.team.bed.kube.list(KIND, self.team.ns)

    def named(self) -> list[str]:
        """The leases that the statuses name as those of their Secrets, in order."""
        return sorted(cr["status"]["secretLease"]["id"] for cr in self.objects())

    def issued_anew(self, known: list[str]) -> dict[str, str]:
        """The objects whose lease is none of those, and why they have another one."""
        return {
            cr["metadata"]["name"]: cr["status"]["history"][0]["reason"]
            for cr in self.objects()
            if cr["status"]["secretLease"]["id"] not in known
        }

    def live(self) -> list[str]:
        """The leases that Vault keeps, in order."""
        return sorted(self.database.leases(self.role))

    def calls(self, mark: Mark) -> Counter[str]:
        """The operator's requests about the team's objects, as verb and what of."""
        return Counter(
            f"{call.verb} {_PARTS.get('/'.join(filter(None, (call.resource, call.subresource))), call.resource)}"
            for call in self.team.bed.kube_audit(mark)
            if call.user == OPERATOR_USER and call.namespace == self.team.ns
        )

    def asked(self, mark: Mark) -> Counter[str]:
        """The requests that Vault has had of the team, by path."""
        return Counter(
            call.path for call in self.team.bed.vault_audit(mark) if f"-{self.team.ns}-" in call.display_name
        )

    def renewed_at(self, mark: Mark) -> list[float]:
        """The moments of the renewals, in seconds of the wall clock."""
        return [
            call.time.timestamp()
            for call in self.team.bed.vault_audit(mark)
            if call.path == "sys/leases/renew" and f"-{self.team.ns}-" in call.display_name
        ]

    def most_users_each(self, owners: dict[str, str]) -> int:
        """How many users live for the object that has the most; `owners` collects whose each is."""
        for cr in self.objects():
            name = self._user(cr["metadata"]["name"])
            if name:
                owners[name] = cr["metadata"]["name"]
        return max(Counter(owners[user] for user in self.database.users(self.role) if user in owners).values())

    def _names(self) -> Iterator[str]:
        return (f"db-{number}" for number in range(self.size))

    def _user(self, name: str) -> str | None:
        return (self.team.data(name) or {}).get("username")

    def _manifests(self) -> Iterator[Json]:
        for name in self._names():
            spec = {
                "vaultAuthRef": "auth",
                "mount": self.database.mount,
                "path": f"creds/{self.role}",
                "destination": {"name": name, "create": True, "transformation": {"excludeRaw": True}},
                "rolloutRestartTargets": [{"kind": "Deployment", "name": "app"}],
            }
            yield self.team.manifest(KIND, name, spec)
