"""Many VaultStaticSecrets of one team at once: made side by side, counted in the audit log.

Invariant: nothing asks the operator how it goes; what it has said of each object stands in the
API server's audit log, with its time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from typing import TypeVar

from tests.conformance.stage import OPERATOR_USER, Team
from tests.testbed.audits import ApiCall, Mark
from tests.testbed.bed import Bed, KubeAdmin, eventually

T = TypeVar("T")

KIND = "VaultStaticSecret"
_CLIENTS = 4


def side_by_side(bed: Bed, work: Callable[[KubeAdmin, T], object], items: Iterable[T]) -> None:
    """Do the work for each item, a few at a time, each client with its share."""
    every = list(items)
    with ExitStack() as clients, ThreadPoolExecutor(_CLIENTS) as pool:

        def share(number: int) -> None:
            kube = KubeAdmin(bed.kube.access)
            clients.callback(kube.close)
            for item in every[number::_CLIENTS]:
                work(kube, item)

        for _ in pool.map(share, range(_CLIENTS)):
            pass


class Crowd:
    """A team's VaultStaticSecrets `app-0`, `app-1`, …, each on a Vault secret of its own."""

    def __init__(self, team: Team, period: str) -> None:
        self.team = team
        self.size = 0
        self._period = period

    @property
    def names(self) -> frozenset[str]:
        """The names of all."""
        return frozenset(f"app-{number}" for number in range(self.size))

    def grow(self, size: int, timeout: float) -> None:
        """Create as many as are missing, and wait until the status of each is written."""
        mark = self.team.bed.mark()
        before, self.size = self.size, size
        side_by_side(self.team.bed, self._create, range(before, size))
        self.wait_told(mark, size - before, timeout)

    def told(self, mark: Mark) -> Counter[str]:
        """How often the status of each was written since."""
        return Counter(call.name for call in self._status_writes(mark))

    def wait_told(self, mark: Mark, count: int, timeout: float) -> None:
        """Wait until the status of so many was written since."""
        eventually(
            lambda: len(self.told(mark)) >= count,
            timeout=timeout,
            message=lambda: f"{count} are told of; {len(self.told(mark))} are",
            interval=1.0,
        )

    def told_after(self, mark: Mark, began: datetime) -> list[float]:
        """After how many seconds the latest status of each was written, the quickest first."""
        latest = {call.name: call.time for call in self._status_writes(mark)}
        return sorted((time - began).total_seconds() for time in latest.values())

    def _create(self, kube: KubeAdmin, number: int) -> None:
        team, name = self.team, f"app-{number}"
        team.put(name, {"password": name})
        kube.create(team.manifest(KIND, name, team.secret_spec(name, name=name, refreshAfter=self._period)))

    def _status_writes(self, mark: Mark) -> list[ApiCall]:
        return [
            call
            for call in self.team.bed.kube_audit(mark)
            if call.namespace == self.team.ns
            and call.user == OPERATOR_USER
            and call.resource == "vaultstaticsecrets"
            and call.subresource == "status"
        ]
