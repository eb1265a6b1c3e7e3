"""A new object while Vault answers slowly and thousands of refreshes are late: how many reads go before its own."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.conformance.crowds import side_by_side
from tests.conformance.stage import Team
from tests.testbed.bed import eventually
from tests.testbed.proxy import Delay, Proxy, path_has

IN_FLIGHT = 16
"""How many requests a connection has in flight unless it says otherwise."""
_SLOW = Delay(3.0)  # longer than the operator needs to notice the newcomer, even on a busy machine


class Newcomer:
    """The team in which it turns up, and the proxy that slows Vault down and sees the order of the reads."""

    def __init__(self, team: Team, proxy: Proxy) -> None:
        self._team = team
        self._proxy = proxy
        self._read = path_has(f"/v1/kv/data/{team.ns}/", method="GET")

    def follow_many(self, objects: int, sources: int, period: str) -> None:
        """Apply objects that take a key from each of many Vault secrets: many refreshes for few creations."""
        team, names = self._team, [f"many-{number}" for number in range(objects)]
        paths = {name: [f"{name}-{number}" for number in range(sources)] for name in names}
        every = [path for some in paths.values() for path in some]
        side_by_side(team.bed, lambda _, path: team.put(path, {"password": path}), every)
        for name in names:
            data = [{"secretKey": path, "remoteRef": self._field(path)} for path in paths[name]]
            team.static(name, refreshAfter=period, data=data)
        for name in names:
            team.wait_ready(name, timeout=60)

    def rank(self, behind: float, timeout: float) -> int:
        """Slow Vault down until so many refreshes are late; return the newcomer's place among the reads after that."""
        team, proxy = self._team, self._proxy
        team.put("new", {"password": "new"})
        slow = proxy.fault(_SLOW, self._read)
        eventually(
            lambda: self._late() >= behind,
            timeout=timeout,
            message=lambda: f"{behind:g} refreshes are late; {self._late():g} are",
            interval=1.0,
        )
        before = len(proxy.requests)
        team.static("new", path="new", refreshAfter="1h")
        own = f"/v1/kv/data/{team.ns}/new"
        eventually(lambda: ("GET", own) in proxy.requests[before:], timeout=timeout, message="the newcomer is read")
        proxy.lift(slow)
        team.wait_ready("new")
        since = [path for method, path in proxy.requests[before:] if self._read(method, path)]
        return since.index(own) + 1

    def _field(self, path: str) -> dict[str, str]:
        return {"key": f"{self._team.ns}/{path}", "property": "password"}

    def _late(self) -> float:
        operator = self._team.stage.operator
        families = text_string_to_metric_families(operator.metrics())
        return sum(s.value for f in families for s in f.samples if s.name == "vso_source_polls_waiting")
