"""The methods kubernetes and jwt: a ServiceAccount's token, or a JWT from elsewhere, for a Vault token.

Invariant: a ServiceAccount's token is minted for each login and never kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vso.vault.auth.entries import entry
from vso.vault.way import Identity, Reads, Shown, Visit, Way

JWT_KEY = "jwt"


@dataclass(frozen=True)
class KubernetesWay(Way):
    """A ServiceAccount's token, which Vault shows to the API server."""

    role: str
    identity: Identity

    RESERVED: ClassVar[frozenset[str]] = frozenset({"role", "jwt"})

    @property
    def who(self) -> str:
        """The role."""
        return f"role {self.role!r}"

    @property
    def speaks_for(self) -> Identity | None:
        """The ServiceAccount."""
        return self.identity

    async def show(self, visit: Visit) -> Shown:
        """Mint a token."""
        jwt, uid = await visit.sources.jwt(self.identity)
        return Shown({"role": self.role, "jwt": jwt}, source=uid, uid=uid)

    def pointed_at(self, message: str) -> str:
        """Return what Vault's text points at."""
        identity, lower = self.identity, message.lower()
        if "invalid role name" in lower:
            return f"there is no role {self.role!r}"
        if "audience" in lower:
            asked = ", ".join(identity.audiences) or "the API server's default"
            return f"role {self.role!r} does not accept the audience ({asked})"
        if "service account name not authorized" in lower:
            return f"role {self.role!r} is not bound to ServiceAccount {identity.service_account}"
        if "namespace not authorized" in lower:
            return f"role {self.role!r} is not bound to namespace {identity.namespace}"
        return message or (
            f"permission denied, with role {self.role!r} and ServiceAccount {identity.namespace}/"
            f"{identity.service_account}; either nothing is mounted there, or the API server does not "
            "confirm the ServiceAccount's token to Vault"
        )


@dataclass(frozen=True)
class JwtWay(Way):
    """A JWT whose signature Vault verifies by itself: a ServiceAccount's token, or one in a Secret."""

    role: str
    identity: Identity | None = None
    secret: str = ""

    RESERVED: ClassVar[frozenset[str]] = frozenset({"role", "jwt"})

    @property
    def who(self) -> str:
        """The role."""
        return f"role {self.role!r}"

    @property
    def speaks_for(self) -> Identity | None:
        """The ServiceAccount, unless a Secret has the JWT."""
        return self.identity

    @property
    def reads(self) -> Reads:
        """The Secret, unless a ServiceAccount's token is shown."""
        return Reads((self.secret,)) if self.identity is None else Reads()

    async def show(self, visit: Visit) -> Shown:
        """Mint a token, or read the one that is kept."""
        if self.identity is not None:
            jwt, uid = await visit.sources.jwt(self.identity)
            return Shown({"role": self.role, "jwt": jwt}, source=uid, uid=uid)
        found = await visit.sources.secret(visit.config.consumer, self.secret)
        jwt = entry(found, JWT_KEY)
        return Shown({"role": self.role, "jwt": jwt}, source=f"{found.uid}@{found.version}", uid=found.uid)

    def pointed_at(self, message: str) -> str:
        """Return what Vault's text points at."""
        lower = message.lower()
        if "could not be found" in lower and "role" in lower:
            return f"there is no role {self.role!r}"
        if "audience" in lower or "aud" in lower.split():
            asked = ", ".join(self.identity.audiences) if self.identity is not None else ""
            return f"role {self.role!r} does not accept the audience ({asked or 'of the JWT'}): {message}"
        return super().pointed_at(message)
