"""What a VaultDynamicSecret asks of Vault, and whether it has to be asked now.

Invariant: pure. Credentials are issued anew only for what shapes the request or the data; labels, the
share of renewal and restart targets leave the lease alone, since no value of it is kept anywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson

from vso.api.secrets import VaultDynamicSecretSpec, VaultDynamicSecretStatus
from vso.decide.conditions import HEALTHY, SECRET_SYNCED
from vso.decide.lease import Because, Lease
from vso.decide.schedule import duration_of

_SHAPE_BYTES = 6


@dataclass(frozen=True, slots=True)
class Asked:
    """The request for credentials."""

    method: Literal["GET", "PUT"]
    body: dict[str, Any] | None


def request_of(spec: VaultDynamicSecretSpec) -> Asked:
    """Return the request; parameters always make it a PUT, as with the reference operator."""
    if spec.params_json is not None:
        return Asked("PUT", dict(spec.params_json))
    if spec.params:
        return Asked("PUT", dict(spec.params))
    return Asked("GET" if spec.request_http_method in (None, "GET") else "PUT", None)


def shape_of(spec: VaultDynamicSecretSpec) -> str:
    """Return a short hash of everything that shapes the credentials or their Secret; nothing of it is a value."""
    destination = spec.destination
    told = spec.model_dump(
        mode="json",
        by_alias=True,
        include={"mount", "path", "namespace", "vault_auth_ref", "request_http_method", "params", "params_json"},
    )
    if spec.allow_static_creds:
        told["allowStaticCreds"] = True
    made = destination.model_dump(mode="json", by_alias=True, include={"name", "create", "type", "transformation"})
    text = orjson.dumps([told, made], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=_SHAPE_BYTES).hexdigest()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one object before Vault is asked."""

    issued: bool
    """Credentials were issued and written before."""
    shape: str
    recorded_shape: str
    """Empty for a status of the reference operator: then the lease is kept."""
    resync_asked: bool
    secret_missing: bool
    secret_drifted: bool


_CHECKS: tuple[tuple[Because, Callable[[Facts], bool]], ...] = (
    (Because.NO_LEASE, lambda f: not f.issued),
    (Because.REQUEST_CHANGED, lambda f: bool(f.recorded_shape) and f.recorded_shape != f.shape),
    (Because.ASKED, lambda f: f.resync_asked),
    (Because.SECRET_MISSING, lambda f: f.secret_missing),
    (Because.SECRET_DRIFTED, lambda f: f.secret_drifted),
)


def plan_issue(facts: Facts) -> Because | None:
    """Return why credentials must be issued whatever the lease says; None when only the lease counts."""
    return next((because for because, holds in _CHECKS if holds(facts)), None)


def left_by_the_reference(status: VaultDynamicSecretStatus) -> bool:
    """Tell whether the credentials that the status tells of are the reference operator's, and not taken over yet."""
    return status.destination is None and status.last_renewal_time > 0


def applied_by_the_reference(status: VaultDynamicSecretStatus, generation: int) -> bool:
    """Tell whether the reference operator's credentials are what this generation asks for.

    It writes `lastGeneration` after a failure as well, so its conditions have to say that all went well. Where the
    conditions are ours already, they were looked at before, and `lastGeneration` was taken back if they said no.
    """
    if status.last_generation != generation:
        return False
    good = {c.type for c in status.conditions if c.status == "True" and c.observed_generation in (0, generation)}
    return status.observed_generation > 0 or good >= {HEALTHY, SECRET_SYNCED}


def last_sign_of_the_reference(status: VaultDynamicSecretStatus) -> datetime:
    """Return when the reference operator surely lived still; it never tells `expires`, which we do with a renewal."""
    return datetime.fromtimestamp(0 if status.expires else status.last_renewal_time, UTC)


def lease_of(
    spec: VaultDynamicSecretSpec,
    status: VaultDynamicSecretStatus,
    parent: tuple[datetime, bool] | None,
    tz_now: datetime,
) -> Lease | None:
    """Return the lease that the status tells of; None where nothing was issued, or nothing ends.

    `parent` is the end of the token that it hangs on, and whether that end is final, where the token is
    in our hands. An answer without a lease is looked at as one of spec.refreshAfter that cannot be renewed.
    """
    told = status.secret_lease
    granted = datetime.fromtimestamp(status.last_renewal_time, tz_now.tzinfo)
    if not told.id:
        if spec.allow_static_creds:
            return None  # see static_creds
        period = duration_of(spec.refresh_after, "spec.refreshAfter")
        if not period or not status.last_renewal_time:
            return None
        return Lease("", granted, period, renewable=False, parent_end=None, parent_kept=True)
    return Lease(
        told.id,
        granted,
        timedelta(seconds=told.duration),
        told.renewable,
        parent_end=parent[0] if parent else told.token_expire_time,
        parent_kept=parent is not None,
        parent_final=parent[1] if parent else False,
    )
