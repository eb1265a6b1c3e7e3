"""Replicas of the operator that want the same Lease.

Invariant: two that work at once are an error, in whatever is played with them.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from tests.fakes.clock import FakeClock
from tests.fakes.runtime import FakeLease, other_tasks
from vso.core.errors import VsoError
from vso.runtime.leader_election import ElectionConfig, LeaderElector

CONFIG = ElectionConfig()


@dataclass
class Replica:
    """A process: its elector, its work and what it said."""

    name: str
    lease: FakeLease
    clock: FakeClock
    working: set[str]
    said: list[tuple[bool, str]] = field(default_factory=list)
    errors: list[VsoError] = field(default_factory=list)
    log: list[tuple[str, float]] = field(default_factory=list)
    config: ElectionConfig = CONFIG
    cleanup_takes: float = 0.0
    finish: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None

    def start(self) -> None:
        self.elector = LeaderElector(
            self.lease.lock(self.name),
            self.name,
            self.clock,
            random.Random(self.name),
            self.config,
            on_change=self.change,
            on_error=self.errors.append,
        )
        self.task = asyncio.ensure_future(self.elector.run(self.work))

    def change(self, leading: bool, holder: str) -> None:
        self.said.append((leading, holder))
        self.log.append(("leads" if leading else "follows", self.clock.monotonic()))

    async def work(self) -> None:
        assert not self.working, "two leaders work at once"
        self.working.add(self.name)
        self.log.append(("began", self.clock.monotonic()))
        try:
            await self.finish.wait()
            if self.error is not None:
                raise self.error
        finally:
            await self.clock.sleep(self.cleanup_takes)
            self.working.discard(self.name)
            self.log.append(("ended", self.clock.monotonic()))

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait((self.task,))


class Bench:
    def __init__(self, *names: str) -> None:
        self.clock = FakeClock()
        self.lease = FakeLease()
        self.working: set[str] = set()
        self.replicas = [Replica(name, self.lease, self.clock, self.working) for name in names]

    async def start(self) -> None:
        for replica in self.replicas:
            replica.start()
            await self.clock.advance(0)

    async def stop(self) -> None:
        # Or giving the lease back would wait for a clock that stands still.
        self.lease.hanging.clear()
        self.lease.answer_after = None
        for replica in self.replicas:
            replica.cleanup_takes = 0.0
        for replica in self.replicas:
            await replica.stop()
        assert not other_tasks()
        assert not self.working
