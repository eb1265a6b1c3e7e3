"""How long a replaced lease lives on: its overlap, for which it may have to be renewed.

Invariant: pure; nothing is asked of Vault that would not move the end of the lease, nor moves it past the overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from vso.decide.lease import Lease, LeasePolicy, renewal_period

_WORTH_IT = timedelta(seconds=3)
"""Vault and the status tell times in whole seconds: what is won below that may be nothing."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """A replaced lease whose consumers are still changing over."""

    lease_id: str = field(repr=False)
    since: datetime
    """When its end was told last: with its replacement, or with its last renewal."""
    ends: datetime
    """When it ends unless it is renewed."""
    latest: datetime
    """When it is given back, consumers or no consumers."""
    life: timedelta
    """Of the lease that took its place: as much as its own, where the same role has granted both."""


def prolong_by(overlap: Overlap, now: datetime, policy: LeasePolicy) -> timedelta | None:
    """Return the life to ask for now; None when no renewal is due, or none would move the end."""
    seen = Lease("", overlap.since, overlap.ends - overlap.since, renewable=True, parent_end=None)
    if not overlap.since + renewal_period(seen, policy) <= now < overlap.ends:
        return None
    asked = min(overlap.life, overlap.latest - now)
    return asked if now + asked >= overlap.ends + _WORTH_IT else None
