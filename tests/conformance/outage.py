"""One outage of Vault for a crowd: what it costs, and how soon the crowd is in order afterwards."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic

from tests.conformance.crowds import Crowd
from tests.testbed.bed import always, eventually
from tests.testbed.proxy import Proxy, Status

SEALED = Status(503, {"errors": ["Vault is sealed"]})
_HEALTH = "/v1/sys/health"


@dataclass(frozen=True)
class Outage:
    """What was seen from outside."""

    told: Counter[str]
    """Status writes, by the object's name."""
    asked: Counter[str]
    """Requests to Vault while its breaker was open, by path."""
    seconds: float
    """How long that was."""
    recovered: list[float]
    """Seconds from Vault's return until each object was in order, the quickest first."""

    @property
    def probes(self) -> int:
        """How often its health was asked for."""
        return self.asked[_HEALTH]

    def share_in_order(self, share: float) -> float:
        """Seconds until that share was in order."""
        return self.recovered[int(share * len(self.recovered)) - 1]


def suffer(crowd: Crowd, proxy: Proxy, *, stays: float, timeout: float) -> Outage:
    """Seal Vault until every object is told of and for a while longer, then wait until all are in order again."""
    mark = crowd.team.bed.mark()
    proxy.fault(SEALED)
    eventually(lambda: _only_probes(proxy), timeout=60, message="Vault is left alone")
    first, began = len(proxy.requests), monotonic()
    crowd.wait_told(mark, crowd.size, timeout)
    always(lambda: True, during=stays)
    asked, seconds = Counter(path for _, path in proxy.requests[first:]), monotonic() - began
    back, returned = crowd.team.bed.mark(), datetime.now(UTC)
    proxy.clear()
    crowd.wait_told(back, crowd.size, timeout)
    always(lambda: True, during=stays)
    return Outage(crowd.told(mark), asked, seconds, crowd.told_after(back, returned))


def _only_probes(proxy: Proxy) -> bool:
    """Tell whether the latest requests are nothing but questions for Vault's health."""
    return [path for _, path in proxy.requests[-2:]] == [_HEALTH] * 2
