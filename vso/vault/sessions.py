"""All sessions of the process.

Invariant: one session per SessionKey; when a configuration changes, the session of the old one
makes room, and its token is given back when nobody has used it for a while, at the latest when the
process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass

from vso.core.clock import Clock
from vso.vault.client import VaultClient
from vso.vault.config import ConnectionConfig, LoginConfig, session_key
from vso.vault.keeping import NoShelf, Shelf
from vso.vault.login_limits import Ledger
from vso.vault.logins import LoginParts
from vso.vault.observer import VaultObserver
from vso.vault.session import Session
from vso.vault.standing import SETTLED_AFTER, LoginNews, Standing, Summary, settles_after, summary
from vso.vault.way import CredentialSource

_CLOSE_WITHIN = 3.0
_UNUSED = 5.0
"""Seconds without a request after which a replaced session has seen its last: everybody has moved on."""
_FORGOTTEN = 120.0
"""Seconds after which not even a pass that waits for a Vault can still hold one."""

_Place = tuple[str, str]
"""A VaultAuth and a consumer: it leads to one VaultConnection at a time."""


@dataclass(frozen=True, slots=True)
class SessionStatistics:
    """A snapshot for tests and metrics."""

    sessions: int
    logged_in: int


class Sessions:
    """Finds or makes the session of an identity on a connection."""

    def __init__(
        self,
        clock: Clock,
        credentials: CredentialSource,
        observer: VaultObserver,
        noticed: Callable[[LoginNews], None] = lambda _: None,
        shelf: Shelf | None = None,
        bereaved: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        self._parts = LoginParts(
            clock,
            credentials,
            observer,
            Ledger(clock),
            self._on_standing,
            self._on_held_back,
            shelf or NoShelf(),
            bereaved,
        )
        self._noticed = noticed
        self._settled_at: dict[str, float] = {}
        """When what the identities have come to is to be told, by the uid of their VaultAuth."""
        self._owed: dict[LoginNews, float] = {}
        """When who was held back is to be made good for."""
        self._owing = asyncio.Event()
        self._sessions: dict[_Place, Session] = {}
        self._replaced: list[Session] = []
        self._replacing = asyncio.Event()

    def session(self, client: VaultClient, login: LoginConfig) -> Session:
        """Return the one session for this connection, login and identity; makes no request."""
        key = session_key(client.config, login)
        place = (key.auth_uid, key.consumer)
        found = self._sessions.get(place)
        if found is not None and found.key == key:
            found.adopt(client)
            return found
        if found is not None:
            self._replace(found)
        kept = None if found is None else found.kept
        made = Session(client, login, self._parts, lambda: tuple(self._replaced), kept)
        self._sessions[place] = made
        self._moved(login)
        return made

    def summary(self, auth_uid: str) -> Summary | None:
        """Return what the logins by a VaultAuth have come to; None while this process has seen nobody use it."""
        settled_at = self._settled_at.get(auth_uid)
        if settled_at is None:
            return None
        standings = [session.standing for session in self._sessions.values() if session.key.auth_uid == auth_uid]
        return summary(standings, max(0.0, settled_at - self._parts.clock.monotonic()))

    def depart(self, auth_uid: str, stay: Collection[str]) -> None:
        """Drop the sessions of consumers that do not use a VaultAuth any more; the empty name is everybody's."""
        for place, session in list(self._sessions.items()):
            if place[0] == auth_uid and place[1] not in stay:
                self._replace(self._sessions.pop(place))
                self._moved(session.login)

    def adopt(self, client: VaultClient) -> None:
        """Let the sessions of a connection go on over its new client (a changed CA, say).

        The replaced ones too: their tokens are given back over it.
        """
        for session in (*self._sessions.values(), *self._replaced):
            if session.goes_over(client.config):
                session.adopt(client)

    def go_over(self, config: ConnectionConfig) -> bool:
        """Tell whether a session takes that connection, in that variant: one that is replaced while it has tokens."""
        holding = (session for session in self._replaced if not session.spent)
        return any(session.goes_over(config) for session in (*self._sessions.values(), *holding))

    def forget(self, uid: str) -> None:
        """Drop the sessions of a VaultConnection or VaultAuth that is gone."""
        for place, session in list(self._sessions.items()):
            if uid in {session.key.connection_uid, session.key.auth_uid}:
                self._replace(self._sessions.pop(place))
                self._moved(session.login)
        self._settled_at.pop(uid, None)

    async def run(self) -> None:
        """Look after what nobody asks for, until cancelled: replaced tokens, and logins that were held back."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._give_back(), name="vault-sessions-replaced")
            tasks.create_task(self._make_good(), name="vault-sessions-held-back")

    async def _make_good(self) -> None:
        """Have one of those try a login again that was held back, as soon as that is not too early."""
        while True:
            await self._owing.wait()
            await self._parts.clock.sleep(max(0.0, min(self._owed.values()) - self._parts.clock.monotonic()))
            now = self._parts.clock.monotonic()
            for news in [news for news, due in self._owed.items() if due <= now]:
                del self._owed[news]
                self._noticed(news)
            if not self._owed:
                self._owing.clear()

    async def _give_back(self) -> None:
        """Give back the tokens of replaced sessions that nobody uses any more."""
        while True:
            await self._replacing.wait()
            await self._parts.clock.sleep(_UNUSED)
            for session in [session for session in self._replaced if session.unused_for(_UNUSED)]:
                await session.give_back()
            self._replaced = [s for s in self._replaced if not (s.spent and s.unused_for(_FORGOTTEN))]
            if not any(session.logged_in for session in self._replaced):
                self._replacing.clear()

    def share(self) -> None:
        """Another process may have used our tokens meanwhile: none of them is ours alone to revoke."""
        for session in (*self._sessions.values(), *self._replaced):
            session.share()

    async def close(self) -> None:
        """Revoke every token, best effort, within a few seconds in all."""
        every = [*self._sessions.values(), *self._replaced]
        self._sessions.clear()
        self._replaced.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_WITHIN), asyncio.TaskGroup() as tasks:
                for session in every:
                    tasks.create_task(session.revoke())

    def _on_standing(self, login: LoginConfig, before: Standing, now: Standing, age: float) -> None:
        works_again = before.failing and not now.failing
        if (now.token_type, now.counted) != (before.token_type, before.counted):
            self._moved(login, settles_after(before, now, age), works_again=works_again)
        elif works_again:
            self._noticed(LoginNews(login.name, login.consumer, works_again=True))
        if (now.cautions or ()) != (before.cautions or ()):
            self._noticed(LoginNews(login.name, login.consumer, 0.0))

    def _on_held_back(self, login: LoginConfig, seconds: float) -> None:
        news = LoginNews(login.name, login.consumer, try_again=True)
        self._owed[news] = self._parts.clock.monotonic() + seconds
        self._owing.set()

    def _moved(self, login: LoginConfig, within: float = SETTLED_AFTER, *, works_again: bool = False) -> None:
        due = self._parts.clock.monotonic() + within
        self._settled_at[login.uid] = max(due, self._settled_at.get(login.uid, due))
        self._noticed(LoginNews(login.name, login.consumer, within, works_again))

    def _replace(self, session: Session) -> None:
        self._replaced.append(session)
        self._replacing.set()

    def statistics(self) -> SessionStatistics:
        """Return how many sessions there are and how many hold a token."""
        return SessionStatistics(len(self._sessions), sum(session.logged_in for session in self._sessions.values()))
