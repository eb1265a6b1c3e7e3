"""How soon a login is tried again that nobody has judged: its credential cannot be had, or its mount cannot tell.

Invariant: until the pause is over the same failure is told again and nothing is asked, however many would ask;
pauses grow to a few seconds, so that what is repaired works within seconds.
"""

from __future__ import annotations

from collections.abc import Callable

from vso.core.backoff import Backoff
from vso.core.clock import Clock
from vso.core.errors import Reason, TransientError, VsoError
from vso.vault.auth.refusal import LoginHeldBackError, LoginRefusedError
from vso.vault.errors import HeldError, ShutOutError, VaultDownError

_PAUSES = Backoff(initial=0.5, maximum=5.0, multiplier=2.0, randomization=0.0)


class Setback:
    """The failures in a row of one session's logins."""

    def __init__(self, clock: Clock, held_back: Callable[[float], None] = lambda _: None) -> None:
        """Have `held_back` called, once in a pause, with what is left of it when somebody would have asked."""
        self._clock = clock
        self._held_back = held_back
        self._told = False
        self._failures = 0
        self._error: VsoError | None = None
        self._until = 0.0

    @property
    def lasts(self) -> bool:
        """Whether the latest login has failed so."""
        return self._error is not None

    @property
    def passes(self) -> bool:
        """Whether it has failed for what passes by itself: a mount that cannot tell, a cloud that is away."""
        return isinstance(self._error, TransientError)

    def check(self) -> None:
        """Raise the failure again, as an error of its own, as long as the pause lasts."""
        rest = self._until - self._clock.monotonic()
        if self._error is None or rest <= 0:
            return
        reason, message = self._error.reason, self._error.message
        if isinstance(self._error, TransientError):
            raise TransientError(reason, message, rest)
        if not self._told:
            self._told = True
            self._held_back(rest)
        raise LoginHeldBackError(reason, message)

    def note(self, error: VsoError) -> None:
        """A login has failed; who counts refusals and outages does so elsewhere."""
        if isinstance(error, LoginRefusedError | LoginHeldBackError):
            self.over()
        elif not _is_vaults(error):
            self._failures += 1
            self._told = False
            asked = error.retry_after if isinstance(error, TransientError) else None
            self._error = error
            self._until = self._clock.monotonic() + max(_PAUSES.delay(self._failures, 0.5), asked or 0.0)

    def over(self) -> None:
        """The credential was there, and was judged."""
        self._failures, self._error = 0, None


def _is_vaults(error: VsoError) -> bool:
    """Tell whether the breaker or Vault's own wish keeps others from asking; a certificate is the login's own."""
    if isinstance(error, VaultDownError):
        return error.reason is not Reason.VAULT_TLS_ERROR and not isinstance(error, ShutOutError)
    return isinstance(error, HeldError)
