"""Series that name objects: is it ready, since when not, and why.

They are written out by hand: a collector object per series would cost more memory than the cached
object itself, and the client library ten times the time at each scrape. Invariant: an object that is
gone has no series, and one that is ready costs one entry that all ready objects share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from vso.core.keys import Kind, ObjectKey

_CONTROLLERS: Final = {
    Kind.VAULT_AUTH: "vaultauth",
    Kind.VAULT_CONNECTION: "vaultconnection",
    Kind.VAULT_PKI_SECRET: "vaultpkisecret",
    Kind.SECRET_TRANSFORMATION: "secrettransformation",
    Kind.HCP_AUTH: "hcpauth",
}
"""The kinds for which the reference operator has a gauge, and what it calls them."""


@dataclass(frozen=True, slots=True)
class _Standing:
    ready: bool
    reason: str
    ready_until: float | None
    """The wall time at which it was last known to be ready; None for never, or for now."""


_Family = tuple[str, str, list[str]]


class ObjectMetrics:
    """The standing of every object that a pass has looked at."""

    def __init__(self, *, per_object: bool) -> None:
        self._per_object = per_object
        self._standings: dict[Kind, dict[ObjectKey, _Standing]] = {}
        self._shared: dict[str, _Standing] = {}

    def assessed(self, kind: Kind, key: ObjectKey, *, ready: bool, reason: str, now: float) -> None:
        """A pass has ended with that standing, at that wall time."""
        known = self._standings.setdefault(kind, {})
        if ready:
            known[key] = self._shared.setdefault(reason, _Standing(ready=True, reason=reason, ready_until=None))
            return
        before = known.get(key)
        until = None if before is None else now if before.ready else before.ready_until
        known[key] = _Standing(ready=False, reason=reason, ready_until=until)

    def gone(self, kind: Kind, key: ObjectKey) -> None:
        """The object does not exist any more."""
        self._standings.get(kind, {}).pop(key, None)

    def clear(self) -> None:
        """Another process leads now: what is known here grows old."""
        self._standings.clear()

    def render(self, now: float) -> str:
        """Return the series in the text format, those of ready objects as of now."""
        families = [self._totals(), *(self._families(now) if self._per_object else ())]
        return "".join(_text(name, help_, lines) for name, help_, lines in families if lines)

    def _totals(self) -> _Family:
        lines = []
        for kind, known in self._standings.items():
            counts = Counter((standing.ready, standing.reason) for standing in known.values())
            lines += [
                f'{{kind="{kind}",ready="{str(ready).lower()}",reason="{reason}"}} {count}\n'
                for (ready, reason), count in counts.items()
            ]
        return "vso_resources", "Objects by the status and the reason of their condition Ready.", lines

    def _families(self, now: float) -> tuple[_Family, ...]:
        ready: list[str] = []
        reasons: list[str] = []
        since: list[str] = []
        status: list[str] = []
        for kind, key, standing in self._all():
            labels = f'kind="{kind}",namespace="{key.namespace}",name="{key.name}"'
            ready.append(f"{{{labels}}} {standing.ready:d}\n")
            until = now if standing.ready else standing.ready_until
            if until is not None:
                since.append(f"{{{labels}}} {until:.3f}\n")
            if not standing.ready:
                reasons.append(f'{{{labels},reason="{standing.reason}"}} 1\n')
            if kind in _CONTROLLERS:
                called = f'controller="{_CONTROLLERS[kind]}",name="{key.name}",namespace="{key.namespace}"'
                status.append(f"{{{called}}} {standing.ready:d}\n")
        return (
            ("vso_resource_ready", "Whether the condition Ready of the object is True.", ready),
            ("vso_resource_not_ready_reason", "Why the object is not ready.", reasons),
            (
                "vso_resource_last_ready_timestamp_seconds",
                "When the object was last known to be ready; for one that is, the time of the scrape.",
                since,
            ),
            ("controller_resource_status", "Whether the object is in order, 1 or 0.", status),
        )

    def _all(self) -> Iterator[tuple[Kind, ObjectKey, _Standing]]:
        for kind, known in self._standings.items():
            for key, standing in known.items():
                yield kind, key, standing


def _text(name: str, help_: str, lines: list[str]) -> str:
    # Names of objects, kinds and reasons hold nothing that the format would want escaped.
    return f"# HELP {name} {help_}\n# TYPE {name} gauge\n{name}{name.join(lines)}"
