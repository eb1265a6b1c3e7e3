"""Logging in: the credential, the method, and how often a refusal may be asked for again.

Invariant: a login that Vault refused is not repeated beyond the limits of `login_limits`, which count by
account and not by session; callers within them are told the same refusal without a request. One that came to
no judgement (`setbacks`) is repeated after seconds, and not once for each caller.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from vso.core.clock import Clock
from vso.core.errors import Reason, VsoError
from vso.core.sensitive import Sensitive
from vso.runtime.workqueue import Lane
from vso.vault.auth.exchange import exchange
from vso.vault.auth.given import GivenWay
from vso.vault.auth.refusal import LoginHeldBackError, LoginRefusedError
from vso.vault.auth.token import Token
from vso.vault.client import VaultClient
from vso.vault.config import LoginConfig
from vso.vault.keeping import NoShelf, Shelf
from vso.vault.login_limits import PER_SOURCE, SPACING, Account, Ledger
from vso.vault.observer import VaultObserver
from vso.vault.setbacks import Setback
from vso.vault.standing import Standing
from vso.vault.way import CredentialSource, Visit

_NOBODY = "nobody"
"""The audience of a token that is shown to nobody."""


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
    """Somebody else made it, or another process may have hung leases on it: it is never revoked."""
    keep_at: float = -math.inf
    """When the shelf is to be asked to keep it; infinite while it is kept."""
    look_at: float = math.inf
    """When its source is to be looked at again, which no renewal puts off."""

    @property
    def by_accessor(self) -> bool:
        """Whether only its accessor is at hand: it can be renewed, and not sent."""
        return not len(self.token.token)

    def usable(self, now: float) -> bool:
        """Tell whether the token may still be sent."""
        return now < self.expires_at and self.uses_left > 0

    def current(self, now: float) -> bool:
        """Tell whether neither a successor nor a look at its source is due."""
        return now < min(self.renew_at, self.look_at)

    def found_again(self, told: Held) -> None:
        """Its source holds the same token still: take what Vault has just told of it."""
        self.token = replace(told.token, ttl=max(self.token.ttl, told.token.ttl))
        self.provider_uid, self.obtained_at = told.provider_uid, told.obtained_at
        self.renew_at, self.look_at, self.expires_at = told.renew_at, told.look_at, told.expires_at
        self.uses_left = told.uses_left
        self.final = self.final or not told.token.renewable


@dataclass(frozen=True)
class LoginParts:
    """What every login of the process shares."""

    clock: Clock
    credentials: CredentialSource
    observer: VaultObserver
    ledger: Ledger
    noticed: Callable[[LoginConfig, Standing, Standing, float], None] = lambda *_: None
    """Hears that the logins of an identity have come to something else than before, and the seconds of its session."""
    held_back: Callable[[LoginConfig, float], None] = lambda *_: None
    """Hears that a login was not tried, and after how many seconds one may be."""
    shelf: Shelf = field(default_factory=NoShelf)
    """Where tokens that leases hang on are kept over a restart."""
    bereaved: Callable[[Collection[str]], None] = lambda _: None
    """Hears the leases of a token that Vault does not know any more, before its time."""


class Logins:
    """The logins of one session."""

    def __init__(
        self, login: LoginConfig, parts: LoginParts, salt: str, account: Account, kept: dict[str, Sensitive]
    ) -> None:
        self._login = login
        self._parts = parts
        # In [0, 1): sessions that began together do not all come back at once.
        self._spread = int(hashlib.sha256(salt.encode()).hexdigest()[:8], 16) / 2**32
        self._salt = salt
        self._account = account
        self._refusal = ""
        self._source = ""
        self._asked_at = -math.inf
        self._setback = Setback(parts.clock, lambda seconds: parts.held_back(login, seconds))
        self._kept = kept

    @property
    def failing(self) -> bool:
        """Whether the latest login has failed, and not for want of a Vault."""
        return bool(self._refusal) or self._setback.lasts

    @property
    def passing(self) -> bool:
        """Whether it has failed for what passes by itself."""
        return not self._refusal and self._setback.passes

    def check(self, lane: Lane) -> None:
        """Raise without a request where another try would be refused again, or is one too many."""
        self._setback.check()
        now = self._parts.clock.monotonic()
        if now - self._asked_at >= SPACING[lane]:
            return  # the credential is looked at again: the ServiceAccount may be another one by now
        if self._parts.ledger.exhausted(self._account, self._source):
            raise self._limited()
        if self._refusal:
            raise LoginHeldBackError(Reason.VAULT_LOGIN_REFUSED, self._refusal)

    async def whose(self) -> str:
        """Return the uid of the ServiceAccount that would log in now; empty where the credential is none's."""
        identity = self._login.way.speaks_for
        if identity is None:
            return ""
        # Good for nothing: only the uid in it is looked at.
        return (await self._parts.credentials.jwt(replace(identity, audiences=(_NOBODY,))))[1]

    async def fetch(self, client: VaultClient) -> Held:
        """Log in once."""
        client.check()  # before anybody is asked for a credential that nobody would take
        try:
            held = await self._log_in(client)
        except VsoError as error:
            self._setback.note(error)
            raise
        self._refusal = ""
        self._setback.over()
        self._parts.observer.login(self._login.name, ok=True)
        return held

    async def _log_in(self, client: VaultClient) -> Held:
        visit = Visit(client, self._login, self._parts.credentials, self._parts.clock, self._kept)
        way = self._login.way
        shown = await way.show(visit)
        # A changed VaultAuth has a try of its own, as a changed credential has.
        source = f"{shown.source} {self._salt}"
        async with self._parts.ledger.turn(self._account):
            if self._parts.ledger.exhausted(self._account, source):
                self._asked_at, self._source = self._parts.clock.monotonic(), source
                raise self._limited()
            started = self._parts.clock.monotonic()
            try:
                token = await (way.take(visit, shown) if isinstance(way, GivenWay) else exchange(visit, shown))
            except LoginRefusedError as error:
                self._refused_nowait(error.message, source)
                raise
            self._parts.ledger.accepted(self._account)
        return self._hold(token, shown.uid, started)

    def _refused_nowait(self, message: str, source: str) -> None:
        self._asked_at = self._parts.clock.monotonic()
        self._parts.ledger.refused(self._account, source)
        self._refusal, self._source = message, source
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
            shared=not self._login.way.OURS,
            look_at=started + self._login.way.LOOK_AGAIN,
        )

    def _limited(self) -> LoginHeldBackError:
        return LoginHeldBackError(
            Reason.VAULT_LOGIN_LIMITED,
            f"no further login is tried for now, after {PER_SOURCE} or more refusals within 15m: "
            f"{self._refusal or f'{self._login.way.who} was refused to others, or before an edit'}",
        )
