"""How often a refused login may be tried again, as arithmetic.

Invariant: at most four refusals in fifteen minutes, at most three of them for one source, so that a
changed credential always finds a try left; Vault locks accounts after the fifth. Routine looks use
the tries up slowly, so that a repair in Vault is noticed; urgent ones may follow at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from vso.runtime.workqueue import Lane

WINDOW = 900.0
TOTAL = 4
PER_SOURCE = 3
SPACING = {Lane.URGENT: 5.0, Lane.REFRESH: 290.0}
"""Seconds in which the latest refusal is told again without asking."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """When and with what credential logins were refused, oldest first."""

    entries: tuple[tuple[float, str], ...] = ()

    def refused(self, now: float, source: str) -> Refusals:
        """Return the history with one more refusal and without what has left the window."""
        return Refusals((*self._recent(now), (now, source)))

    def exhausted(self, now: float, source: str) -> bool:
        """Tell whether no try is left for this source within the window."""
        recent = self._recent(now)
        return len(recent) >= TOTAL or sum(entry[1] == source for entry in recent) >= PER_SOURCE

    def _recent(self, now: float) -> tuple[tuple[float, str], ...]:
        return tuple(entry for entry in self.entries if now - entry[0] < WINDOW)
