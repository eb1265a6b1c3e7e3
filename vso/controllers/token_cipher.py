"""Kept tokens under Vault's Transit: by the one VaultAuth of the operator's namespace that is labelled for it.

Invariant: the object is looked for anew with each request, so that what is wrong can be put right while
the operator runs; a ConfigError says what that is.
"""

from __future__ import annotations

from collections.abc import Callable

from vso.api.access import StorageEncryption, VaultAuth
from vso.controllers.cache import ObjectCache, Parsed
from vso.controllers.resolver import Resolver
from vso.core.errors import ConfigError, Reason
from vso.core.sensitive import Sensitive
from vso.vault import transit
from vso.vault.session import Session

LABEL = "cacheStorageEncryption"


class TransitCipher:
    """Encrypts and decrypts by Vault."""

    def __init__(self, auths: ObjectCache, resolver: Callable[[], Resolver], namespace: str) -> None:
        self._auths = auths
        self._parsed = Parsed(auths, VaultAuth)
        self._resolver = resolver
        self._namespace = namespace

    async def seal(self, plain: Sensitive) -> str:
        """Return the ciphertext of a token."""
        session, key = await self._way()
        return await transit.encrypt(session, key.mount, key.key_name, plain)

    async def open(self, sealed: str) -> Sensitive:
        """Return the token of a ciphertext."""
        session, key = await self._way()
        return await transit.decrypt(session, key.mount, key.key_name, sealed)

    async def _way(self) -> tuple[Session, StorageEncryption]:
        auth = self._chosen()
        named = f"{self._namespace}/{auth.metadata.name}"
        if auth.spec.storage_encryption is None:
            raise ConfigError(Reason.INVALID_SPEC, f"VaultAuth {named}: spec.storageEncryption is empty")
        resolver = self._resolver()
        session = await resolver.session(resolver.path(named, self._namespace), self._namespace)
        return session, auth.spec.storage_encryption

    def _chosen(self) -> VaultAuth:
        keys = [key for key in self._auths if key.namespace == self._namespace]
        found = [auth for auth in map(self._parsed.get, keys) if auth and auth.metadata.labels.get(LABEL) == "true"]
        if len(found) != 1:
            names = ", ".join(sorted(auth.metadata.name for auth in found)) or "none"
            raise ConfigError(
                Reason.REFERENCE_NOT_FOUND,
                f"one VaultAuth in namespace {self._namespace} must have the label {LABEL}=true; it has {names}",
            )
        return found[0]
