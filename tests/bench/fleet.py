"""Many objects at once: 50 namespaces, each an identity of its own, 20 VaultStaticSecrets in each.

Invariant: the operator is only ever seen from outside: its audit trail at both servers, its metrics,
its processor time and its resident memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from time import perf_counter

from prometheus_client.parser import text_string_to_metric_families

from tests.bench.cost import Cost
from tests.conformance.crowds import side_by_side
from tests.conformance.stage import OPERATOR_USER, Json, Stage, Team
from tests.testbed.bed import Mark, always, eventually
from tests.testbed.kube_admin import KubeAdmin
from tests.testbed.operator import Operator

IDENTITIES = 50
EACH = 20
CROWD = 100
LONG = "720h"
KIND = "VaultStaticSecret"
CONNECTION = "bench-00/vault"


class Fleet:
    """The teams of the bench."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.bed = stage.bed
        self.teams = [Team(stage, f"bench-{number:02}") for number in range(IDENTITIES)]
        self.size = IDENTITIES * EACH

    @property
    def operator(self) -> Operator:
        """The operator under test."""
        return self.stage.operator

    def found(self) -> None:
        """Create everything but the VaultStaticSecrets; all share one connection."""
        for team in self.teams:
            team.found()
            if team is self.teams[0]:
                team.apply("VaultConnection", "vault", {"address": self.bed.vault.url})
            team.apply("VaultAuth", "auth", team.auth_spec(vaultConnectionRef=CONNECTION))
            for number in range(EACH):
                team.put(f"app-{number}", {"username": f"user-{number}", "password": f"{team.ns}-{number}"})
        self.teams[0].put("shared", {"password": "v1"})

    def wait_for_auths(self) -> None:
        """Wait until every VaultAuth is in order and its event told."""
        self.wait_ready("VaultAuth", IDENTITIES)
        self.wait_told()

    def manifests(self) -> Iterator[Json]:
        """One VaultStaticSecret for each Vault secret, refreshed so seldom that no poll falls into the run."""
        for team in self.teams:
            for number in range(EACH):
                name = f"app-{number}"
                yield team.manifest(KIND, name, team.secret_spec(name, name=name, refreshAfter=LONG))

    def paths(self) -> list[str]:
        """Where the Vault secrets are read."""
        return [f"kv/data/{team.ns}/app-{number}" for team in self.teams for number in range(EACH)]

    def crowd(self) -> Iterator[Json]:
        """A hundred VaultStaticSecrets on one Vault secret, under one identity."""
        team = self.teams[0]
        for number in range(CROWD):
            name = f"crowd-{number}"
            yield team.manifest(KIND, name, team.secret_spec("shared", name=name, refreshAfter=LONG))

    def create(self, manifests: Iterator[Json]) -> None:
        """Create objects, a few at a time."""
        side_by_side(self.bed, lambda kube, manifest: kube.create(manifest), manifests)

    def refresh_every(self, period: str, names: Iterator[Json]) -> None:
        """Change the refreshAfter of objects."""

        def change(kube: KubeAdmin, manifest: Json) -> object:
            meta = manifest["metadata"]
            return kube.patch(KIND, meta["namespace"], meta["name"], {"spec": {"refreshAfter": period}})

        side_by_side(self.bed, change, names)

    def wait_ready(self, kind: str, count: int) -> None:
        """Wait until the operator counts so many objects of a kind in order."""
        eventually(
            lambda: self.metric("vso_resources", kind=kind, ready="true") == count,
            timeout=120,
            message=lambda: f"{count} {kind} in order; {self.metric('vso_resources', kind=kind, ready='true'):g} are",
            interval=1.0,  # a scrape costs the operator as much as several passes
        )

    def wait_told(self) -> None:
        """Wait until no work is queued, and as many events are sent as the API server has answered."""

        def quiet() -> bool:
            before = self.metric("vso_events_total")
            queued = self.metric("workqueue_depth") + self.metric("workqueue_processing")
            return queued == 0 and self._events_seen == before

        self._events_seen = -1.0

        def settled() -> bool:
            found = quiet()
            self._events_seen = self.metric("vso_events_total")
            return found

        eventually(settled, timeout=60, message="the events are sent", interval=0.5)

    def wait_for_identities(self) -> None:
        """Wait until every VaultAuth tells who logs in by it: one status write each, after the first logins."""

        def told() -> bool:
            auths = [auth for team in self.teams for auth in self.bed.kube.list("VaultAuth", team.ns)]
            return all(auth["status"].get("identityCount") == 1 for auth in auths)

        eventually(told, timeout=60, message="every VaultAuth tells of its identity", interval=1.0)

    def wait_polled(self, period: float) -> None:
        """Wait until the polls have kept up with their times for a whole period."""
        eventually(lambda: self.metric("vso_source_polls_waiting") == 0, timeout=60, message="no poll is late")
        always(lambda: True, during=period)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the series of that name that have the labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.operator.metrics())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def calls(self, mark: Mark) -> Counter[tuple[str, str]]:
        """The operator's requests about objects in the teams' namespaces, by verb and resource."""
        return Counter(
            (call.verb, f"{call.resource}/{call.subresource}" if call.subresource else call.resource)
            for call in self.bed.kube_audit(mark)
            if call.user == OPERATOR_USER and call.namespace.startswith("bench-")
        )

    def reads(self, mark: Mark, until: datetime | None = None) -> Counter[str]:
        """How often each of the teams' paths was read in Vault, from the mark to a moment or to now."""
        return Counter(
            call.path
            for call in self.bed.vault_audit(mark)
            if call.operation == "read"
            and call.path.startswith("kv/data/bench-")
            and (until is None or call.time <= until)
        )

    def logins(self, mark: Mark) -> int:
        """How many logins Vault has seen."""
        return sum(call.path == "auth/kubernetes/login" for call in self.bed.vault_audit(mark))


class Meter:
    """Measures what an operator uses."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._wall, self._cpu = perf_counter(), operator.process.cpu_seconds()

    def read(self) -> Cost:
        """What was used since the meter was made."""
        return Cost(perf_counter() - self._wall, self._operator.process.cpu_seconds() - self._cpu)
