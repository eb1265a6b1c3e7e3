"""Who refers to whom and who owns what, answered from the watch caches.

Invariant: read-only and without a request; an answer is as old as the watch, which the passes that
it wakes find out by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vso.controllers.cache import Caches
from vso.controllers.triggers import BY_AUTH, BY_CONNECTION, BY_TARGET, BY_UID, referred, target_key
from vso.core.keys import Kind, ObjectKey
from vso.kube.workloads import Workload

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

    def auths_by_connection(self, connection: str) -> Iterable[ObjectKey]:
        """Return the VaultAuths that refer to a VaultConnection."""
        return self.caches[Kind.VAULT_AUTH].by_index(BY_CONNECTION, connection)

    def by_connection(self, kind: Kind, connection: str) -> Iterable[ObjectKey]:
        """Return the secrets of a kind behind a VaultConnection."""
        auths = self.auths_by_connection(connection)
        return [key for auth in auths for key in self.by_auth(kind, str(auth))]

    def by_uid(self, kind: Kind, uid: str) -> Iterable[ObjectKey]:
        """Return the secret of a kind with that uid, if there is one."""
        return self.caches[kind].by_index(BY_UID, uid)

    def vault_of(self, kind: Kind, key: ObjectKey) -> ObjectKey | None:
        """Return the VaultConnection that a pass over a secret will wait for, as far as it is known."""
        secret = self.caches[kind].get(key)
        auth = None if secret is None else referred(secret, self.operator_namespace)
        record = None if auth is None else self.caches[Kind.VAULT_AUTH].get(auth)
        return None if record is None else referred(record, self.operator_namespace)

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
