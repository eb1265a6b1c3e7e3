"""Back-off per key and tokens per second."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.fakes.clock import FakeClock, settle
from vso.core.backoff import Backoff
from vso.runtime.rate_limiter import RateLimiter, TokenBucket

PLAIN = Backoff(initial=1.0, maximum=60.0, multiplier=2.0, randomization=0.0)


def test_each_failure_in_a_row_waits_longer_and_success_starts_anew() -> None:
    limiter: RateLimiter[str] = RateLimiter(PLAIN, random.Random(1))
    assert [limiter.when("a") for _ in range(3)] == [1.0, 2.0, 4.0]
    assert limiter.failures("a") == 3
    limiter.forget("a")
    assert limiter.when("a") == 1.0


def test_keys_do_not_share_their_failures() -> None:
    limiter: RateLimiter[str] = RateLimiter(PLAIN, random.Random(1))
    limiter.when("a")
    assert limiter.failures("b") == 0
    assert len(limiter) == 1


def test_a_spread_stays_within_its_fraction() -> None:
    limiter: RateLimiter[str] = RateLimiter(PLAIN, random.Random(1))
    drawn = [limiter.spread(100.0, 0.1) for _ in range(200)]
    assert 90 <= min(drawn) < 95
    assert 105 < max(drawn) <= 110
    assert limiter.spread(100.0, 0.0) == 100.0


async def test_a_burst_passes_at_once_and_the_rest_at_the_rate() -> None:
    clock = FakeClock()
    bucket = TokenBucket(clock, rate=2.0, burst=3)
    passed: list[float] = []

    async def caller() -> None:
        await bucket.acquire()
        passed.append(clock.monotonic())

    async with asyncio.TaskGroup() as callers:
        for _ in range(6):
            callers.create_task(caller())
        await clock.advance(10)
    assert passed == [0, 0, 0, 0.5, 1.0, 1.5]


async def test_a_cancelled_caller_gives_its_token_back() -> None:
    clock = FakeClock()
    bucket = TokenBucket(clock, rate=1.0, burst=1)
    await bucket.acquire()
    waiting = asyncio.ensure_future(bucket.acquire())
    await settle()
    waiting.cancel()
    await settle()
    assert bucket.try_acquire_nowait() == pytest.approx(1.0)
    await clock.advance(1.0)
    assert bucket.try_acquire_nowait() == 0.0


def test_a_bucket_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="rate > 0"):
        TokenBucket(FakeClock(), rate=0, burst=1)
