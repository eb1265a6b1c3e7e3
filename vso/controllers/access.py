"""VaultConnection and VaultAuth: can they be used, and is Vault well?

Invariant: they are looked at again and again, not once; a secret that uses them never waits for
these passes, it follows the references itself.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from vso.api.access import VaultAuth, VaultAuthStatus, VaultConnection, VaultConnectionStatus
from vso.api.scheme import parse_as
from vso.controllers.cache import ObjectCache
from vso.controllers.clients import ClientPool
from vso.controllers.finalizers import Finalizers
from vso.controllers.looks import Look
from vso.controllers.memory import Memories, moved_on
from vso.controllers.report import Reporter
from vso.controllers.resolver import Resolver, login_config
from vso.core.clock import Clock
from vso.core.errors import VsoError
from vso.core.keys import ObjectKey
from vso.decide.conditions import READY, find_condition
from vso.decide.outcome import InOrder
from vso.runtime.reconcile import Result
from vso.vault.health import Health
from vso.vault.sessions import Sessions

ConnectionLook = Look[VaultConnection, VaultConnectionStatus]
AuthLook = Look[VaultAuth, VaultAuthStatus]


@dataclass(frozen=True)
class ConnectionRooms:
    """The collaborators of a pass over a VaultConnection."""

    cache: ObjectCache
    memories: Memories[VaultConnectionStatus]
    resolver: Resolver
    clients: ClientPool
    reporter: Reporter[VaultConnectionStatus]
    finalizers: Finalizers


class ConnectionReconciler:
    """Asks each Vault how it is, at the start, on a change and every `check_interval` seconds."""

    def __init__(self, rooms: ConnectionRooms, clock: Clock, *, check_interval: float) -> None:
        self._rooms = rooms
        self._clock = clock
        self._check_interval = check_interval

    async def reconcile(self, key: ObjectKey) -> Result:
        """Look at one VaultConnection."""
        record = self._rooms.cache.get(key)
        if record is None:
            self._forget(key)
            return Result()
        cr = parse_as(VaultConnection, record.body)
        notes = self._rooms.memories.of(record)
        status = self._rooms.reporter.effective(record, cr.status, notes)
        look = Look(record, cr, status, notes, self._clock.now(), self._clock.monotonic())
        try:
            moved_on(notes, status, await self._rooms.finalizers.release(record, cr.metadata.finalizers))
            if record.deleting:
                return Result()
            health = await self._probe(look)
        except VsoError as error:
            raise await self._rooms.reporter.failed(look, error, timedelta(0)) from None
        await self._rooms.reporter.in_order(look, lambda status: _known(look, status, health), InOrder("Vault answers"))
        return Result(requeue_after=self._check_interval)

    async def _probe(self, look: ConnectionLook) -> Health:
        client = await self._rooms.resolver.client(look.cr, renew=True)
        if (outage := client.outage) is not None:
            raise outage  # a Vault that is away is asked for its health by the breaker alone
        health = await client.health()
        if health.error is not None:
            raise health.error
        return health

    def _forget(self, key: ObjectKey) -> None:
        notes = self._rooms.memories.find(key)
        if notes is not None:
            self._rooms.resolver.forget(notes.uid)
            self._rooms.clients.forget(notes.uid)
        self._rooms.memories.forget(key)
        self._rooms.reporter.forget(key)


def _known(look: ConnectionLook, status: VaultConnectionStatus, health: Health) -> VaultConnectionStatus:
    news = (status.version, status.sealed, status.valid) != (health.version, health.sealed, True)
    return status.model_copy(
        update={
            "valid": True,
            "version": health.version,
            "sealed": health.sealed,
            "last_probe": look.now.replace(microsecond=0) if news else status.last_probe,
        }
    )


@dataclass(frozen=True)
class AuthRooms:
    """The collaborators of a pass over a VaultAuth."""

    cache: ObjectCache
    memories: Memories[VaultAuthStatus]
    resolver: Resolver
    sessions: Sessions
    reporter: Reporter[VaultAuthStatus]
    finalizers: Finalizers


class AuthReconciler:
    """Checks a VaultAuth and its references; the login itself is tried by those who use it."""

    def __init__(self, rooms: AuthRooms, clock: Clock) -> None:
        self._rooms = rooms
        self._clock = clock

    async def reconcile(self, key: ObjectKey) -> Result:
        """Look at one VaultAuth."""
        record = self._rooms.cache.get(key)
        if record is None:
            notes = self._rooms.memories.find(key)
            if notes is not None:
                self._rooms.resolver.forget(notes.uid)
            self._rooms.memories.forget(key)
            self._rooms.reporter.forget(key)
            return Result()
        cr = parse_as(VaultAuth, record.body)
        notes = self._rooms.memories.of(record)
        status = self._rooms.reporter.effective(record, cr.status, notes)
        look = Look(record, cr, status, notes, self._clock.now(), self._clock.monotonic())
        try:
            moved_on(notes, status, await self._rooms.finalizers.release(record, cr.metadata.finalizers))
            if record.deleting:
                return Result()
            self._rooms.resolver.connection_of(cr)
            login_config(cr, key.namespace)
        except VsoError as error:
            raise await self._rooms.reporter.failed(look, error) from None
        cautions = self._rooms.sessions.cautions(cr.metadata.uid)
        await self._rooms.reporter.in_order(
            look, lambda status: _accepted(look, status), InOrder(_auth_text(look, cautions))
        )
        return Result()


def _auth_text(look: AuthLook, cautions: tuple[str, ...] | None) -> str:
    """Return what is said of a good VaultAuth; before the first login of this process, what was said before."""
    ready = find_condition(look.status.conditions, READY)
    if cautions is None and ready is not None and ready.status == "True":
        return ready.message
    return "; ".join(("its references resolve and its fields are complete", *(cautions or ())))


def _accepted(look: AuthLook, status: VaultAuthStatus) -> VaultAuthStatus:
    spec = look.cr.spec.model_dump_json(by_alias=True, exclude_none=True)
    digest = hashlib.blake2b(spec.encode(), digest_size=32).hexdigest()
    return status.model_copy(update={"valid": True, "error": "", "spec_hash": digest})
