"""VaultConnection and VaultAuth: can they be used, and is Vault well?

Invariant: they are looked at again and again, not once; a secret that uses them never waits for
these passes, it follows the references itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from vso.api.access import VaultAuth, VaultAuthStatus, VaultConnection, VaultConnectionStatus
from vso.api.meta import Resource
from vso.controllers.clients import ClientPool
from vso.controllers.defaults import Completed
from vso.controllers.looks import Look
from vso.controllers.passes import ObjectReconciler, PassParts
from vso.controllers.report import Telling
from vso.controllers.resolver import Resolver
from vso.controllers.ways import WITHOUT_EFFECT, login_config, without_effect
from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.core.keys import ObjectKey
from vso.decide.conditions import AVAILABLE, Finding
from vso.decide.outcome import InOrder
from vso.runtime.reconcile import Result
from vso.vault.errors import BreakerOpenError
from vso.vault.health import Health
from vso.vault.sessions import Sessions
from vso.vault.standing import Summary

ConnectionLook = Look[VaultConnection, VaultConnectionStatus]
AuthLook = Look[VaultAuth, VaultAuthStatus]

_ANSWERED = frozenset({Reason.VAULT_SEALED, Reason.VAULT_STANDBY})


class ConnectionReconciler(ObjectReconciler[VaultConnection, VaultConnectionStatus]):
    """Asks each Vault how it is, at the start, on a change and every `check_interval` seconds."""

    model = VaultConnection

    def __init__(
        self,
        parts: PassParts[VaultConnectionStatus],
        resolver: Resolver,
        clients: ClientPool,
        *,
        check_interval: float,
    ) -> None:
        super().__init__(parts)
        self._resolver = resolver
        self._clients = clients
        self._check_interval = check_interval

    async def look_over(self, look: ConnectionLook) -> Result:
        """Ask the Vault for its health."""
        if look.record.deleting:
            return Result()
        try:
            health = await self._probe(look)
        except BreakerOpenError as shut:
            # Not put off until the breaker closes, as for everybody else: its cause may change, and is told here.
            raise TransientError(shut.reason, shut.message) from None
        await self._parts.reporter.in_order(look, lambda status: _known(look, status, health), InOrder("Vault answers"))
        return Result(requeue_after=self._check_interval)

    def telling(self, look: Look[Resource, VaultConnectionStatus], error: VsoError) -> Telling[VaultConnectionStatus]:
        """In an outage what was in order stays Ready as long as everything does; what is not valid is not Ready."""
        usable = still_valid(error, was=look.status.valid is True and look.is_current)
        return Telling(None if usable else timedelta(0), lambda status: _away(look, status, usable, error))

    def gone(self, uid: str) -> None:
        """Close the client; the tokens are revoked at the end."""
        self._resolver.forget(uid)
        self._clients.forget(uid)

    async def _probe(self, look: ConnectionLook) -> Health:
        client = await self._resolver.client(look.cr, renew=True)
        await self._resolver.renew_shown(look.cr)
        if (outage := client.outage) is not None:
            raise outage  # a Vault that is away is asked for its health by the breaker alone
        health = await client.health()
        if health.error is not None:
            raise health.error
        return health


def _known(look: ConnectionLook, status: VaultConnectionStatus, health: Health) -> VaultConnectionStatus:
    return _probed(look, status, {"valid": True, "version": health.version, "sealed": health.sealed})


def _away(
    look: Look[Resource, VaultConnectionStatus], status: VaultConnectionStatus, usable: bool, error: VsoError
) -> VaultConnectionStatus:
    """Return the status of a Vault that cannot be used; one that does not answer may be sealed or not."""
    if error.reason not in _ANSWERED:
        return status.model_copy(update={"valid": usable})
    return _probed(look, status, {"valid": usable, "sealed": error.reason is Reason.VAULT_SEALED})


def _probed(
    look: Look[Resource, VaultConnectionStatus], status: VaultConnectionStatus, found: dict[str, object]
) -> VaultConnectionStatus:
    """Write down what a probe has found, and the time if it is anything new."""
    if all(getattr(status, name) == value for name, value in found.items()):
        return status
    return status.model_copy(update={**found, "last_probe": look.now.replace(microsecond=0)})


class AuthReconciler(ObjectReconciler[VaultAuth, VaultAuthStatus]):
    """Checks a VaultAuth and its references; the login itself is tried by those who use it."""

    model = VaultAuth

    def __init__(
        self,
        parts: PassParts[VaultAuthStatus],
        resolver: Resolver,
        sessions: Sessions,
        consumers: Callable[[ObjectKey], frozenset[str]],
    ) -> None:
        super().__init__(parts)
        self._resolver = resolver
        self._sessions = sessions
        self._consumers = consumers

    async def look_over(self, look: AuthLook) -> Result:
        """Follow the references and see whether the fields are complete."""
        if look.record.deleting:
            return Result()
        completed = self._resolver.completed(look.cr, look.key.namespace)
        self._resolver.connection_of(completed.auth, look.key.namespace)
        login_config(completed.auth, look.key.namespace, completed.name)
        logins = self._logins(look, without_effect(completed.auth.spec))
        text = "; ".join(("its references resolve and its fields are complete", *(logins.cautions or ())))
        outcome = InOrder(text, also=_defaulted(completed))
        await self._parts.reporter.in_order(look, lambda status: _accepted(completed, status, logins), outcome)
        return Result(requeue_after=logins.settles_in or None)

    def telling(self, look: Look[Resource, VaultAuthStatus], error: VsoError) -> Telling[VaultAuthStatus]:
        """`valid` and `error` speak of the spec and of what it refers to."""
        usable = still_valid(error, was=look.status.valid is True and look.is_current)
        told = {"valid": usable, "error": "" if usable else error.message}
        also = self._found_of_defaults(look.cr) if isinstance(look.cr, VaultAuth) else ()
        return Telling(change=lambda status: _told(look.cr, status, told), also=also)

    def _logins(self, look: AuthLook, cautions: tuple[str, ...]) -> Summary:
        """Return what the logins have come to, with more cautions; as long as less is known, as the status has it."""
        consumers = self._consumers(look.key)
        own = look.cr.spec.storage_encryption is not None
        self._sessions.depart(look.cr.metadata.uid, consumers | _beside(look.key, shared=bool(consumers), own=own))
        told, status = self._sessions.summary(look.cr.metadata.uid), look.status
        if told is None:
            told = Summary(None, "", status.identity_count if consumers or own else 0, 0.0)
        elif told.settles_in > 0:
            told = replace(told, token_type="", identities=status.identity_count)
        before = tuple(text for text in status.warnings if text not in WITHOUT_EFFECT)
        known = before if told.cautions is None else told.cautions
        return replace(told, token_type=told.token_type or status.token_type, cautions=(*cautions, *known))

    def _found_of_defaults(self, auth: VaultAuth) -> tuple[Finding, ...]:
        try:
            return _defaulted(self._resolver.completed(auth, auth.metadata.namespace))
        except ConfigError as error:
            return (Finding(AVAILABLE, "False", Reason.VAULT_AUTH_GLOBAL_REF, error.message),)

    def gone(self, uid: str) -> None:
        """Drop the sessions; their tokens are revoked at the end."""
        self._resolver.forget(uid)


def _beside(auth: ObjectKey, *, shared: bool, own: bool) -> frozenset[str]:
    """Return who uses a VaultAuth beside the namespaces of its consumers: all of them together, or we ourselves."""
    return frozenset({""} if shared or own else ()) | frozenset({auth.namespace} if own else ())


def _defaulted(completed: Completed) -> tuple[Finding, ...]:
    """Return the condition of a VaultAuth that has its defaults from elsewhere."""
    if completed.source is None:
        return ()
    text = f"the defaults of VaultAuthGlobal {completed.source} are taken over"
    return (Finding(AVAILABLE, "True", Reason.VAULT_AUTH_GLOBAL_REF, text),)


def _told(cr: Resource, status: VaultAuthStatus, update: Mapping[str, object]) -> VaultAuthStatus:
    """Return the status with what is told, and no word of defaults where none are asked for."""
    if isinstance(cr, VaultAuth) and cr.spec.vault_auth_global_ref is None:
        others = tuple(condition for condition in status.conditions if condition.type != AVAILABLE)
        update = {**update, "conditions": others}
    return status.model_copy(update=update)


def still_valid(error: VsoError, *, was: bool) -> bool:
    """Tell what `status.valid` is after a failed pass: whether the object, as it is written, can be used.

    As with the reference operator, what a human must mend makes it false at once, and a Vault that
    does not answer the first look at a spec makes it false too, while one that says that it is sealed
    or has no active node has shown that it is there. The reference never looks again at what was
    valid; here it is looked at again and again, and an outage says nothing about the spec: what `was`
    valid for this very spec stays so, Healthy tells of the outage, and after a while Ready does too.
    A certificate that is not trusted is no outage.
    """
    if not isinstance(error, TransientError) or error.reason is Reason.VAULT_TLS_ERROR:
        return False
    return was or error.reason in _ANSWERED


def _accepted(completed: Completed, status: VaultAuthStatus, logins: Summary) -> VaultAuthStatus:
    spec = completed.auth.spec.model_dump_json(by_alias=True, exclude_none=True)
    update = {
        "valid": True,
        "error": "",
        "spec_hash": hashlib.blake2b(spec.encode(), digest_size=32).hexdigest(),
        "warnings": logins.cautions or (),
        "token_type": logins.token_type,
        "identity_count": logins.identities,
    }
    return _told(completed.auth, status, update)
