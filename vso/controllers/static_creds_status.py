"""What the status says of credentials that Vault rotates by itself.

Invariant: pure; the same credentials seen again move nothing but Vault's own times, and those only when
they are not what counting down would give.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from vso.api.secrets import SecretLease, VaultDynamicSecretStatus
from vso.api.shared import DestinationStatus, HistoryEntry, VaultClientMeta
from vso.controllers import debts, dynamic_status
from vso.controllers.restarts import Restarted
from vso.core.errors import Reason
from vso.decide.assess import News
from vso.decide.lease import Because
from vso.decide.static_creds import Rotation
from vso.kube.secret_plan import Written


@dataclass(frozen=True, slots=True)
class Answered:
    """What Vault has told besides the data."""

    rotation: Rotation | None
    """None for an answer without a rotation."""
    request_id: str
    meta: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Synced:
    """What a good pass has done."""

    because: Because
    mac: str
    changed: bool
    """The credentials are other than before."""
    written: Written | None
    restarted: Restarted | None
    answered: Answered


def noted(status: VaultDynamicSecretStatus, answered: Answered, now: datetime) -> VaultDynamicSecretStatus:
    """Say from when on Vault counts to the next rotation."""
    rotation = answered.rotation
    update: dict[str, object] = {
        "last_renewal_time": int(now.timestamp()),
        "secret_lease": SecretLease(request_id=answered.request_id),
        "static_creds_meta_data": rotation.told() if rotation is not None else None,
        "expires": None,
    }
    return status.model_copy(update=update)


@dataclass(frozen=True, slots=True)
class Context:
    """What the status takes from the object and the process."""

    shape: str
    resync: str
    asked: str
    """The restart that was asked for last, once every target took it."""
    pod_uid: str
    overlap: timedelta
    now: datetime


def synced(status: VaultDynamicSecretStatus, done: Synced, context: Context) -> VaultDynamicSecretStatus:
    """Say which credentials the Secret holds; a lease that they took the place of lives on for a while."""
    update: dict[str, object] = {
        "secret_mac": done.mac,
        "rolled_out_digest": status.rolled_out_digest if debts.pending(done.restarted) else done.mac,
        "retired_leases": dynamic_status.retired(status, context.now + context.overlap),
        "source_version": context.shape,
        "last_handled_resync": context.resync,
        "last_handled_restart": context.asked,
        "last_runtime_pod_uid": context.pod_uid,
        "vault_client_meta": VaultClientMeta(cache_key=done.answered.meta[0], id=done.answered.meta[1]),
    }
    if done.written is not None:
        update["destination"] = DestinationStatus(
            name=done.written.name, uid=done.written.uid, resource_version=done.written.resource_version
        )
    if done.changed or status.last_sync_time is None:
        at = ((done.written.set_at if done.written is not None else None) or context.now).replace(microsecond=0)
        update["last_sync_time"] = at
        update["history"] = (_entry(done, at), *status.history)[: dynamic_status.HISTORY]
    return noted(status, done.answered, context.now).model_copy(update=update)


def news_of(done: Synced, name: str, *, first: bool) -> News | None:
    """Return the event that the pass deserves."""
    if done.restarted is not None and done.restarted.failed:
        text = f"Secret {name} has new credentials, and not every target restarted: {done.restarted.problem}"
        return News("Warning", Reason.ROLLOUT_RESTART_FAILED, text)
    if first and done.written is not None:
        return News("Normal", Reason.SECRET_SYNCED, f"Secret {name} {done.written.outcome} ({done.because})")
    if done.changed:
        return News("Normal", Reason.SECRET_ROTATED, f"Secret {name} has new credentials ({done.because})")
    return debts.news_of(done.restarted)


def _entry(done: Synced, at: datetime) -> HistoryEntry:
    return HistoryEntry(time=at, reason=done.because.value, restart=debts.told(done.restarted))
