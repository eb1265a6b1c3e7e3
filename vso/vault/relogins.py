"""When a 403 brings one more login.

Invariant: at most one a minute for each of its two meanings, that the token is gone and that the role's policies
may have changed, whatever the tokens of the logins before are worth.
"""

from __future__ import annotations

import math

from vso.core.clock import Clock
from vso.core.errors import VsoError
from vso.vault.errors import InvalidTokenError

_EVERY = 60.0


class Relogins:
    """The logins of one session that a 403 has asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked: dict[type[VsoError], float] = {}
        self._owed: InvalidTokenError | None = None

    def ask(self, error: VsoError) -> None:
        """Note one more login; raises the error where the minute has not passed."""
        now = self._clock.monotonic()
        rest = self._asked.get(type(error), -math.inf) + _EVERY - now
        if rest > 0:
            raise (InvalidTokenError(error.message, rest) if isinstance(error, InvalidTokenError) else error) from None
        self._asked[type(error)] = now

    def lost(self, error: InvalidTokenError) -> None:
        """The session's token is gone: its next login is for that."""
        self._owed = error

    def check(self) -> None:
        """Raise as long as it is too early for a login in place of a token that is gone."""
        if self._owed is not None:
            self.ask(self._owed)
            self._owed = None  # from here on a login that fails is tried again as any other
