"""The tokens that leases hang on, kept alive until the last of their leases is replaced.

Vault drops a lease with the token that it was issued under. Invariant: such a token is renewed as
long as that moves its end, even after newer logins; once a renewal is cut short, its end is told as
final, so that the leases can be replaced before it; and once it has ended, that is told of each of its
leases until the lease is let go, and unasked where it was before its time. One that can be renewed is
put on the shelf with its first lease, and one that an earlier process has put there is taken for a
parent only after a renewal that went well: nothing else tells when it ends.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from vso.core.clock import Clock
from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.core.sensitive import Sensitive
from vso.vault.auth.token import Token, token_from
from vso.vault.client import VaultAnswer
from vso.vault.errors import InvalidTokenError
from vso.vault.keeping import KeptToken, NoShelf, Shelf, client_id
from vso.vault.logins import Held

_TRUNCATED = 0.9
"""Share of a token's life: a renewal that grants less cannot move its end much further."""
_RENEW_AFTER = 2 / 3
_KEEP_AGAIN = 60.0
"""Seconds until a token is put on the shelf again that could not be, or not whole."""
_FOR_GOOD = ("client identity during renewal not matching", "policies have changed, not renewing")
"""What login methods say of a token that they never renew any more: the client certificate is of another
authority now, or a login would get other policies."""
_LONGEST = 768 * 3600.0
"""Seconds for which the end of a token is remembered at most: Vault's own limit for a token's life."""
_REFUSED_FOR = 900.0
"""Seconds for which a token is left on the shelf that no policy lets us renew."""


@dataclass(frozen=True, slots=True)
class Parent:
    """How long the token of a lease lives."""

    ends: datetime
    """Wall time; `datetime.max` for a token without an end."""
    final: bool
    """No renewal moves the end any more."""
    due: datetime | None
    """When the token is to be renewed; None when it never is."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """A token that is no more."""

    at: datetime
    until: float
    """When no status can tell of it any more that it lives."""


@dataclass(slots=True)
class _Turns:
    """Those who take turns at a token."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted: int = 0
    """How many hold the lock or wait for it."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where a session's tokens are kept over a restart, and under which name of the session."""

    shelf: Shelf
    session: str
    whose: Callable[[], Awaitable[str]] | None = None
    """Tells the uid of the ServiceAccount that would log in now, empty where none does."""


class Parents:
    """Which lease hangs on which token of a session."""

    def __init__(
        self,
        clock: Clock,
        renew: Callable[[Held], Awaitable[VaultAnswer]],
        keeping: Keeping | None = None,
        bereaved: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._ask_renewal = renew
        self._keeping = keeping or Keeping(NoShelf(), "")
        self._bereaved = bereaved
        self._tokens: dict[str, Held] = {}
        self._named: dict[str, Held] = {}
        """Those that leases hang on, and those taken from the shelf, by what a status calls them."""
        self._over: dict[str, _Ended] = {}
        """Leases, and tokens by what a status calls them, that have ended; the oldest first."""
        self._refused: dict[str, float] = {}
        self._turns: dict[object, _Turns] = {}

    def hang(self, lease_id: str, held: Held) -> None:
        """The lease was issued under the token."""
        if lease_id in self._tokens:
            return
        held.leases += 1
        held.final = held.final or not held.token.renewable
        self._tokens[lease_id] = held
        if held.token.accessor:
            self._named[client_id(held.token.accessor)] = held
            self._over.pop(client_id(held.token.accessor), None)
        _leave_room(held)

    @property
    def hold_any(self) -> bool:
        """Whether a token is kept here, for leases or from the shelf."""
        return bool(self._tokens or self._named)

    def known(self, fetched: Held, latest: Held | None) -> Held:
        """Return the token, or what is held of the very same already: its leases and its place on the shelf are one."""
        accessor = fetched.token.accessor
        held = self._named.get(client_id(accessor), latest)
        if held is None or not accessor or held.token.accessor != accessor:
            return fetched
        if not held.by_accessor and held.token.token != fetched.token.token:
            return fetched
        held.found_again(fetched)
        if held.leases:
            _leave_room(held)
        return held

    def let_go(self, lease_id: str) -> Held | None:
        """Forget the lease; return the token if nothing hangs on it any more."""
        self._over.pop(lease_id, None)
        held = self._tokens.pop(lease_id, None)
        if held is None:
            return None
        held.leases -= 1
        return None if held.leases else held

    async def forget(self, held: Held) -> None:
        """Nothing hangs on the token any more: it need not be kept."""
        name = client_id(held.token.accessor)
        async with self._alone(id(held)):
            if held.leases or not name:
                return
            ended = not held.usable(self._clock.monotonic())
            if ended or not held.shared:
                self._named.pop(name, None)
            held.keep_at = -math.inf
            await self._keeping.shelf.drop(name, ended=ended)

    def held(self, lease_id: str) -> Held | None:
        """Return the token that the lease hangs on, if it is in our hands."""
        return self._tokens.get(lease_id)

    def died(self, held: Held) -> None:
        """Vault does not know the token any more, and drops its leases with it: tell those who hold them."""
        if held.expires_at == -math.inf:
            return
        held.expires_at = -math.inf
        if names := [name for name, other in self._tokens.items() if other is held]:
            self._bereaved(names)

    def share(self) -> None:
        """Another process may have used these tokens, and renewed them: Vault is to say how long they live."""
        now = self._clock.monotonic()
        for held in self._named.values():
            held.shared, held.keep_at = True, -math.inf
            if not held.final:
                held.renew_at, held.expires_at = now, max(held.expires_at, now + held.token.ttl)

    async def keep(self, lease_id: str, known_as: str = "") -> Parent | None:
        """Renew the lease's token if that is due; None when nobody here knows the token.

        One that this process does not know is looked for on the shelf, by what the status calls it.
        """
        held = self._tokens.get(lease_id)
        if held is None and lease_id not in self._over and known_as not in self._over:
            held = await self._found(lease_id, known_as)
        if held is not None:
            await self.renew(held)
            if not held.usable(self._clock.monotonic()):
                await self._ended(lease_id)
                held = None
        if held is None:
            ended = self._over.get(lease_id) or self._over.get(known_as)
            return Parent(ended.at, final=True, due=None) if ended else None
        await self._put(held)
        return self._parent(held)

    async def renew(self, held: Held) -> None:
        """Move the token's end if that is due and can be; a failure is tried again while life remains."""
        if self._due(held):
            async with self._alone(id(held)):
                if self._due(held):  # somebody else may have done it meanwhile
                    await self._renew(held)

    # The shelf.

    async def _put(self, held: Held) -> None:
        """Have the token kept, once; a try that failed is made again after a while."""
        if self._clock.monotonic() < held.keep_at or not _worth_keeping(held):
            return
        # Before it is alone: the token itself may be one of those that have ended when its turn comes.
        for lease_id in [name for name, other in self._tokens.items() if not other.usable(self._clock.monotonic())]:
            await self._ended(lease_id)  # of objects that are gone: nobody asks for them any more
        async with self._alone(id(held)):
            if self._clock.monotonic() < held.keep_at or not held.usable(self._clock.monotonic()):
                return
            token = None if held.by_accessor else held.token.token
            kept = KeptToken(
                self._keeping.session, held.provider_uid, held.token.ttl, accessor=held.token.accessor, token=token
            )
            done = await self._keeping.shelf.put(kept)
            held.keep_at = math.inf if done else self._clock.monotonic() + _KEEP_AGAIN

    async def _ended(self, lease_id: str) -> None:
        held = self._tokens.get(lease_id)
        orphaned = self.let_go(lease_id)
        if held is not None and self._clock.monotonic() >= held.expires_at:
            self._note_end(held.token.ttl, lease_id, client_id(held.token.accessor))
        if orphaned is not None:
            await self.forget(orphaned)

    def _note_end(self, ttl: float, *names: str) -> None:
        now = self._clock.monotonic()
        while self._over and next(iter(self._over.values())).until <= now:
            del self._over[next(iter(self._over))]
        ended = _Ended(self._clock.now(), now + min(ttl, _LONGEST))
        self._over.update((name, ended) for name in names if name and name not in self._over)

    async def _found(self, lease_id: str, known_as: str) -> Held | None:
        if not known_as:
            return None
        async with self._alone(known_as):
            held = self._named.get(known_as)
            if held is None or not held.usable(self._clock.monotonic()):
                held = await self._restored(known_as)
            if held is not None:
                self.hang(lease_id, held)
        return held

    async def _restored(self, name: str) -> Held | None:
        """Take a token from the shelf; Vault itself says whether it lives and for how long."""
        now = self._clock.monotonic()
        if now < self._refused.get(name, -math.inf):
            return None
        kept = await self._keeping.shelf.find(name, self._keeping.session)
        if kept is None:
            return None
        token = Token(kept.token or Sensitive(b""), kept.accessor, kept.ttl, renewable=True)
        held = Held(token, kept.provider_uid, now, now, now + kept.ttl, math.inf, shared=True)
        try:
            await self._check_identity(kept)
            told = await self._granted(held)
        except InvalidTokenError:
            self._note_end(kept.ttl, name)
            await self._keeping.shelf.drop(name, ended=True)
            return None
        except VsoError as error:
            if isinstance(error, ConfigError):
                self._refused[name] = now + _REFUSED_FOR
            self._keeping.shelf.not_restored(self._keeping.session, error)
            return None
        held.token = replace(token, policies=told.policies, type=told.type)
        return held

    async def _check_identity(self, kept: KeptToken) -> None:
        """Refuse the token of a ServiceAccount whose name another one has now: it is not that one's to use."""
        now = "" if self._keeping.whose is None else await self._keeping.whose()
        if now and kept.provider_uid and now != kept.provider_uid:
            await self._keeping.shelf.drop(kept.id, ended=True)
            raise ConfigError(Reason.SERVICE_ACCOUNT_NOT_FOUND, "the ServiceAccount that it is of was made anew")

    @asynccontextmanager
    async def _alone(self, about: object) -> AsyncIterator[None]:
        turns = self._turns.setdefault(about, _Turns())
        turns.wanted += 1
        try:
            async with turns.lock:
                yield
        finally:
            turns.wanted -= 1
            if not turns.wanted:  # a lock looks free while the next of those who wait is only waking up
                del self._turns[about]

    def _due(self, held: Held) -> bool:
        now = self._clock.monotonic()
        return not held.final and now >= held.renew_at and held.usable(now)

    async def _renew(self, held: Held) -> None:
        started = self._clock.monotonic()
        try:
            await self._granted(held)
        except InvalidTokenError:
            self.died(held)
        except (TransientError, ConfigError) as error:
            held.final = any(text in error.message for text in _FOR_GOOD)
            wait = max(1.0, (held.expires_at - started) / 4)
            held.renew_at = started if held.final else started + wait  # the next request logs in anew

    async def _granted(self, held: Held) -> Token:
        """Renew the token, and take what Vault grants; return what it says of it."""
        started = self._clock.monotonic()
        answer = await self._ask_renewal(held)
        told = token_from(answer.body, "the renewal of a token", nameless=held.by_accessor)
        ttl = told.ttl
        held.expires_at = started + ttl - min(5.0, ttl * 0.05)
        held.final = ttl < held.token.ttl * _TRUNCATED
        # What cannot be prolonged is to be succeeded: the next request logs in anew.
        held.renew_at = started if held.final else started + ttl * _RENEW_AFTER
        return told

    def _parent(self, held: Held) -> Parent:
        due = None if held.final or math.isinf(held.renew_at) else self._wall(held.renew_at)
        return Parent(self._wall(held.expires_at), held.final, due)

    def _wall(self, monotonic: float) -> datetime:
        now = self._clock.now()
        if math.isinf(monotonic):
            return datetime.max.replace(tzinfo=now.tzinfo)
        return now + timedelta(seconds=monotonic - self._clock.monotonic())


def _leave_room(held: Held) -> None:
    """A login anew may wait for four fifths of the life; with leases there must be room for a second try."""
    held.renew_at = min(held.renew_at, held.obtained_at + (held.expires_at - held.obtained_at) * _RENEW_AFTER)


def _worth_keeping(held: Held) -> bool:
    """Tell whether a later process could keep it alive: renewed, and not used up by somebody who cannot count."""
    lasts = held.shared or not held.final  # what is on the shelf stays there to its end
    return bool(held.token.accessor) and held.token.renewable and not held.token.num_uses and lasts
