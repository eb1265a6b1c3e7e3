"""Leases and tokens at a Vault of a few lines, without a server: what the lease machine plays against.

Invariant: what Vault does not know any more is gone for good, and when it ended is remembered.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from datetime import timedelta

from tests.fakes.clock import FakeClock
from vso.controllers.dynamic_status import Grant
from vso.core.errors import Reason, TransientError
from vso.core.numbers import JsonNumber
from vso.core.sensitive import Sensitive
from vso.vault.auth.token import Token
from vso.vault.client import VaultAnswer
from vso.vault.errors import InvalidTokenError
from vso.vault.leases import LeaseGoneError
from vso.vault.logins import Held


@dataclass(frozen=True)
class Terms:
    """What Vault's roles and the object say."""

    lease: int
    longest: float = math.inf
    renewable: bool = True
    token: int = 3600
    token_longest: float = math.inf
    token_renewable: bool = True
    percent: int = 67
    phase: float = 0.5
    overlap: int = 30


@dataclass
class Lent:
    """A lease as Vault keeps it; `dead` is when it was revoked, or its token."""

    token: str
    issued: float
    ends: float
    dead: float = math.inf


@dataclass
class Borne:
    """A token as Vault keeps it."""

    begun: float
    ends: float


def _away() -> TransientError:
    return TransientError(Reason.VAULT_UNAVAILABLE, "away")


class ModelVault:
    """Leases and tokens by the clock of the test; what it does not know any more is gone for good."""

    def __init__(self, clock: FakeClock, terms: Terms) -> None:
        self.clock, self.terms = clock, terms
        self.away = False
        self.renews_nothing = False
        """Renewals of leases and tokens fail, and nothing else does."""
        self.lent: dict[str, Lent] = {}
        self.ended: dict[str, float] = {}
        self.tokens: dict[str, Borne] = {}
        self._numbers = itertools.count(1)

    def dead_since(self, lease_id: str) -> float:
        """Return when the lease's credentials end or have ended, as things stand."""
        if lease_id in self.ended:
            return self.ended[lease_id]
        lease = self.lent[lease_id]
        return min(lease.ends, lease.dead, self.tokens[lease.token].ends)

    @property
    def live(self) -> set[str]:
        now, ends = self.clock.monotonic(), {name: self.dead_since(name) for name in self.lent}
        for name, end in ends.items():
            if now >= end:
                self.ended[name] = end
                del self.lent[name]
        return set(self.lent)

    def login(self) -> Held:
        self._answers()
        now, terms = self.clock.monotonic(), self.terms
        name, ttl = f"token-{next(self._numbers)}", float(min(terms.token, terms.token_longest))
        self.tokens[name] = Borne(now, now + ttl)
        token = Token(Sensitive.of(name), name, ttl, terms.token_renewable)
        return Held(token, "", now, now + ttl * 0.85, now + ttl - min(5.0, ttl * 0.05), math.inf)

    def issue(self, held: Held) -> Grant:
        self._answers()
        now, name = self.clock.monotonic(), f"lease-{next(self._numbers)}"
        life = min(self.terms.lease, self.terms.longest)
        self.lent[name] = Lent(held.token.accessor, now, now + life)
        return Grant(name, timedelta(seconds=int(life)), self.terms.renewable, "r", None)

    def renew(self, lease_id: str, increment: timedelta) -> timedelta:
        self._answers()
        if self.renews_nothing:
            raise _away()
        lease, now = self._find(lease_id), self.clock.monotonic()
        lease.ends = min(now + increment.total_seconds(), lease.issued + self.terms.longest)
        return timedelta(seconds=int(lease.ends - now))

    def lookup(self, lease_id: str) -> None:
        self._answers()
        self._find(lease_id)

    def revoke(self, lease_id: str) -> None:
        self._answers()
        self.take_back(lease_id)

    def take_back(self, lease_id: str) -> None:
        if lease_id in self.live:
            self.lent[lease_id].dead = self.clock.monotonic()

    def end_token(self, name: str) -> None:
        borne = self.tokens[name]
        borne.ends = min(borne.ends, self.clock.monotonic())

    def knows(self, held: Held) -> bool:
        return self.clock.monotonic() < self.tokens[held.token.accessor].ends

    async def renew_self(self, held: Held) -> VaultAnswer:
        self._answers()
        if self.renews_nothing:
            raise _away()
        if not self.knows(held):
            raise InvalidTokenError
        borne, now = self.tokens[held.token.accessor], self.clock.monotonic()
        borne.ends = min(now + self.terms.token, borne.begun + self.terms.token_longest)
        left = JsonNumber(str(int(borne.ends - now)))
        return VaultAnswer(200, {"auth": {"client_token": held.token.accessor, "lease_duration": left}})

    def _answers(self) -> None:
        if self.away:
            raise _away()

    def _find(self, lease_id: str) -> Lent:
        if lease_id not in self.live:
            raise LeaseGoneError
        return self.lent[lease_id]
