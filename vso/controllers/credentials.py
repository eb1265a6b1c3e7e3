"""What logins present: fresh ServiceAccount tokens, Secrets of the consumer's namespace, files of the operator.

Invariant: each is fetched for one login and never kept.
"""

from __future__ import annotations

from collections.abc import Mapping

from vso.controllers.materials import Materials
from vso.core.keys import ObjectKey
from vso.core.sensitive import Sensitive
from vso.kube.tokens import TokenMinter
from vso.vault.surroundings import NOTHING, Surroundings
from vso.vault.way import Identity, SecretData


class Credentials:
    """The credential source of Vault sessions."""

    def __init__(self, minter: TokenMinter, materials: Materials, surroundings: Surroundings = NOTHING) -> None:
        self._minter = minter
        self._materials = materials
        self.surroundings = surroundings

    async def jwt(self, identity: Identity) -> tuple[Sensitive, str]:
        """Return a token of the identity's ServiceAccount and that ServiceAccount's uid."""
        minted = await self._minter.mint(
            identity.namespace, identity.service_account, identity.audiences, identity.expiration_seconds
        )
        return minted.jwt, minted.uid

    async def secret(self, namespace: str, name: str) -> SecretData:
        """Return a Secret of the consumer's namespace."""
        return await self._materials.secret(ObjectKey(namespace, name))

    async def file(self, path: str, auth: str) -> Sensitive:
        """Return a file's content without the whitespace around it."""
        namespace = auth.partition("/")[0]
        return Sensitive(self._materials.file(path, "VaultAuth", namespace, "the file of its login").strip())

    async def annotations(self, namespace: str, service_account: str) -> Mapping[str, str]:
        """Return the annotations of a ServiceAccount of the consumer's namespace."""
        return await self._materials.annotations(ObjectKey(namespace, service_account))
