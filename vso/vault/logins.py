"""Logging in: the credential, the method, and how often a refusal may be asked for again.

Invariant: a login that Vault refused is not repeated beyond the limits of `login_limits`; callers
within them are told the same refusal without a request.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from vso.core.clock import Clock
from vso.core.errors import ConfigError, Reason, TerminalError
from vso.core.sensitive import Sensitive
from vso.runtime.workqueue import Lane
from vso.vault.auth import kubernetes
from vso.vault.auth.refusal import LoginRefusedError
from vso.vault.auth.token import Token
from vso.vault.client import VaultClient
from vso.vault.config import Identity, LoginConfig
from vso.vault.keeping import NoShelf, Shelf
from vso.vault.login_limits import PER_SOURCE, SPACING, Refusals
from vso.vault.observer import VaultObserver

_METHODS: Mapping[str, Callable[[VaultClient, LoginConfig, Sensitive], Awaitable[Token]]] = {
    "kubernetes": kubernetes.login,
}


class CredentialSource(Protocol):
    """Where the credential of a login comes from."""

    async def jwt(self, identity: Identity) -> tuple[Sensitive, str]:
        """Return a fresh token of the ServiceAccount and the ServiceAccount's uid."""
        ...


@dataclass(slots=True)
class Held:
    """A token in use; times are on clock.monotonic()."""

    token: Token
    provider_uid: str
    obtained_at: float
    renew_at: float
    expires_at: float
    uses_left: float
    users: int = 0
    retired: bool = False
    leases: int = 0
    """How many leases were issued under it and are still wanted: they end with it."""
    final: bool = False
    """Its end cannot be moved any more."""
    shared: bool = False
    """Another process may have hung leases on it that nobody here knows of: it is never revoked."""
    keep_at: float = -math.inf
    """When the shelf is to be asked to keep it; infinite while it is kept."""

    @property
    def by_accessor(self) -> bool:
        """Whether only its accessor is at hand: it can be renewed, and not sent."""
        return not len(self.token.token)

    def usable(self, now: float) -> bool:
        """Tell whether the token may still be sent."""
        return now < self.expires_at and self.uses_left > 0


@dataclass(frozen=True)
class LoginParts:
    """What every login of the process shares."""

    clock: Clock
    credentials: CredentialSource
    observer: VaultObserver
    noticed: Callable[[str], None] = lambda _: None
    """Hears the name of a VaultAuth whose tokens' cautions have changed."""
    shelf: Shelf = field(default_factory=NoShelf)
    """Where tokens that leases hang on are kept over a restart."""


class Logins:
    """The logins of one session."""

    def __init__(self, login: LoginConfig, parts: LoginParts, salt: str) -> None:
        self._login = login
        self._parts = parts
        # In [0, 1): sessions that began together do not all come back at once.
        self._spread = int(hashlib.sha256(salt.encode()).hexdigest()[:8], 16) / 2**32
        self._refusals = Refusals()
        self._refusal = ""
        self._source = ""
        self._asked_at = -math.inf

    def check(self, lane: Lane) -> None:
        """Raise without a request where another try would be refused again, or is one too many."""
        now = self._parts.clock.monotonic()
        if now - self._asked_at >= SPACING[lane]:
            return  # the credential is looked at again: the ServiceAccount may be another one by now
        if self._refusals.exhausted(now, self._source):
            raise self._limited()
        if self._refusal:
            raise LoginRefusedError(self._refusal)

    async def fetch(self, client: VaultClient) -> Held:
        """Log in once."""
        method = _METHODS.get(self._login.method)
        if method is None:
            raise TerminalError(Reason.NOT_IMPLEMENTED, f"the login method {self._login.method!r} is not acted on yet")
        client.check()  # before the API server is asked for a token that nobody would take
        jwt, uid = await self._parts.credentials.jwt(self._login.identity)
        if self._refusals.exhausted(self._parts.clock.monotonic(), uid):
            self._asked_at = self._parts.clock.monotonic()
            raise self._limited()
        started = self._parts.clock.monotonic()
        try:
            token = await method(client, self._login, jwt)
        except LoginRefusedError as error:
            self._refused_nowait(error.message, uid)
            raise
        self._refusals, self._refusal = Refusals(), ""
        self._parts.observer.login(self._login.name, ok=True)
        return self._hold(token, uid, started)

    def _refused_nowait(self, message: str, uid: str) -> None:
        self._asked_at = self._parts.clock.monotonic()
        self._refusals = self._refusals.refused(self._asked_at, uid)
        self._refusal, self._source = message, uid
        self._parts.observer.login(self._login.name, ok=False)

    def _hold(self, token: Token, uid: str, started: float) -> Held:
        """Return the token with its times, counted from before the login was sent."""
        return Held(
            token=token,
            provider_uid=uid,
            obtained_at=self._parts.clock.monotonic(),
            renew_at=started + token.ttl * (0.8 + 0.1 * self._spread),
            expires_at=started + token.ttl - min(5.0, token.ttl * 0.05),
            uses_left=token.num_uses or math.inf,
        )

    def _limited(self) -> ConfigError:
        return ConfigError(
            Reason.VAULT_LOGIN_LIMITED,
            f"no further login is tried for now, after {PER_SOURCE} or more refusals within 15m: {self._refusal}",
        )
