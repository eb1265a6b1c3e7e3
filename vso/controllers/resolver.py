"""From a secret's `vaultAuthRef` to a live Vault session, along the references.

Invariant: references are followed through the watch caches and cost no request; the ServiceAccount
always comes from the consumer's namespace, never from the VaultAuth's.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace

from vso.api.access import VaultAuth, VaultAuthSpec, VaultConnection, VaultConnectionSpec
from vso.controllers.cache import Caches, Parsed, Reference, Terms
from vso.controllers.clients import ClientPool
from vso.controllers.defaults import Completed, Defaults
from vso.controllers.trust import TrustStore
from vso.controllers.ways import login_config
from vso.core.durations import parse_duration
from vso.core.errors import ConfigError, Reason, VsoError
from vso.core.keys import Kind, ObjectKey
from vso.decide.references import allowed, connection_allowed, parse_ref, shared_login_allowed
from vso.vault.auth.certificate import CertificateWay
from vso.vault.client import VaultClient
from vso.vault.config import ConnectionConfig
from vso.vault.session import Session
from vso.vault.sessions import Sessions

DEFAULT_NAME = "default"


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


class Resolver:
    """Follows references and opens sessions."""

    def __init__(
        self,
        caches: Caches,
        trust: TrustStore,
        clients: ClientPool,
        sessions: Sessions,
        operator_namespace: str,
        *,
        allow_default_globals: bool = True,
    ) -> None:
        self._caches = caches
        self._auths = Parsed(caches[Kind.VAULT_AUTH], VaultAuth)
        self._connections = Parsed(caches[Kind.VAULT_CONNECTION], VaultConnection)
        self._trust = trust
        self._clients = clients
        self._sessions = sessions
        self._operator_namespace = operator_namespace
        self._defaults = Defaults(caches, operator_namespace, allow_default=allow_default_globals)

    def forget(self, uid: str) -> None:
        """A VaultConnection or VaultAuth is gone: drop the sessions on it; their tokens are revoked at the end."""
        self._sessions.forget(uid)

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
        key = self.auth_key(reference, namespace)
        completed = self.completed(self._auth(key, namespace), namespace)
        return Path(completed, self.connection_of(completed.auth, namespace))

    def completed(self, auth: VaultAuth, reader: str) -> Completed:
        """Return a VaultAuth with the defaults of its VaultAuthGlobal; what is amiss is read in namespace `reader`."""
        return self._defaults.completed(auth, reader)

    def connection_of(self, auth: VaultAuth, reader: str) -> VaultConnection:
        """Return the VaultConnection of a VaultAuth that is complete; what is amiss is read in namespace `reader`."""
        key, own = self.connection_key(auth), auth.metadata

        def refusal(terms: Terms | VaultConnectionSpec) -> ConfigError | None:
            return _connection_refusal(key, terms, own.namespace)

        connection = self._connections.told(key, refusal)
        if connection is None:
            referrer, namespaces = f"VaultAuth {own.namespace}/{own.name}", frozenset({own.namespace, reader})
            reference = Reference(key, referrer, "vaultConnectionRef", namespaces)
            raise self._caches.missing(Kind.VAULT_CONNECTION, reference)
        if (refused := refusal(connection.spec)) is not None:
            raise refused
        return connection

    async def client(self, connection: VaultConnection, *, renew: bool = False) -> VaultClient:
        """Return the client of a connection; `renew` reads its TLS material again."""
        try:
            tls = await self._trust.tls(connection, renew=renew)
            return self._clients.client(replace(connection_config(connection), tls=tls))
        except ConfigError as error:
            meta = connection.metadata
            named = _named(Kind.VAULT_CONNECTION, ObjectKey(meta.namespace, meta.name), error)
        raise named

    async def session(self, path: Path, consumer: str) -> Session:
        """Return the session of a consumer's namespace on that path; no request is made yet."""
        login = login_config(path.auth, consumer, path.completed.name)
        own = ObjectKey(path.auth.metadata.namespace, path.auth.metadata.name)
        if not login.way.personal and not shared_login_allowed(consumer, own, path.auth.spec.allowed_namespaces):
            raise _not_admitted(own, consumer)
        if isinstance(login.way, CertificateWay) and login.way.secret:
            client = await self._client_showing(path.connection, ObjectKey(consumer, login.way.secret))
        else:
            client = await self.client(path.connection)
        return self._sessions.session(client, login)

    async def renew_shown(self, connection: VaultConnection) -> None:
        """Read the consumers' certificates again that are shown on a connection: polls go on for long without a pass.

        Those that nobody shows any more are let go of. What is wrong with one is told by the pass of who uses it;
        until then the one of before is shown.
        """
        uid = connection.metadata.uid
        for secret in self._clients.drop_idle(uid, self._sessions.go_over):
            self._trust.forget(ObjectKey.of(secret))
        async with asyncio.TaskGroup() as tasks:
            for secret in sorted(self._clients.variants(uid)):
                tasks.create_task(self._renew_one(connection, ObjectKey.of(secret)))

    async def _renew_one(self, connection: VaultConnection, secret: ObjectKey) -> None:
        with contextlib.suppress(VsoError):
            await self._client_showing(connection, secret, renew=True)

    async def _client_showing(
        self, connection: VaultConnection, secret: ObjectKey, *, renew: bool = False
    ) -> VaultClient:
        """Return the client of a connection that shows a consumer's certificate; `renew` reads that again."""
        certificate, key = await self._trust.certificate(secret, renew=renew)
        tls = (await self.client(connection)).config.tls  # of the client beside which this one is made
        config = replace(connection_config(connection), tls=tls)
        return self._clients.showing(config.showing(str(secret), certificate, key))

    def _auth(self, key: ObjectKey, namespace: str) -> VaultAuth:
        def refusal(terms: Terms | VaultAuthSpec) -> ConfigError | None:
            admitted = allowed(namespace, key, terms.allowed_namespaces, self._operator_namespace)
            return None if admitted else _not_admitted(key, namespace)

        auth = self._auths.told(key, refusal)
        if auth is None:
            referrer = f"the object in namespace {namespace}"
            reference = Reference(key, referrer, "vaultAuthRef", frozenset({namespace}))
            raise self._caches.missing(Kind.VAULT_AUTH, reference)
        if (refused := refusal(auth.spec)) is not None:
            raise refused
        return auth


def _connection_refusal(key: ObjectKey, terms: Terms | VaultConnectionSpec, consumer: str) -> ConfigError | None:
    certified = bool(terms.client_cert_secret_ref or terms.client_cert_path)
    if connection_allowed(consumer, key, terms.allowed_namespaces, certified=certified):
        return None
    shows = ", to which it would lend its client certificate" if certified else ""
    told = f"VaultConnection {key} does not admit namespace {consumer}{shows}"
    return ConfigError(Reason.NAMESPACE_NOT_ALLOWED, told)


def _not_admitted(auth: ObjectKey, namespace: str) -> ConfigError:
    return ConfigError(Reason.NAMESPACE_NOT_ALLOWED, f"VaultAuth {auth} does not admit namespace {namespace}")


def _named(kind: Kind, key: ObjectKey, error: ConfigError) -> ConfigError:
    """Say whose fault it is: the field that the error names is not one of the object that refers to this one."""
    return ConfigError(error.reason, f"{kind} {key}: {error.message}")


def connection_config(connection: VaultConnection) -> ConnectionConfig:
    """Return the connection's settings, without its TLS material."""
    meta, spec = connection.metadata, connection.spec
    rate = spec.rate_limit
    try:
        timeout = parse_duration(spec.timeout).total_seconds() if spec.timeout else 60.0
    except ValueError as error:
        raise ConfigError(Reason.INVALID_SPEC, f"spec.timeout: {error}") from None
    return ConnectionConfig(
        name=f"{meta.namespace}/{meta.name}",
        uid=meta.uid,
        generation=meta.generation,
        address=spec.address,
        namespace=spec.namespace,
        headers=tuple(sorted(spec.headers.items())),
        timeout=timeout,
        max_concurrency=spec.max_concurrency,
        rate_limit=None if rate is None else (float(rate.requests_per_second), int(rate.burst)),
    )
