"""How often: per key after failures, and per second for a whole stream.

Invariant: neither class sleeps while it holds anything; a cancelled `acquire` gives its token back.
"""

from __future__ import annotations

import random
from collections.abc import Hashable
from typing import Generic, TypeVar

from vso.core.backoff import Backoff
from vso.core.clock import Clock

K = TypeVar("K", bound=Hashable)


class RateLimiter(Generic[K]):
    """Counts the failures of each key in a row and says how long to wait after the latest."""

    def __init__(self, backoff: Backoff, rng: random.Random) -> None:
        self._backoff = backoff
        self._rng = rng
        self._failures: dict[K, int] = {}

    def when(self, key: K) -> float:
        """Count one more failure and return the seconds to wait."""
        failures = self._failures[key] = self.failures(key) + 1
        return self._backoff.delay(failures, self._rng.random())

    def forget(self, key: K) -> None:
        """The key is well: the next failure is the first again."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """Return how many failures in a row the key has had."""
        return self._failures.get(key, 0)

    def spread(self, seconds: float, fraction: float) -> float:
        """Return the seconds moved by up to that fraction, so that a crowd does not return as one."""
        return seconds * (1 + fraction * (2 * self._rng.random() - 1))

    def __len__(self) -> int:
        return len(self._failures)


class TokenBucket:
    """At most `burst` at once and `rate` a second in the long run, first come first served."""

    def __init__(self, clock: Clock, rate: float, burst: int) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError("a token bucket needs rate > 0 and burst >= 1")
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)  # below zero: promised to those who already sleep for them
        self._filled_at = clock.monotonic()

    async def acquire(self) -> None:
        """Take a token, sleeping until it is there."""
        self._fill()
        self._tokens -= 1
        try:
            if self._tokens < 0:
                await self._clock.sleep(-self._tokens / self._rate)
        except BaseException:
            self._tokens += 1
            raise

    def try_acquire_nowait(self) -> float:
        """Take a token and return 0, or take none and return the seconds until there is one."""
        self._fill()
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._rate

    def _fill(self) -> None:
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
