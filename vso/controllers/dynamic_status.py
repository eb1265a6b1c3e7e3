"""What the status of a VaultDynamicSecret says after each act on its lease.

Invariant: pure. A lease that Vault has issued is named here before the Secret holds it, and one that was
replaced until it is given back or over; no value and no unkeyed hash of one is ever written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from vso.api.secrets import LeaseRef, PendingLease, SecretLease, VaultDynamicSecretStatus
from vso.api.shared import DestinationStatus, HistoryEntry, VaultClientMeta
from vso.controllers import debts
from vso.controllers.restarts import Restarted
from vso.core.errors import REMEDIES, Reason, VsoError
from vso.decide.assess import News
from vso.decide.conditions import Finding
from vso.decide.lease import SHORT_LIFE, Because
from vso.decide.outcome import InOrder
from vso.kube.secret_plan import Recorded, Seen, Written

HISTORY = 5
MOST_RETIRED = 5
"""Replaced leases that are named while Vault cannot give them back; older ones are left to run out."""
LEASE_RENEWAL = "LeaseRenewal"
_IN_ORDER = "the Secret holds live credentials"
_DEAD = frozenset({Because.GONE, Because.EXPIRED, Because.SECRET_MISSING})


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease as Vault has granted it; the id may be empty."""

    lease_id: str
    duration: timedelta
    renewable: bool
    request_id: str
    token_ends: datetime | None
    age: timedelta = timedelta(0)
    """How long ago that was."""
    client_id: str = ""
    """What names the token that it was issued under; empty where nobody knows."""
    replaced_ends: datetime | None = None
    """When the lease ends that it replaces, if that was moved and no status tells it."""


@dataclass(frozen=True, slots=True)
class Settled:
    """New credentials in their place."""

    because: Because
    grant: Grant
    digest: str
    """Keyed hash of the lease, or of the data where there is none: what consumers are restarted for."""
    written: Written
    restarted: Restarted | None
    shape: str
    resync: str
    asked: str
    """The restart that was asked for last, once every target took it."""
    cache_key: str
    pod_uid: str


@dataclass(frozen=True, slots=True)
class Found:
    """What the reference operator has left of an object."""

    secret: Seen
    shape: str
    digest: str
    token_ends: datetime | None
    """Until when the token of its lease lives at least; None where it does not end."""
    resync: str
    """What was asked for by annotation before: it is handled already."""


def pending(status: VaultDynamicSecretStatus, grant: Grant, now: datetime) -> VaultDynamicSecretStatus:
    """Name a lease that the Secret does not hold yet."""
    named = PendingLease(
        id=grant.lease_id,
        not_after=_whole(ends(grant, now)),
        token_expire_time=_whole(grant.token_ends) if grant.token_ends else None,
        client_id=grant.client_id,
    )
    return status.model_copy(update={"pending_lease": named})


def settled(
    status: VaultDynamicSecretStatus, done: Settled, now: datetime, overlap: timedelta
) -> VaultDynamicSecretStatus:
    """Say that the Secret holds the new credentials; the old lease lives on for a while."""
    at = done.written.set_at or now
    update: dict[str, object] = {
        **_granted(done.grant, now),
        "pending_lease": None,
        "secret_mac": "",
        "static_creds_meta_data": None,
        "retired_leases": retired(status, now + overlap, done.grant.replaced_ends),
        "destination": DestinationStatus(
            name=done.written.name, uid=done.written.uid, resource_version=done.written.resource_version
        ),
        "source_version": done.shape,
        "rolled_out_digest": status.rolled_out_digest if debts.pending(done.restarted) else done.digest,
        "last_handled_resync": done.resync,
        "last_handled_restart": done.asked,
        "last_sync_time": _whole(at),
        "last_runtime_pod_uid": done.pod_uid,
        "vault_client_meta": VaultClientMeta(cache_key=done.cache_key, id=done.grant.client_id),
        "history": (_entry(done, at), *status.history)[:HISTORY],
    }
    return status.model_copy(update=update)


def adopted(status: VaultDynamicSecretStatus, name: str, found: Found) -> VaultDynamicSecretStatus:
    """Say of what the reference operator has issued and written that it is ours; consumers run with it already."""
    lease, seen = status.secret_lease, found.secret
    own = datetime.fromtimestamp(status.last_renewal_time, UTC) + timedelta(seconds=lease.duration)
    update: dict[str, object] = {
        "destination": DestinationStatus(name=name, uid=seen.uid, resource_version=seen.resource_version),
        "source_version": found.shape,
        "rolled_out_digest": found.digest,
        "last_handled_resync": found.resync,
        # What was written in that very second is taken over, what is written later is a stranger's.
        "last_sync_time": seen.data_at + timedelta(seconds=1) if seen.data_at else None,
    }
    if lease.id and lease.duration:
        update["expires"] = _whole(min(own, found.token_ends or own))
        told = _whole(found.token_ends) if found.token_ends else None
        update["secret_lease"] = lease.model_copy(update={"token_expire_time": told})
    return status.model_copy(update=update)


def disowned(status: VaultDynamicSecretStatus, digest: str) -> VaultDynamicSecretStatus:
    """Say that what the reference operator has issued is not taken over; consumers run with it until they restart."""
    return status.model_copy(update={"last_generation": 0, "rolled_out_digest": digest})


def retired(
    status: VaultDynamicSecretStatus, latest: datetime, its_end: datetime | None = None
) -> tuple[LeaseRef, ...]:
    """Return the replaced leases when the present one joins them: until `latest`, or until it ends by itself."""
    old, end = status.secret_lease.id, its_end or status.expires
    return _joined(status, LeaseRef(id=old, not_after=_whole(min(latest, end) if end else latest)) if old else None)


def _joined(status: VaultDynamicSecretStatus, ref: LeaseRef | None) -> tuple[LeaseRef, ...]:
    return status.retired_leases if ref is None else (*status.retired_leases, ref)[-MOST_RETIRED:]


def kept_alive(status: VaultDynamicSecretStatus, lease_id: str, until: datetime) -> VaultDynamicSecretStatus:
    """Say that a replaced lease was renewed."""
    refs = tuple(
        ref.model_copy(update={"not_after": _whole(until)}) if ref.id == lease_id else ref
        for ref in status.retired_leases
    )
    return status.model_copy(update={"retired_leases": refs})


def ends(grant: Grant, now: datetime) -> datetime:
    """Return when a lease ends that was granted so: with its own life or its token's."""
    own = now - grant.age + grant.duration
    return own if grant.token_ends is None else min(own, grant.token_ends)


def renewed(status: VaultDynamicSecretStatus, grant: Grant, now: datetime) -> VaultDynamicSecretStatus:
    """Say that the lease was prolonged; nothing else moves."""
    return status.model_copy(update=_granted(prolonged(status, grant), now))


def prolonged(status: VaultDynamicSecretStatus, grant: Grant) -> Grant:
    """Return what a renewal has granted, with what was known of the end of the lease's token.

    Where that token is not in our hands, this still holds: no other token moves it.
    """
    return replace(grant, token_ends=grant.token_ends or status.secret_lease.token_expire_time)


def followed(
    status: VaultDynamicSecretStatus, written: Recorded | None, restarted: Restarted | None, digest: str, asked: str
) -> VaultDynamicSecretStatus:
    """Say that the Secret's metadata follows the spec, and that what was owed to its consumers is paid."""
    update: dict[str, object] = {"last_handled_restart": asked}
    if written is not None and status.destination is not None:
        moved = {"uid": written.uid, "resource_version": written.resource_version}
        update["destination"] = status.destination.model_copy(update=moved)
    if restarted is not None and restarted.for_data and not restarted.failed:
        update["rolled_out_digest"] = digest
    return status.model_copy(update=update)


def set_aside(status: VaultDynamicSecretStatus, latest: datetime) -> VaultDynamicSecretStatus:
    """Say that the pending lease could not be given back: it is as good as a replaced one, until `latest`."""
    pending = status.pending_lease
    if pending is None:
        return status
    until = min(latest, pending.not_after) if pending.not_after else latest
    kept = _joined(status, LeaseRef(id=pending.id, not_after=_whole(until)))
    return status.model_copy(update={"pending_lease": None, "retired_leases": kept})


def without_retired(status: VaultDynamicSecretStatus, gone: Iterable[str]) -> VaultDynamicSecretStatus:
    """Forget replaced leases that were given back or are over."""
    dropped = frozenset(gone)
    left = tuple(ref for ref in status.retired_leases if ref.id not in dropped)
    return status.model_copy(update={"retired_leases": left})


def pressing(status: VaultDynamicSecretStatus, because: Because, now: datetime) -> bool:
    """Tell whether an issue can wait no longer for the replaced leases to be given back.

    Live credentials stand above the bound on leases; and what has outlived its time has had its chance.
    """
    near_end = status.expires is not None and status.expires - now <= SHORT_LIFE
    return because in _DEAD or near_end or all(over(ref, now) for ref in status.retired_leases)


def over(ref: LeaseRef, now: datetime) -> bool:
    """Tell whether the time of a replaced lease is over."""
    return ref.not_after is None or ref.not_after <= now


def crowded(status: VaultDynamicSecretStatus, error: VsoError) -> News:
    """Return the event for an issue while replaced leases could not be given back."""
    count = len(status.retired_leases)
    text = f"new credentials are issued, and replaced leases are not given back ({count}): {error.message}"
    return News("Warning", Reason.LEASE_LEAKED, f"{text}; {REMEDIES[Reason.LEASE_LEAKED]}")


def left_to_end(forbidden: Sequence[VsoError]) -> News | None:
    """Return the event for leases that the policy forbids to revoke."""
    if not forbidden:
        return None
    error = forbidden[0]
    text = f"a lease that nobody needs any more is left to run out: {error.message}; {error.remedy}"
    return News("Warning", error.reason, text)


def in_order(restarted: Restarted | None = None, *, renewed: bool = False) -> InOrder:
    """Return the outcome of a good pass, with the conditions that it moves."""
    also: list[Finding] = []
    if renewed:
        also.append(Finding(LEASE_RENEWAL, "True", Reason.LEASE_RENEWED, "the lease is renewed in time"))
    return InOrder(_IN_ORDER, (*also, *debts.finding_of(restarted)))


def news_of(done: Settled, *, first: bool) -> News:
    """Return the event that new credentials deserve."""
    name = done.written.name
    if done.restarted is not None and done.restarted.failed:
        text = f"Secret {name} has new credentials, and not every target restarted: {done.restarted.problem}"
        return News("Warning", Reason.ROLLOUT_RESTART_FAILED, text)
    if done.grant.lease_id and done.grant.duration < SHORT_LIFE:
        seconds = f"{done.grant.duration.total_seconds():g}s"
        text = f"Secret {name} has credentials that live {seconds} at a time ({done.because})"
        return News("Warning", Reason.LEASE_TOO_SHORT, text)
    if first:
        return News("Normal", Reason.SECRET_SYNCED, f"Secret {name} {done.written.outcome} ({done.because})")
    return News("Normal", Reason.SECRET_ROTATED, f"Secret {name} has new credentials ({done.because})")


def _granted(grant: Grant, now: datetime) -> dict[str, object]:
    over_at = _whole(ends(grant, now)) if grant.lease_id and grant.duration else None
    return {
        "last_renewal_time": int((now - grant.age).timestamp()),
        "expires": over_at,
        "secret_lease": SecretLease(
            id=grant.lease_id,
            duration=int(grant.duration.total_seconds()),
            renewable=grant.renewable,
            request_id=grant.request_id,
            token_expire_time=_whole(grant.token_ends) if grant.lease_id and grant.token_ends else None,
        ),
    }


def _entry(done: Settled, at: datetime) -> HistoryEntry:
    told = debts.told(done.restarted)
    return HistoryEntry(time=_whole(at), lease=done.digest, reason=done.because.value, restart=told)


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
