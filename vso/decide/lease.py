"""What is to be done with a lease now: renew it, replace it, or let it be.

A lease ends with its own life or with the token that it was issued under, whichever is first, and is
renewed after a share of that life, early enough to leave `SPARE`. The instants of renewal lie on a grid
of the lease's own, hashed from the object's uid: ten thousand leases that were issued together are
renewed evenly over the period, each early rather than late. Invariant: pure; no plan ever waits past the
end of the lease, and what has to be replaced is replaced before it ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

LEAST_SHARE = 0.05
"""Of the life of a lease: an object that asks for renewal at 0 % is renewed after this much of it."""
LEAST_PERIOD = timedelta(seconds=1)
SHORT_LIFE = timedelta(seconds=90)
"""kubelet alone takes about a minute to refresh a mounted Secret."""
SPARE = timedelta(seconds=20)
"""What a lease has left at least when it is renewed, whatever share was asked for: Vault may be away for a while, and
where the renewal turns out to be the last one, the consumers of what replaces it have that long to follow."""
_SPARE_SHARE = 3 / 4
"""What is left instead of a life too short for that."""
_LATEST = 0.95
"""Share of its life after which no lease is left unrenewed."""
_WHOLE = timedelta(seconds=1)
"""Vault tells times in whole seconds: a renewal that grants one less says that the end of the lease is near.

No share of the asked time: what is granted is asked for next, and a lease would shrink to nothing unseen.
"""
_RESOLUTION = timedelta(seconds=1.5)
"""The status tells the time of a renewal in whole seconds: a grid point this close after it was served."""
_ROUNDED = timedelta(seconds=2)
"""By as much the life of a lease that was cut to its token's may seem shorter than that: both are told in seconds."""
_ADOPTED_FROM, _ADOPTED_TO = 0.1, 0.8
"""Where in the remaining life an adopted lease is replaced, whose token is not in our hands."""

_LATE_FROM, _LATE_TO = 0.5, 0.8
"""Where in its life a lease is replaced that was granted near the end of its token."""


class Because(StrEnum):
    """Why credentials are issued; in the history of the status and in logs."""

    NO_LEASE = "InitialSync"
    REQUEST_CHANGED = "ResourceUpdated"
    ASKED = "ForceSync"
    SECRET_MISSING = "InexistentDestination"
    SECRET_DRIFTED = "SecretDataDrift"
    EXPIRED = "LeaseExpired"
    GONE = "LeaseNotFound"
    TRUNCATED = "LeaseTruncated"
    NOT_RENEWABLE = "LeaseNotRenewable"
    TOKEN_ENDS = "VaultTokenRotated"
    PENDING_FOUND = "PendingFound"
    ROTATED = "VaultRotation"


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as the status and this process know it."""

    id: str
    granted_at: datetime
    """When it was issued or renewed last."""
    duration: timedelta
    """Its life as granted then."""
    renewable: bool
    parent_end: datetime | None
    """When the token ends that it was issued under; None when nobody knows."""
    parent_kept: bool = False
    """That token is in our hands: its end is moved by renewing it, or told in time."""
    parent_final: bool = False
    """Nothing moves the end of that token any more."""

    @property
    def ends(self) -> datetime:
        """When the credentials end unless something is done."""
        own = self.granted_at + self.duration
        return own if self.parent_end is None else min(own, self.parent_end)


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """How one object's lease is looked after."""

    renewal_percent: int
    phase: float
    """In [0, 1): of the object's own, see `schedule.phase`."""
    adopted_at: datetime
    """When this process saw the lease first."""
    probe_every: timedelta | None = None
    """How often Vault is asked whether the lease is still there; None for never."""
    probed_at: datetime | None = None
    """When it was asked last."""


@dataclass(frozen=True, slots=True)
class Renew:
    """Ask Vault to prolong it."""

    by: datetime
    """When its life would be over."""


@dataclass(frozen=True, slots=True)
class Replace:
    """Issue new credentials."""

    because: Because


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask Vault whether it is still there: it may have been revoked behind our back."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is due before."""

    until: datetime


LeaseAction: TypeAlias = Renew | Replace | Probe | Wait


def plan_lease(lease: Lease | None, now: datetime, policy: LeasePolicy) -> LeaseAction:
    """Return what the lease needs at this moment."""
    if lease is None:
        return Replace(Because.NO_LEASE)
    if now >= lease.ends:
        return Renew(lease.ends) if _may_live(lease, now, policy) else Replace(Because.EXPIRED)
    replaced = _replaced_at(lease, policy)
    if replaced is not None and now >= replaced[0]:
        return Replace(replaced[1])
    renewed = renew_at(lease, policy) if lease.renewable and _is_moved_by_renewals(lease) else lease.ends
    if now >= renewed:
        return Renew(lease.ends)
    acts = min(renewed, lease.ends) if replaced is None else min(renewed, replaced[0], lease.ends)
    probed = probe_at(lease, acts, policy)
    if probed is None:
        return Wait(acts)
    return Probe() if now >= probed else Wait(min(probed, acts))


def _lasts_to_its_tokens_end(lease: Lease) -> bool:
    """Tell whether no renewal can prolong it: Vault would grant less, as if the lease itself neared its end."""
    if not (lease.parent_kept and lease.parent_final) or lease.parent_end is None:
        return False
    return lease.parent_end <= lease.granted_at + lease.duration + _ROUNDED


def _is_moved_by_renewals(lease: Lease) -> bool:
    """Tell whether a renewal prolongs it: not beyond its token's end, which nobody moves where nobody knows it."""
    unknown = lease.parent_end is None and not lease.parent_kept
    return not unknown and not _lasts_to_its_tokens_end(lease)


def _may_live(lease: Lease, now: datetime, policy: LeasePolicy) -> bool:
    """Tell whether the lease may live longer than is known here.

    The process before may have renewed it and been cut off before the status could tell: Vault knows.
    """
    token_lives = lease.parent_end is None or now < lease.parent_end
    return lease.renewable and token_lives and bool(lease.id) and policy.adopted_at > lease.granted_at


def renew_at(lease: Lease, policy: LeasePolicy) -> datetime:
    """Return the instant of the renewal: a point of the grid, at most a period after the last one."""
    period = renewal_period(lease, policy)
    latest = lease.granted_at + period
    if period <= 4 * _RESOLUTION:
        return latest
    point = _grid_point(lease.granted_at + _RESOLUTION, period, policy.phase)
    return min(point, latest + _RESOLUTION, lease.granted_at + lease.duration * _LATEST)


def probe_at(lease: Lease, acts: datetime, policy: LeasePolicy) -> datetime | None:
    """Return when to ask whether the lease is there; None where its own renewals, next at `acts`, ask often enough."""
    every = policy.probe_every
    if not lease.id or not every or acts - lease.granted_at <= every:
        return None
    seen = max(lease.granted_at, policy.adopted_at, policy.probed_at or policy.adopted_at)
    return _grid_point(seen, every, policy.phase)


def truncated(asked: timedelta, granted: timedelta) -> bool:
    """Tell whether a renewal granted less than was asked for: the lease nears the end that nothing moves."""
    return granted <= asked - _WHOLE


def retry_in(lease: Lease, now: datetime) -> timedelta:
    """Return how long to rest after a failed renewal, so that several more fit into what life remains."""
    return max(LEAST_PERIOD, min(timedelta(seconds=30), (lease.ends - now) / 8))


def _grid_point(after: datetime, period: timedelta, phase: float) -> datetime:
    step = period.total_seconds()
    offset = phase * step
    return datetime.fromtimestamp((math.floor((after.timestamp() - offset) / step) + 1) * step + offset, UTC)


def _period(lease: Lease, policy: LeasePolicy) -> timedelta:
    share = max(LEAST_SHARE, policy.renewal_percent / 100)
    return max(LEAST_PERIOD, lease.duration * share)


def renewal_period(lease: Lease, policy: LeasePolicy) -> timedelta:
    """Return after how much of its life the lease is renewed at the latest."""
    spare = min(SPARE + _RESOLUTION, lease.duration * _SPARE_SHARE)
    return max(LEAST_PERIOD, min(_period(lease, policy), lease.duration - spare))


def _replaced_at(lease: Lease, policy: LeasePolicy) -> tuple[datetime, Because] | None:
    """Return when it has to be replaced whatever renewals say; None when they may go on."""
    token = _before_its_token_ends(lease, policy)
    own = None if lease.renewable else lease.granted_at + _period(lease, policy)
    if own is not None and (token is None or own <= token):
        return own, Because.NOT_RENEWABLE
    return None if token is None else (token, Because.TOKEN_ENDS)


def _before_its_token_ends(lease: Lease, policy: LeasePolicy) -> datetime | None:
    if lease.parent_kept:
        if lease.parent_end is None or not lease.parent_final:
            return None
        # As early as a renewal would be, and spread over as much again: all its leases are replaced together.
        early = lease.parent_end - (lease.duration - renewal_period(lease, policy)) * (1 + policy.phase)
        # One that was granted near the token's end, as the next one may be too, would be replaced again and again.
        life = lease.ends - lease.granted_at
        due = max(early, lease.granted_at + life * _within(_LATE_FROM, _LATE_TO, policy))
        return min(due, lease.granted_at + life * _LATEST) if _lasts_to_its_tokens_end(lease) else due
    # Another token renews it too, but Vault drops it with its parent all the same, and does not say when.
    end = lease.granted_at + renewal_period(lease, policy) if lease.parent_end is None else lease.parent_end
    return policy.adopted_at + max(timedelta(0), end - policy.adopted_at) * _within(_ADOPTED_FROM, _ADOPTED_TO, policy)


def _within(first: float, last: float, policy: LeasePolicy) -> float:
    """Return the object's own place between two shares."""
    return first + (last - first) * policy.phase
