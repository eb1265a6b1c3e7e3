"""All sessions of the process.

Invariant: one session per SessionKey; when a configuration changes, the session of the old one
makes room, and its token is given back when nobody has used it for a while, at the latest when the
process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from vso.core.clock import Clock
from vso.vault.client import VaultClient
from vso.vault.config import LoginConfig, SessionKey, session_key
from vso.vault.keeping import NoShelf, Shelf
from vso.vault.login_limits import Ledger
from vso.vault.logins import LoginParts
from vso.vault.observer import VaultObserver
from vso.vault.session import Session
from vso.vault.way import CredentialSource

_CLOSE_WITHIN = 3.0
_REMEMBERED = 256
"""How many replaced sessions are kept for their tokens to be revoked; older tokens end by themselves."""
_UNUSED = 5.0
"""Seconds without a request after which a replaced session has seen its last: everybody has moved on."""

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
        noticed: Callable[[str], None] = lambda _: None,
        shelf: Shelf | None = None,
        bereaved: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        self._parts = LoginParts(clock, credentials, observer, Ledger(clock), noticed, shelf or NoShelf(), bereaved)
        self._sessions: dict[_Place, Session] = {}
        self._replaced: deque[Session] = deque(maxlen=_REMEMBERED)
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
        return made

    def cautions(self, auth_uid: str) -> tuple[str, ...] | None:
        """Return what is to be known of the tokens of a VaultAuth; None while nobody has logged in by it."""
        told = [session.cautions for session in self._sessions.values() if session.key.auth_uid == auth_uid]
        known = [cautions for cautions in told if cautions is not None]
        return tuple(sorted({text for cautions in known for text in cautions})) if known else None

    def adopt(self, client: VaultClient) -> None:
        """Let the sessions of a connection go on over its new client (a changed CA, say).

        The replaced ones too: their tokens are given back over it.
        """
        for session in (*self._sessions.values(), *self._replaced):
            if session.goes_over(client.config):
                session.adopt(client)

    def forget(self, predicate: Callable[[SessionKey], bool]) -> None:
        """Drop the sessions whose key fits: their connection or auth is gone."""
        for place, session in list(self._sessions.items()):
            if predicate(session.key):
                self._replace(self._sessions.pop(place))

    async def run(self) -> None:
        """Give back the tokens of replaced sessions that nobody uses any more, until cancelled."""
        while True:
            await self._replacing.wait()
            await self._parts.clock.sleep(_UNUSED)
            for session in [session for session in self._replaced if session.unused_for(_UNUSED)]:
                await session.give_back()
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

    def _replace(self, session: Session) -> None:
        self._replaced.append(session)
        self._replacing.set()

    def statistics(self) -> SessionStatistics:
        """Return how many sessions there are and how many hold a token."""
        return SessionStatistics(len(self._sessions), sum(session.logged_in for session in self._sessions.values()))
