"""What a login presents: a fresh ServiceAccount token from the consumer's own namespace.

Invariant: a token is minted for each login and never kept.
"""

from __future__ import annotations

from vso.core.sensitive import Sensitive
from vso.kube.tokens import TokenMinter
from vso.vault.config import Identity


class ServiceAccountTokens:
    """TokenRequest as the credential source of Vault sessions."""

    def __init__(self, minter: TokenMinter) -> None:
        self._minter = minter

    async def jwt(self, identity: Identity) -> tuple[Sensitive, str]:
        """Return a token of the identity's ServiceAccount and that ServiceAccount's uid."""
        minted = await self._minter.mint(
            identity.namespace, identity.service_account, identity.audiences, identity.expiration_seconds
        )
        return minted.jwt, minted.uid
