"""A server whose answers are set by hand, and a poller of it.

Invariant: looks are told with their time on the wall clock, and no task is left when a run has ended.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Hashable
from datetime import timedelta

from tests.fakes.clock import T0, FakeClock
from tests.fakes.runtime import other_tasks
from vso.runtime.poller import Poller

PHASES = {"a": 0.5, "b": 0.1, "c": 0.9}


class Bench:
    """A server whose answers are set by hand, and a poller of it."""

    def __init__(self, start: float = 0.0, concurrency: int = 32) -> None:
        self.clock = FakeClock(T0 + timedelta(seconds=start))
        self.origin = start
        self.answers: dict[str, Hashable] = {}
        self.errors: dict[str, Exception] = {}
        self.lasts = math.inf  # the errors
        self.slow: dict[str, float] = {}
        self.looks: list[tuple[str, float]] = []
        self.notified: list[frozenset[str]] = []
        self.poller: Poller[str, str] = Poller(
            self.clock,
            self.look,
            self.notified.append,
            phase=lambda source: PHASES.get(source, 0.0),
            concurrency=concurrency,
            group=lambda source: source.partition("/")[0],
            share=lambda key: key.partition("/")[0],
        )

    async def look(self, source: str) -> Hashable:
        # On the wall clock, counted from T0, which is a whole number of days.
        self.looks.append((source, self.origin + self.clock.monotonic()))
        await self.clock.sleep(self.slow.get(source, 0.0))
        if source in self.errors and self.clock.monotonic() < self.lasts:
            raise self.errors[source]
        return self.answers.get(source, "same")

    async def run_for(self, seconds: float) -> None:
        running = asyncio.ensure_future(self.poller.run())
        await self.clock.advance(seconds)
        running.cancel()
        await asyncio.wait((running,))
        assert not other_tasks()

    def times(self, source: str = "a") -> list[float]:
        return [at for looked, at in self.looks if looked == source]
