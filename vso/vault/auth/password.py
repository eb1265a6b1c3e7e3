"""The methods userpass and ldap: a user name and a password.

Invariant: the user name is part of the path, the password of the body alone; one with a slash cannot leave
its place in the path, since paths are encoded by segment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vso.vault.auth.entries import entry
from vso.vault.way import Reads, Shown, Visit, Way


@dataclass(frozen=True)
class PasswordWay(Way):
    """A user of Vault's, or of a directory's."""

    username: str
    secret: str
    key: str

    RESERVED: ClassVar[frozenset[str]] = frozenset({"password"})

    @property
    def who(self) -> str:
        """The user."""
        return f"user {self.username!r}"

    @property
    def account(self) -> str:
        """The user, whose name Vault takes in small letters."""
        return self.username.lower()

    @property
    def path(self) -> str:
        """The user's own."""
        return f"login/{self.username}"

    @property
    def reads(self) -> Reads:
        """The Secret with the password."""
        return Reads((self.secret,))

    async def show(self, visit: Visit) -> Shown:
        """Read the password."""
        found = await visit.sources.secret(visit.config.consumer, self.secret)
        return Shown({"password": entry(found, self.key)}, source=f"{found.uid}@{found.version}", uid=found.uid)
