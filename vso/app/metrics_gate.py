"""Who may scrape: the bearer token of a request, held against the API server's reviews.

Invariant: nobody gets in but on the API server's word, which counts for a few seconds. A token is remembered by a
digest alone, under a key that no other process has; what is remembered, what is asked at a time and what waits for
that is bounded, so that strangers take neither memory nor the requests that the operator needs for its work, and
who was let in is not forgotten for them.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from vso.core.clock import Clock
from vso.core.errors import TransientError, VsoError
from vso.core.sensitive import Sensitive
from vso.kube.reviews import Caller
from vso.runtime.single_flight import SingleFlight

PATH: Final = "/metrics"
"""What a scraper must be allowed to get."""
_REMEMBERED: Final = 10.0
_MOST_REMEMBERED: Final = 256
_AT_A_TIME: Final = 4
_MOST_WAITING: Final = 64
_PATIENCE: Final = 8.0
"""Seconds for an answer: a little less than Prometheus waits for a scrape."""

_log = structlog.get_logger("vso.metrics")


class Reviews(Protocol):
    """Whoever knows tokens and rights."""

    async def caller(self, token: Sensitive) -> Caller | None:
        """Return whose token it is, or None when it is nobody's."""
        ...

    async def may_get(self, caller: Caller, path: str) -> bool:
        """Tell whether the caller may GET a path."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a request is answered: 200 lets it in."""

    status: int
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


_WELCOME: Final = Verdict(200)
_UNKNOWN: Final = Verdict(401, "a valid bearer token is asked for\n", {"WWW-Authenticate": "Bearer"})
_FORBIDDEN: Final = Verdict(403, f"the right to get {PATH} is missing\n")
_NO_ANSWER: Final = Verdict(503, "the API server does not answer\n", {"Retry-After": "10"})
_CROWDED: Final = Verdict(503, "too many wait for an answer of the API server\n", {"Retry-After": "10"})
_CANNOT_ASK: Final = Verdict(500, "the API server cannot be asked: the operator's log says why\n")


class _Memory:
    """Verdicts by the digest of their token, each for a few seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._verdicts: dict[str, tuple[float, Verdict]] = {}

    def get(self, digest: str) -> Verdict | None:
        until, verdict = self._verdicts.get(digest, (0.0, None))
        return verdict if self._clock.monotonic() < until else None

    def put(self, digest: str, verdict: Verdict) -> None:
        self._verdicts.pop(digest, None)
        while len(self._verdicts) >= _MOST_REMEMBERED:
            del self._verdicts[next(iter(self._verdicts))]  # the oldest: each is put in anew at the end
        self._verdicts[digest] = (self._clock.monotonic() + _REMEMBERED, verdict)


class MetricsGate:
    """Lets scrapers in, or not."""

    def __init__(self, reviews: Reviews, clock: Clock) -> None:
        self._reviews = reviews
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._welcomed, self._refused = _Memory(clock), _Memory(clock)
        self._asking: SingleFlight[str, Verdict] = SingleFlight()
        self._turns = asyncio.Semaphore(_AT_A_TIME)
        self._waiting = 0
        self._trouble = ""

    async def admit(self, authorization: str) -> Verdict:
        """Return the verdict on a request with this header Authorization."""
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "bearer" or not text.strip() or not text.isascii():
            return _UNKNOWN
        token = Sensitive.of(text.strip())
        digest = token.digest(self._key)
        verdict = self._welcomed.get(digest) or self._refused.get(digest)
        if verdict is not None:
            return verdict
        if self._waiting >= _MOST_WAITING:
            return _CROWDED
        self._waiting += 1
        try:
            return await self._asking.run(digest, lambda: self._ask(digest, token))
        finally:
            self._waiting -= 1

    async def _ask(self, digest: str, token: Sensitive) -> Verdict:
        try:
            async with self._clock.limit(_PATIENCE), self._turns:
                verdict = await self._review(token)
        except TransientError as error:
            return self._failed(str(error), _NO_ANSWER)
        except TimeoutError:
            return self._failed(f"no answer within {_PATIENCE:.0f} s", _NO_ANSWER)
        except VsoError as error:
            return self._failed(str(error), _CANNOT_ASK)
        self._trouble = ""
        (self._welcomed if verdict is _WELCOME else self._refused).put(digest, verdict)
        return verdict

    async def _review(self, token: Sensitive) -> Verdict:
        caller = await self._reviews.caller(token)
        if caller is None:
            return _UNKNOWN
        return _WELCOME if await self._reviews.may_get(caller, PATH) else _FORBIDDEN

    def _failed(self, cause: str, verdict: Verdict) -> Verdict:
        if cause != self._trouble:  # a stranger who asks again and again does not fill the log
            self._trouble = cause
            _log.warning("scrapes cannot be let in", error=cause)
        return verdict
