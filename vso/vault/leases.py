"""Leases: asked for, renewed, looked up and given back.

Invariant: a request that may have made a lease is never repeated by itself; what Vault says of a lease
that is not there any more is told apart from every other refusal, since only that leads to a new issue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.core.numbers import JsonNumber
from vso.runtime.workqueue import Lane
from vso.vault.client import VaultAnswer, VaultRequest
from vso.vault.errors import PermissionDeniedError
from vso.vault.json import JsonObject
from vso.vault.logins import Held
from vso.vault.paths import join
from vso.vault.session import Session

_GONE = ("lease not found", "invalid lease", "lease expired")


class LeaseGoneError(ConfigError):
    """Vault knows no such lease: it has ended, or was revoked."""

    def __init__(self) -> None:
        super().__init__(Reason.LEASE_GONE, "Vault does not know the lease any more")


@dataclass(frozen=True, slots=True)
class IssueRequest:
    """Credentials to ask for."""

    mount: str
    path: str
    method: Literal["GET", "PUT"] = "GET"
    body: Mapping[str, Any] | None = field(default=None, repr=False)

    def url_path(self) -> str:
        """Return the API path, plain; the client encodes it."""
        return join(self.mount, self.path)

    def __str__(self) -> str:
        return self.url_path()


@dataclass(frozen=True, slots=True)
class Issued:
    """What Vault has made; the repr shows no value."""

    data: Mapping[str, Any] = field(repr=False)
    lease_id: str = field(repr=False)
    """Empty when the answer has no lease."""
    duration: timedelta
    renewable: bool
    request_id: str
    held: Held = field(repr=False)
    """The token that it was given to, and ends with."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A lease as Vault has just prolonged it or tells of it."""

    duration: timedelta
    """Its life as granted last, whatever is left of it."""
    renewable: bool
    request_id: str = ""
    age: timedelta = timedelta(0)
    """How much of that life is over."""


async def issue(session: Session, request: IssueRequest, *, namespace: str = "") -> Issued:
    """Ask for credentials, once; a ConfigError says what a human must mend.

    A lease hangs on its token already: it is the caller's to let go.
    """
    asked = VaultRequest(
        request.method,
        request.url_path(),
        namespace=namespace,
        body=request.body,
        lane=Lane.URGENT,
        repeatable=False,
    )
    answer, held = await session.send(asked)
    data = answer.body.get("data")
    lease_id = str(answer.body.get("lease_id") or "")
    if not isinstance(data, dict) or not data:
        if lease_id:
            try:
                await revoke(session, lease_id, namespace=namespace)
            finally:
                await session.let_go(lease_id)
        raise ConfigError(Reason.SOURCE_INVALID, f"{request}: the answer holds no data")
    return Issued(
        data=data,
        lease_id=lease_id,
        duration=_seconds(answer.body.get("lease_duration")),
        renewable=answer.body.get("renewable") is True,
        request_id=answer.request_id,
        held=held,
    )


async def renew(session: Session, lease_id: str, asked: timedelta, *, namespace: str = "") -> Granted:
    """Prolong a lease; LeaseGoneError when there is none, and a shorter duration when its end is near."""
    body = {"lease_id": lease_id, "increment": int(asked.total_seconds())}
    answer, _ = await _about_lease(session, "sys/leases/renew", body, namespace)
    return Granted(_seconds(answer.body.get("lease_duration")), answer.body.get("renewable") is True, answer.request_id)


async def lookup(session: Session, lease_id: str, *, namespace: str = "") -> Granted:
    """Return a lease as it was granted last, and how old that is; LeaseGoneError when there is none."""
    answer, _ = await _about_lease(session, "sys/leases/lookup", {"lease_id": lease_id}, namespace)
    data: JsonObject = answer.body.get("data") or {}
    left = _seconds(data.get("ttl"))
    duration = max(left, _life(data) or left)
    return Granted(duration, data.get("renewable") is True, answer.request_id, duration - left)


async def revoke(session: Session, lease_id: str, *, namespace: str = "") -> None:
    """Give a lease back; one that is gone already is no failure."""
    try:
        await _about_lease(session, "sys/leases/revoke", {"lease_id": lease_id}, namespace)
    except LeaseGoneError:
        return
    except PermissionDeniedError as error:
        raise ConfigError(Reason.REVOKE_FORBIDDEN, error.message) from None
    except VsoError as error:
        if error.reason is Reason.VAULT_REQUEST_INVALID:
            # The engine could not undo what it had made (a database that is away): the lease stays.
            raise TransientError(Reason.VAULT_UNAVAILABLE, f"the lease is not revoked: {error.message}") from None
        raise


async def _about_lease(
    session: Session, path: str, body: Mapping[str, Any], namespace: str
) -> tuple[VaultAnswer, Held]:
    request = VaultRequest("PUT", path, namespace=namespace, body=body, lane=Lane.URGENT)
    try:
        return await session.send(request)
    except VsoError as error:
        if error.reason is not Reason.VAULT_REQUEST_INVALID:
            raise
        refusal = _meaning(error)
    raise refusal


def _meaning(error: VsoError) -> VsoError:
    """Return what a 400 about a lease says: it is gone, or what stands behind it (a database, say) is away."""
    text = error.message
    if any(said in text for said in _GONE):
        return LeaseGoneError()
    if "failed to renew entry" in text:
        # The engine could not prolong what it had made: its user is gone, or it cannot tell.
        gone = "does not exist" in text
        return LeaseGoneError() if gone else TransientError(Reason.LEASE_NOT_RENEWED, text)
    return error


def _seconds(value: object) -> timedelta:
    return timedelta(seconds=float(value)) if isinstance(value, JsonNumber) else timedelta(0)


def _life(data: JsonObject) -> timedelta | None:
    """Return the life as granted last. By Vault's clock alone, which notes both times a moment apart."""
    granted, ends = (
        _moment(data.get("last_renewal")) or _moment(data.get("issue_time")),
        _moment(data.get("expire_time")),
    )
    return timedelta(seconds=round((ends - granted).total_seconds())) if granted and ends else None


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
