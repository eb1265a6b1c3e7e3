"""The tokens that leases hang on, kept alive until the last of their leases is replaced.

Vault drops a lease with the token that it was issued under. Invariant: such a token is renewed by
renew-self as long as that moves its end, even after newer logins; once a renewal is cut short, its
end is told as final, so that the leases can be replaced before it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from vso.core.clock import Clock
from vso.core.errors import ConfigError, TransientError
from vso.vault.auth.token import token_from
from vso.vault.client import VaultAnswer
from vso.vault.errors import InvalidTokenError
from vso.vault.logins import Held

_TRUNCATED = 0.9
"""Share of a token's life: a renewal that grants less cannot move its end much further."""
_RENEW_AFTER = 2 / 3


@dataclass(frozen=True, slots=True)
class Parent:
    """How long the token of a lease lives."""

    ends: datetime
    """Wall time; `datetime.max` for a token without an end."""
    final: bool
    """No renewal moves the end any more."""
    due: datetime | None
    """When the token is to be renewed; None when it never is."""


class Parents:
    """Which lease hangs on which token of a session."""

    def __init__(self, clock: Clock, renew_self: Callable[[Held], Awaitable[VaultAnswer]]) -> None:
        self._clock = clock
        self._renew_self = renew_self
        self._tokens: dict[str, Held] = {}
        self._renewing: dict[int, asyncio.Lock] = {}

    def hang(self, lease_id: str, held: Held) -> None:
        """The lease was issued under the token."""
        if lease_id in self._tokens:
            return
        held.leases += 1
        held.final = held.final or not held.token.renewable
        self._tokens[lease_id] = held
        # A login anew may wait for four fifths of the life; with leases there must be room for a second try.
        held.renew_at = min(held.renew_at, held.obtained_at + (held.expires_at - held.obtained_at) * _RENEW_AFTER)

    def let_go(self, lease_id: str) -> Held | None:
        """Forget the lease; return the token if nothing hangs on it any more."""
        held = self._tokens.pop(lease_id, None)
        if held is None:
            return None
        held.leases -= 1
        return None if held.leases else held

    async def keep(self, lease_id: str) -> Parent | None:
        """Renew the lease's token if that is due; None when the token is not in our hands, or not any more."""
        held = self._tokens.get(lease_id)
        if held is None:
            return None
        await self.renew(held)
        if not held.usable(self._clock.monotonic()):
            self.let_go(lease_id)
            return None
        return self._parent(held)

    async def renew(self, held: Held) -> None:
        """Move the token's end if that is due and can be; a failure is tried again while life remains."""
        if not self._due(held):
            return
        lock = self._renewing.setdefault(id(held), asyncio.Lock())
        try:
            async with lock:
                if self._due(held):  # somebody else may have done it meanwhile
                    await self._renew(held)
        finally:
            if not lock.locked():
                self._renewing.pop(id(held), None)

    def _due(self, held: Held) -> bool:
        now = self._clock.monotonic()
        return not held.final and now >= held.renew_at and held.usable(now)

    async def _renew(self, held: Held) -> None:
        started = self._clock.monotonic()
        try:
            answer = await self._renew_self(held)
            ttl = token_from(answer.body, "auth/token/renew-self").ttl
        except InvalidTokenError:
            held.expires_at = -math.inf
            return
        except (TransientError, ConfigError):
            held.renew_at = started + max(1.0, (held.expires_at - started) / 4)
            return
        held.expires_at = started + ttl - min(5.0, ttl * 0.05)
        held.final = ttl < held.token.ttl * _TRUNCATED
        # What cannot be prolonged is to be succeeded: the next request logs in anew.
        held.renew_at = started if held.final else started + ttl * _RENEW_AFTER

    def _parent(self, held: Held) -> Parent:
        due = None if held.final or math.isinf(held.renew_at) else self._wall(held.renew_at)
        return Parent(self._wall(held.expires_at), held.final, due)

    def _wall(self, monotonic: float) -> datetime:
        now = self._clock.now()
        if math.isinf(monotonic):
            return datetime.max.replace(tzinfo=now.tzinfo)
        return now + timedelta(seconds=monotonic - self._clock.monotonic())
