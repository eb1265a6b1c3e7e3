"""When to look again, without remembering when one looked last.

A source is due at fixed points of the wall clock: a phase, hashed from its name, of every period;
the poller counts them off. Invariant: a phase depends on the name alone, so that a restart keeps the
points and finds nothing due at once.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from vso.core.durations import parse_duration
from vso.core.errors import ConfigError, Reason

UNASKED_PERIOD = timedelta(seconds=60)
"""How often a static secret without refreshAfter is compared with its source."""
LEAST_STALE = timedelta(minutes=10)
_HASH_BITS = 53  # as many as a float holds exactly, so that the quotient stays below 1


def phase(text: str) -> float:
    """Return a number in [0, 1) that depends on the text alone."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest) >> (64 - _HASH_BITS)) / 2.0**_HASH_BITS


def duration_of(text: str | None, field: str) -> timedelta | None:
    """Return what a duration field says; ConfigError names the field."""
    if not text:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigError(Reason.INVALID_SPEC, f"{field}: {error}") from None


def refresh_period(refresh_after: timedelta | None, *, compared: bool) -> timedelta | None:
    """Return how often a static secret's source is polled; None means only when its object changes.

    `compared` is spec.hmacSecretData: with it, a secret without refreshAfter is polled every minute.
    """
    if refresh_after:
        return refresh_after
    return UNASKED_PERIOD if compared else None


def stale_after(refresh_after: timedelta | None, stale_after: timedelta | None) -> timedelta:
    """Return the age of the last good data from which on it no longer counts as Ready."""
    if stale_after is not None:
        return stale_after
    return max(LEAST_STALE, 3 * (refresh_after or timedelta(0)))
