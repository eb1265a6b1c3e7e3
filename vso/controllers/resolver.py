"""From a secret's `vaultAuthRef` to a live Vault session.

Invariant: a session is of the consumer's namespace and of the address that its path leads to; a client is made anew
whenever what it is made of has changed.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from vso.api.access import VaultConnection
from vso.controllers.cache import Caches
from vso.controllers.clients import ClientPool
from vso.controllers.paths import Path, Paths
from vso.controllers.trust import TrustStore
from vso.core.durations import parse_duration
from vso.core.errors import ConfigError, Reason, VsoError
from vso.core.keys import Kind, ObjectKey
from vso.vault.auth.certificate import CertificateWay
from vso.vault.client import VaultClient
from vso.vault.config import ConnectionConfig
from vso.vault.session import Session
from vso.vault.sessions import Sessions


class Resolver(Paths):
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
        super().__init__(caches, operator_namespace, allow_default_globals=allow_default_globals)
        self._trust = trust
        self._clients = clients
        self._sessions = sessions

    def forget(self, uid: str) -> None:
        """A VaultConnection or VaultAuth is gone: drop the sessions on it; their tokens are revoked at the end."""
        self._sessions.forget(uid)

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
        login = self.login(path.completed, consumer)
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
