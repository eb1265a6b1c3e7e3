"""The method token: a token that somebody else has made.

Invariant: it is never revoked here; its source is looked at again every few minutes, when Vault does not
know it any more, and before it ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from vso.core.errors import ConfigError, VsoError
from vso.core.sensitive import Sensitive
from vso.runtime.workqueue import Lane
from vso.vault.auth.entries import token_entry, token_text
from vso.vault.auth.refusal import LoginRefusedError
from vso.vault.auth.token import Token, token_from, token_looked_up
from vso.vault.client import VaultAnswer, VaultRequest
from vso.vault.errors import InvalidTokenError, PermissionDeniedError
from vso.vault.way import Reads, Shown, Visit, Way

_FIELD = "token"


@dataclass(frozen=True)
class GivenWay(Way):
    """A Secret or file with a token."""

    secret: str = ""
    key: str = "token"
    file: str = ""
    renew: bool = True

    OURS: ClassVar[bool] = False
    LOOK_AGAIN: ClassVar[float] = 300.0

    @property
    def who(self) -> str:
        """The token."""
        return "the token"

    @property
    def personal(self) -> bool:
        """A file is the operator's."""
        return not self.file

    @property
    def reads(self) -> Reads:
        """The Secret, unless a file has the token."""
        return Reads((self.secret,)) if not self.file else Reads()

    async def show(self, visit: Visit) -> Shown:
        """Read the token."""
        if self.file:
            where = f"VaultAuth {visit.config.name}: the file of its login"
            content = token_text(await visit.sources.file(self.file, visit.config.name), where)
            return Shown({_FIELD: content}, source=content.digest(self.file.encode()))
        found = await visit.sources.secret(visit.config.consumer, self.secret)
        return Shown({_FIELD: token_entry(found, self.key)}, source=f"{found.uid}@{found.version}", uid=found.uid)

    async def take(self, visit: Visit, shown: Shown) -> Token:
        """Ask Vault what the token is good for, and prolong it where that is wanted and can be."""
        shown_token = shown.body[_FIELD]
        token = shown_token if isinstance(shown_token, Sensitive) else Sensitive.of(shown_token)
        try:
            looked_up = await _ask(visit, token, "GET", "auth/token/lookup-self")
        except InvalidTokenError:
            raise LoginRefusedError(f"Vault knows the token of VaultAuth {visit.config.name} no more") from None
        except PermissionDeniedError:
            return Token(token)  # its policies do not let it look at itself: used as it is, until it is refused
        found = token_looked_up(looked_up.body, token)
        if not self.renew:
            return replace(found, renewable=False)  # nor for the sake of the leases that hang on it
        return await self._prolonged(visit, found) if found.renewable else found

    @staticmethod
    async def _prolonged(visit: Visit, token: Token) -> Token:
        try:
            renewed = await _ask(visit, token.token, "PUT", "auth/token/renew-self")
        except (ConfigError, InvalidTokenError):
            return token  # not allowed to, or at its end: it is good for what it is good for
        except VsoError:
            return token
        return token_from(renewed.body, "auth/token/renew-self")


async def _ask(visit: Visit, token: Sensitive, method: str, path: str) -> VaultAnswer:
    request = VaultRequest(method, path, token=token, namespace=visit.config.namespace, lane=Lane.URGENT)
    return await visit.client.send(request)
