"""A scene of rotations: a team's dynamic secrets, each with a database role of its own, and the workloads that use them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from tests.conformance.stage import OPERATOR_USER, Json, Team
from tests.testbed.bed import Mark
from tests.testbed.database import Database
from tests.testbed.rollouts import Rollouts, Workload

KIND = "VaultDynamicSecret"
RESTARTED_AT = "vso.secrets.hashicorp.com/restartedAt"
_numbers = itertools.count(1)


class Scene:
    """A team's dynamic secrets, each with a role of its own, and their consumers."""

    def __init__(self, team: Team, database: Database, rollouts: Rollouts) -> None:
        self.team, self.database, self.rollouts = team, database, rollouts

    def role(self, name: str = "db") -> str:
        """The role of one secret."""
        return f"{self.team.ns}-{name}"

    def secret(
        self, *targets: Json, name: str = "db", ttl: str = "1h", max_ttl: str = "24h", **changes: Any
    ) -> dict[str, str]:
        """Apply a dynamic secret with targets, and wait until it is in order; its data."""
        self.database.role(self.role(name), default_ttl=ttl, max_ttl=max_ttl)
        self.apply(*targets, name=name, **changes)
        self.team.wait_ready(name, KIND, timeout=30)
        return self.team.data(name) or {}

    def apply(self, *targets: Json, name: str = "db", **changes: Any) -> None:
        """Apply a dynamic secret."""
        spec = {
            "vaultAuthRef": "auth",
            "mount": self.database.mount,
            "path": f"creds/{self.role(name)}",
            "destination": {"name": name, "create": True, "transformation": {"excludeRaw": True}},
            "rolloutRestartTargets": list(targets),
            **changes,
        }
        self.team.apply(KIND, name, spec)

    def workload(self, name: str = "app", *, secret: str = "db", wait: bool = True, **changes: Any) -> Workload:
        """A workload that uses a secret; without a wait where its Secret is not there yet."""
        workload = Workload(self.team.ns, name, secret=secret, **changes)
        self.rollouts.apply(workload, timeout=40 if wait else None)
        return workload

    def rotate(self, *names: str) -> None:
        """Ask for new credentials, and wait until the Secrets hold them."""
        names = names or ("db",)
        before = {name: self.users(name) for name in names}
        for name in names:
            mark = {"metadata": {"annotations": {"vso.hashicorp.com/resync": str(next(_numbers))}}}
            self.team.patch(mark, KIND, name)
        for name, users in before.items():
            self._wait_for_another(name, users)

    def _wait_for_another(self, name: str, users: list[str]) -> None:
        self.team.wait_data(lambda now: now["username"] not in users, name, timeout=30)

    def users(self, name: str = "db") -> list[str]:
        """The database users that live for one secret."""
        return self.database.users(self.role(name))

    def status(self, name: str = "db") -> Json:
        """The status of one secret."""
        found: Json = self.team.get(KIND, name).get("status", {})
        return found

    def age(self, name: str = "db") -> float:
        """How long ago the credentials of one secret were issued, in seconds."""
        issued = datetime.fromisoformat(self.status(name)["history"][0]["time"])
        return (datetime.now(UTC) - issued).total_seconds()

    def at_rest(self, name: str = "db") -> bool:
        """Whether one user lives and it is the one in the Secret."""
        return self.users(name) == [(self.team.data(name) or {}).get("username")]

    def restarts(self, since: Mark) -> list[str]:
        """The workloads that the operator restarted, in order; a dry run is none."""
        return [
            call.name
            for call in self.team.bed.kube_audit(since)
            if call.user == OPERATOR_USER
            and call.namespace == self.team.ns
            and call.resource in {"deployments", "statefulsets", "daemonsets"}
            and call.verb == "patch"
            and "dryRun" not in call.query
            and call.code == 200
        ]

    def marks(self, name: str = "app", kind: str = "Deployment") -> Json:
        """The annotations of a workload's pod template."""
        found = self.team.bed.kube.find(kind, self.team.ns, name)
        return dict(found["spec"]["template"]["metadata"].get("annotations") or {})

    def settled(self, name: str = "db") -> bool:
        """Whether the consumers were restarted for what the Secret holds."""
        status = self.status(name)
        secret = self.team.secret(name) or {}
        held = secret["metadata"]["annotations"]["vso.hashicorp.com/lease"]
        return bool(status["rolledOutDigest"] == held and "pendingLease" not in status)


@contextmanager
def watching(scene: Scene, *names: str) -> Iterator[dict[str, int]]:
    """The most users that lived at one moment per secret, while the block runs."""
    most = dict.fromkeys(names, 0)
    ending = threading.Event()

    def watch() -> None:
        while not ending.wait(0.1):
            users = scene.database.users()
            for name in names:
                most[name] = max(most[name], sum(user.startswith(f"{scene.role(name)}~") for user in users))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        ending.set()
        thread.join()
