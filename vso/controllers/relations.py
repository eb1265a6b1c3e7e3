"""Who refers to whom and who owns what, answered from the watch caches.

Invariant: read-only and without a request; an answer is as old as the watch, which the passes that
it wakes find out by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from vso.controllers.cache import Caches
from vso.controllers.triggers import (
    BY_AUTH,
    BY_CONNECTION,
    BY_GLOBAL,
    BY_SPELLING,
    BY_TARGET,
    BY_UID,
    defaulted_by,
    referred,
    target_key,
)
from vso.core.keys import Kind, ObjectKey
from vso.core.records import Record
from vso.kube.workloads import Workload

AUTHENTICATED = (Kind.VAULT_STATIC_SECRET, Kind.VAULT_DYNAMIC_SECRET)
"""The kinds whose passes log in."""
_RESTARTING = (Kind.VAULT_STATIC_SECRET, Kind.VAULT_DYNAMIC_SECRET)
_SECRET_KINDS = (
    Kind.VAULT_STATIC_SECRET,
    Kind.VAULT_DYNAMIC_SECRET,
    Kind.VAULT_PKI_SECRET,
    Kind.HCP_VAULT_SECRETS_APP,
)


@dataclass(frozen=True)
class Relations:
    """The edges between our objects."""

    caches: Caches
    operator_namespace: str

    def by_auth(self, kind: Kind, auth: str) -> Iterable[ObjectKey]:
        """Return the secrets of a kind that refer to a VaultAuth."""
        return self.caches[kind].by_index(BY_AUTH, auth)

    def consumers(self, auth: ObjectKey) -> frozenset[str]:
        """Return the namespaces of the secrets that refer to a VaultAuth."""
        return frozenset(key.namespace for kind in AUTHENTICATED for key in self.by_auth(kind, str(auth)))

    def auths_by_connection(self, connection: str) -> Iterable[ObjectKey]:
        """Return the VaultAuths that refer to a VaultConnection, by themselves or by their VaultAuthGlobal."""
        return self.caches[Kind.VAULT_AUTH].by_index(BY_CONNECTION, connection).union(self._inheriting(connection))

    def by_connection(self, kind: Kind, connection: str) -> Iterable[ObjectKey]:
        """Return the secrets of a kind behind a VaultConnection."""
        auths = self.auths_by_connection(connection)
        return [key for auth in auths for key in self.by_auth(kind, str(auth))]

    def auths_by_global(self, name: str) -> Iterable[ObjectKey]:
        """Return the VaultAuths that take their defaults from a VaultAuthGlobal, or would if it were there."""
        return self.caches[Kind.VAULT_AUTH].by_index(BY_GLOBAL, name)

    def by_global(self, kind: Kind, name: str) -> Iterable[ObjectKey]:
        """Return the secrets of a kind behind a VaultAuthGlobal."""
        return [key for auth in self.auths_by_global(name) for key in self.by_auth(kind, str(auth))]

    def named_globals(self, auth: Record) -> Iterable[ObjectKey]:
        """Return the VaultAuthGlobals that a VaultAuth could mean."""
        return defaulted_by(auth, self.operator_namespace)

    def rivals(self, name: str) -> Iterable[ObjectKey]:
        """Return the VaultAuthGlobals that gain or lose referrers when that one goes or comes."""
        records = map(self.caches[Kind.VAULT_AUTH].get, self.auths_by_global(name))
        named = {key for record in records if record is not None for key in self.named_globals(record)}
        return [key for key in named if str(key) != name]

    def referrers(self, key: ObjectKey) -> int:
        """Return how many VaultAuths take their defaults from a VaultAuthGlobal."""
        records = map(self.caches[Kind.VAULT_AUTH].get, self.auths_by_global(str(key)))
        return sum(record is not None and self._defaults(record) == key for record in records)

    def by_uid(self, kind: Kind, uid: str) -> Iterable[ObjectKey]:
        """Return the secret of a kind with that uid, if there is one."""
        return self.caches[kind].by_index(BY_UID, uid)

    def vault_of(self, kind: Kind, key: ObjectKey) -> ObjectKey | None:
        """Return the VaultConnection that a pass over a secret will wait for, as far as it is known."""
        secret = self.caches[kind].get(key)
        auth = None if secret is None else referred(secret, self.operator_namespace)
        record = None if auth is None else self.caches[Kind.VAULT_AUTH].get(auth)
        return None if record is None else self._connection(record)

    def is_shared(self, workload: Workload) -> bool:
        """Tell whether more than one object restarts the workload."""
        name = target_key(workload.namespace, f"{workload.kind}/{workload.name}")
        return sum(len(self.caches[kind].by_index(BY_TARGET, name)) for kind in _RESTARTING) > 1

    def owner_of(self, namespace: str, uid: str) -> str | None:
        """Name the living object with that uid; one in a namespace that is not watched counts as alive."""
        if not self.caches[Kind.VAULT_STATIC_SECRET].watches(namespace):
            return f"the object with uid {uid}"
        found = ((kind, key) for kind in _SECRET_KINDS for key in self.caches[kind].by_index(BY_UID, uid))
        return next((f"{kind} {key}" for kind, key in found), None)

    def _inheriting(self, connection: str) -> set[ObjectKey]:
        """Return the VaultAuths whose VaultAuthGlobal leads them to a VaultConnection."""
        spellings = (connection, connection.partition("/")[2])
        kept = self.caches[Kind.VAULT_AUTH_GLOBAL]
        names = [key for spelling in spellings for key in kept.by_index(BY_SPELLING, spelling)]
        auths = {auth for name in names for auth in self.auths_by_global(str(name))}
        return {auth for auth in auths if self._leads_to(auth, connection)}

    def _leads_to(self, auth: ObjectKey, connection: str) -> bool:
        record = self.caches[Kind.VAULT_AUTH].get(auth)
        return record is not None and str(self._connection(record)) == connection

    def _connection(self, auth: Record) -> ObjectKey | None:
        """Return the VaultConnection of a VaultAuth, by its own reference or by that of its VaultAuthGlobal."""
        defaults = None if auth.reference else self._defaults(auth)
        given = None if defaults is None else self.caches[Kind.VAULT_AUTH_GLOBAL].get(defaults)
        return referred(auth if given is None else replace(auth, reference=given.reference), self.operator_namespace)

    def _defaults(self, auth: Record) -> ObjectKey | None:
        """Return the VaultAuthGlobal that supplies the VaultAuth's defaults, if one is there."""
        kept = self.caches[Kind.VAULT_AUTH_GLOBAL]
        return next((key for key in self.named_globals(auth) if kept.get(key) is not None), None)
