"""The acts on the leases of one object, at Vault: issued, renewed, given back, and their tokens kept.

Invariant: what Vault has issued is either named in the status or given back; nothing here decides
whether an act is due.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from vso.api.secrets import PendingLease, VaultDynamicSecretSpec, VaultDynamicSecretStatus
from vso.controllers.dynamic_status import Grant
from vso.controllers.resolver import Resolver
from vso.core.clock import Clock
from vso.core.errors import Reason, TransientError, VsoError
from vso.core.keys import ObjectKey
from vso.core.sensitive import keyed_digest
from vso.decide.dynamic import request_of
from vso.decide.references import vault_namespace
from vso.runtime.deadline import within
from vso.vault import leases
from vso.vault.errors import PermissionDeniedError
from vso.vault.keeping import client_id
from vso.vault.leases import Issued, IssueRequest
from vso.vault.parents import Parent
from vso.vault.session import Session

_log = structlog.get_logger("vso.leases")
_LEFT_OF_LIFE = 1 / 4
"""Of a token of the reference operator when it stops: it renews them at less than three quarters of their life."""


@dataclass(frozen=True, slots=True)
class Door:
    """The way to Vault that one object takes."""

    session: Session
    namespace: str
    connection: str

    @property
    def meta(self) -> tuple[str, str]:
        """What the status tells of the session."""
        return self.session.client_meta(self.namespace)

    async def parent(self, status: VaultDynamicSecretStatus) -> Parent | None:
        """Return how long the token lives that the object's lease hangs on; None when it is not in our hands."""
        if not status.secret_lease.id:
            return None
        named = status.vault_client_meta
        return await self.session.parent(status.secret_lease.id, named.id if named else "")


@dataclass(frozen=True, slots=True)
class GivenBack:
    """What became of leases that nobody wants any more."""

    settled: frozenset[str]
    """Nothing more is to be done for them: they are gone, or run out by themselves."""
    forbidden: tuple[VsoError, ...]
    """Of those among them that the policy forbids to revoke."""
    error: VsoError | None
    """What kept the first of the others."""


class LeaseDesk:
    """Leases of the objects of one kind."""

    def __init__(self, resolver: Resolver, clock: Clock, digest_key: bytes) -> None:
        self._resolver = resolver
        self._clock = clock
        self._digest_key = digest_key
        self._doors: dict[ObjectKey, Door] = {}

    async def open(self, key: ObjectKey, spec: VaultDynamicSecretSpec) -> Door:
        """Follow the references; costs no request. The door is remembered for the object's end."""
        path = self._resolver.path(spec.vault_auth_ref, key.namespace)
        session = await self._resolver.session(path, key.namespace)
        inner = vault_namespace(spec.namespace, path.auth.spec.namespace, path.connection.spec.namespace)
        door = self._doors[key] = Door(session, inner, path.connection_name)
        return door

    async def last_door(self, key: ObjectKey, spec: VaultDynamicSecretSpec) -> Door:
        """Return the way that was taken last, for an object that goes: its references may have gone before it."""
        return self._doors.get(key) or await self.open(key, spec)

    def forget(self, key: ObjectKey) -> None:
        """The object is gone."""
        self._doors.pop(key, None)

    def digest(self, lease_id: str) -> str:
        """Return the keyed hash of a lease's id that may be shown."""
        return keyed_digest(self._digest_key, lease_id.encode())

    async def issue(self, door: Door, spec: VaultDynamicSecretSpec) -> tuple[Issued, Grant]:
        """Ask Vault for credentials."""
        asked = request_of(spec)
        request = IssueRequest(spec.mount, spec.path, asked.method, asked.body)
        issued = await leases.issue(door.session, request, namespace=door.namespace)
        ends = await self._token_ends(door, issued) if issued.lease_id else None
        grant = Grant(
            issued.lease_id,
            issued.duration,
            issued.renewable,
            issued.request_id,
            ends,
            client_id=client_id(issued.held.token.accessor),
        )
        return issued, grant

    async def _token_ends(self, door: Door, issued: Issued) -> datetime | None:
        """Return when the lease's token ends; a lease that no status names yet is given back if this is cut off."""
        try:
            parent = await door.session.parent(issued.lease_id)
        except BaseException:
            await self.revoke(door, issued.lease_id)
            raise
        return parent.ends if parent else None

    async def renew(self, door: Door, lease_id: str, duration: timedelta, parent: Parent | None) -> Grant:
        """Prolong a lease by its own life; LeaseGoneError when there is none."""
        granted = await leases.renew(door.session, lease_id, duration, namespace=door.namespace)
        return Grant(lease_id, granted.duration, granted.renewable, granted.request_id, parent.ends if parent else None)

    async def lookup(self, door: Door, lease: PendingLease) -> Grant:
        """Return a lease as it was granted; LeaseGoneError when there is none.

        The end of its token is what the status tells of it, where the token itself is not in our hands.
        """
        found = await leases.lookup(door.session, lease.id, namespace=door.namespace)
        parent = await door.session.parent(lease.id, lease.client_id)
        ends = parent.ends if parent else lease.token_expire_time
        return Grant(lease.id, found.duration, found.renewable, found.request_id, ends, found.age, lease.client_id)

    async def sure_until(self, door: Door, lease_id: str, lived: datetime) -> datetime | None:
        """Return until when the token surely lives that the reference operator got a lease with; None for no end.

        It renewed that token when it `lived` last, and nobody does any more; ours has the same life. LeaseGoneError
        where there is no such lease.
        """
        with suppress(PermissionDeniedError):  # a policy of one's own may leave the right out
            await self.probe(door, lease_id)
        life = door.session.token_life
        if math.isinf(life):
            return None
        return min(lived, self._clock.now()) + timedelta(seconds=life * _LEFT_OF_LIFE)

    async def probe(self, door: Door, lease_id: str) -> None:
        """Ask whether a lease is there; LeaseGoneError when it is not."""
        await leases.lookup(door.session, lease_id, namespace=door.namespace)

    async def revoke(self, door: Door, lease_id: str, seconds: float | None = None) -> VsoError | None:
        """Give a lease back; return what prevented it, None when it is gone.

        Nobody wants it any more either way: no token is kept for it.
        """
        failure: VsoError | None = None
        work = leases.revoke(door.session, lease_id, namespace=door.namespace)
        try:
            await (work if seconds is None else within(self._clock, seconds, work))
        except TimeoutError:
            failure = TransientError(Reason.VAULT_UNAVAILABLE, "Vault does not say in time that the lease is revoked")
        except VsoError as error:
            failure = error
        if failure is not None:
            _log.warning(
                "lease not revoked", lease=self.digest(lease_id), reason=failure.reason.value, error=failure.message
            )
        await door.session.let_go(lease_id)
        return failure

    async def revoke_all(self, door: Door, lease_ids: Collection[str], seconds: float | None = None) -> GivenBack:
        """Give leases back; where there is a limit, one that Vault is slow with leaves the others their share of it."""
        refused: dict[str, VsoError] = {}
        ends = None if seconds is None else self._clock.monotonic() + seconds
        for given, lease_id in enumerate(lease_ids):
            share = None if ends is None else (ends - self._clock.monotonic()) / (len(lease_ids) - given)
            error = await self.revoke(door, lease_id, share)
            if error is not None:
                refused[lease_id] = error
        left = {name: error for name, error in refused.items() if error.reason is not Reason.REVOKE_FORBIDDEN}
        forbidden = tuple(error for name, error in refused.items() if name not in left)
        return GivenBack(frozenset(lease_ids) - left.keys(), forbidden, next(iter(left.values()), None))
