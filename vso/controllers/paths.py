"""From a secret's `vaultAuthRef` to its VaultAuth, VaultAuthGlobal and VaultConnection, and to how it logs in.

Invariant: pure: references are followed through the caches, and nothing is asked of a server; the ServiceAccount
always comes from the consumer's namespace, never from the VaultAuth's.
"""

from __future__ import annotations

from dataclasses import dataclass

from vso.api.access import VaultAuth, VaultAuthSpec, VaultConnection, VaultConnectionSpec
from vso.controllers.cache import Caches, Parsed, Reference, Terms
from vso.controllers.defaults import Completed, Defaults
from vso.controllers.ways import login_config
from vso.core.errors import ConfigError, Reason
from vso.core.keys import Kind, ObjectKey
from vso.decide.references import DEFAULT_NAME, allowed, connection_allowed, parse_ref, shared_login_allowed
from vso.vault.config import LoginConfig


@dataclass(frozen=True, slots=True)
class Path:
    """The objects between a secret and Vault."""

    completed: Completed
    connection: VaultConnection

    @property
    def auth(self) -> VaultAuth:
        """The VaultAuth, with the defaults of its VaultAuthGlobal."""
        return self.completed.auth

    @property
    def connection_name(self) -> str:
        """Return namespace/name of the VaultConnection."""
        return f"{self.connection.metadata.namespace}/{self.connection.metadata.name}"


class Paths:
    """Follows references."""

    def __init__(self, caches: Caches, operator_namespace: str, *, allow_default_globals: bool = True) -> None:
        self._caches = caches
        self._auths = Parsed(caches[Kind.VAULT_AUTH], VaultAuth)
        self._connections = Parsed(caches[Kind.VAULT_CONNECTION], VaultConnection)
        self._operator_namespace = operator_namespace
        self._defaults = Defaults(caches, operator_namespace, allow_default=allow_default_globals)

    def auth_key(self, reference: str | None, namespace: str) -> ObjectKey:
        """Return the VaultAuth that a secret in `namespace` refers to."""
        return parse_ref(reference, namespace, self._operator_namespace)

    def connection_key(self, auth: VaultAuth) -> ObjectKey:
        """Return the VaultConnection that a VaultAuth refers to."""
        own = ObjectKey(auth.metadata.namespace, auth.metadata.name)
        is_default = own == ObjectKey(self._operator_namespace, DEFAULT_NAME)
        reference = auth.spec.vault_connection_ref or (DEFAULT_NAME if is_default else None)
        return parse_ref(reference, own.namespace, self._operator_namespace)

    def path(self, reference: str | None, namespace: str) -> Path:
        """Return the objects that the reference leads to; ConfigError says where the way ends."""
        completed = self.lent(reference, namespace)
        return Path(completed, self.connection_of(completed.auth, namespace))

    def lent(self, reference: str | None, namespace: str) -> Completed:
        """Return the VaultAuth that the reference leads to, which admits the namespace, with its defaults."""
        key = self.auth_key(reference, namespace)
        return self.completed(self._auth(key, namespace), namespace)

    def completed(self, auth: VaultAuth, reader: str) -> Completed:
        """Return a VaultAuth with the defaults of its VaultAuthGlobal; what is amiss is read in namespace `reader`."""
        return self._defaults.completed(auth, reader)

    def connection_of(self, auth: VaultAuth, reader: str) -> VaultConnection:
        """Return the VaultConnection of a VaultAuth that is complete; what is amiss is read in namespace `reader`."""
        key, own = self.connection_key(auth), auth.metadata

        def refusal(terms: Terms | VaultConnectionSpec, namespace: str) -> ConfigError | None:
            return _connection_refusal(key, terms, namespace)

        connection = self._connections.told(key, refusal, own.namespace, reader)
        if connection is None:
            referrer, namespaces = f"VaultAuth {own.namespace}/{own.name}", frozenset({own.namespace, reader})
            reference = Reference(key, referrer, "vaultConnectionRef", namespaces)
            raise self._caches.missing(Kind.VAULT_CONNECTION, reference)
        if (refused := refusal(connection.spec, own.namespace)) is not None:
            raise refused
        return connection

    def login(self, completed: Completed, consumer: str) -> LoginConfig:
        """Return how a consumer's namespace logs in by a VaultAuth; ConfigError says what is missing or not allowed."""
        auth = completed.auth
        login = login_config(auth, consumer, completed.name)
        own = ObjectKey(auth.metadata.namespace, auth.metadata.name)
        if not login.way.personal and not shared_login_allowed(consumer, own, auth.spec.allowed_namespaces):
            raise _not_admitted(own, consumer)
        return login

    def _auth(self, key: ObjectKey, namespace: str) -> VaultAuth:
        def refusal(terms: Terms | VaultAuthSpec, consumer: str) -> ConfigError | None:
            admitted = allowed(consumer, key, terms.allowed_namespaces, self._operator_namespace)
            return None if admitted else _not_admitted(key, consumer)

        auth = self._auths.told(key, refusal, namespace, namespace)
        if auth is None:
            referrer = f"the object in namespace {namespace}"
            reference = Reference(key, referrer, "vaultAuthRef", frozenset({namespace}))
            raise self._caches.missing(Kind.VAULT_AUTH, reference)
        if (refused := refusal(auth.spec, namespace)) is not None:
            raise refused
        return auth


def _connection_refusal(key: ObjectKey, terms: Terms | VaultConnectionSpec, consumer: str) -> ConfigError | None:
    certified = bool(terms.client_cert_secret_ref or terms.client_cert_path)
    if connection_allowed(consumer, key, terms.allowed_namespaces, certified=certified):
        return None
    # Without a list that follows from the refusal; with one it would be news.
    shows = ", to which it would lend its client certificate" if terms.allowed_namespaces is None else ""
    told = f"VaultConnection {key} does not admit namespace {consumer}{shows}"
    return ConfigError(Reason.NAMESPACE_NOT_ALLOWED, told)


def _not_admitted(auth: ObjectKey, namespace: str) -> ConfigError:
    return ConfigError(Reason.NAMESPACE_NOT_ALLOWED, f"VaultAuth {auth} does not admit namespace {namespace}")
