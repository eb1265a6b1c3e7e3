"""Records, scripted servers and observers for the tests of the runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from vso.core.errors import Reason, TransientError, VsoError
from vso.runtime.events import Applied, Bookmark, Deleted, Page, WatchEvent
from vso.runtime.leader_election import LeaseRecord


@dataclass(frozen=True)
class Thing:
    """A record with a key, a version and one indexed property."""

    key: str
    resource_version: str = "1"
    colour: str = "red"


HANG = "hang"
Script: TypeAlias = WatchEvent[Thing] | Page[Thing] | VsoError | str
Scripts: TypeAlias = list[list[Script]]


@dataclass
class ScriptedListWatch:
    """Plays one script per call; an error is raised, HANG parks for ever, the end closes the stream.

    A script that is missing hangs.
    """

    lists: Scripts = field(default_factory=list)
    watches: Scripts = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    open_streams: int = 0

    async def list(self) -> AsyncIterator[Page[Thing]]:
        self.calls.append("list")
        async for item in self._play(self.lists):
            assert isinstance(item, Page)
            yield item

    async def watch(self, resource_version: str) -> AsyncIterator[WatchEvent[Thing]]:
        self.calls.append(f"watch {resource_version}")
        async for item in self._play(self.watches):
            assert isinstance(item, Applied | Deleted | Bookmark)
            yield item

    async def _play(self, scripts: Scripts) -> AsyncIterator[Script]:
        self.open_streams += 1
        try:
            for item in scripts.pop(0) if scripts else [HANG]:
                await asyncio.sleep(0)
                if isinstance(item, VsoError):
                    raise item
                if item is HANG:
                    await asyncio.Event().wait()
                yield item
        finally:
            self.open_streams -= 1


@dataclass
class Observed:
    """Remembers what controllers and informers report."""

    passes: list[tuple[Hashable, str]] = field(default_factory=list)
    failures: list[tuple[Hashable, str, Exception, float | None]] = field(default_factory=list)
    relists: list[tuple[str, int, int]] = field(default_factory=list)
    interruptions: list[VsoError] = field(default_factory=list)

    def passed(self, controller: str, key: Hashable, outcome: str, seconds: float) -> None:
        self.passes.append((key, outcome))

    def failed(self, controller: str, key: Hashable, outcome: str, error: Exception, again_in: float | None) -> None:
        self.failures.append((key, outcome, error, again_in))

    def relisted(self, informer: str, objects: int, changes: int) -> None:
        self.relists.append((informer, objects, changes))

    def interrupted(self, informer: str, error: VsoError) -> None:
        self.interruptions.append(error)


def unavailable(retry_after: float | None = None) -> TransientError:
    return TransientError(Reason.KUBERNETES_UNAVAILABLE, "down", retry_after)


@dataclass
class FakeLease:
    """The Lease on the server: versions, conflicts, and faults by script.

    `faults` is asked before each call with its verb; it may raise or hang.
    """

    record: LeaseRecord | None = None
    faults: dict[str, Callable[[], None]] = field(default_factory=dict)
    hanging: set[str] = field(default_factory=set)
    answer_after: Callable[[], Awaitable[None]] | None = None
    calls: list[str] = field(default_factory=list)
    version: int = 0

    def lock(self, who: str) -> FakeLock:
        return FakeLock(self, who)

    def store(self, record: LeaseRecord) -> LeaseRecord:
        self.version += 1
        self.record = replace(record, resource_version=str(self.version))
        return self.record


@dataclass
class FakeLock:
    """One replica's connection to the Lease; cut off while `lease.hanging` names it."""

    lease: FakeLease
    who: str

    async def get(self) -> LeaseRecord | None:
        await self._reach("get")
        return self.lease.record

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        await self._reach("create")
        if self.lease.record is not None:
            raise TransientError(Reason.KUBERNETES_CONFLICT, "exists")
        return self.lease.store(record)

    async def update(self, record: LeaseRecord) -> LeaseRecord:
        await self._reach("update")
        current = self.lease.record
        if current is None or current.resource_version != record.resource_version:
            raise TransientError(Reason.KUBERNETES_CONFLICT, "moved on")
        stored = self.lease.store(record)
        if f"{self.who} answers" in self.lease.hanging:
            await asyncio.Event().wait()  # taken by the server, the answer is lost
        if self.lease.answer_after is not None:
            await self.lease.answer_after()
        return stored

    async def _reach(self, verb: str) -> None:
        self.lease.calls.append(f"{self.who} {verb}")
        await asyncio.sleep(0)
        if self.who in self.lease.hanging:
            await asyncio.Event().wait()
        fault = self.lease.faults.get(f"{self.who} {verb}") or self.lease.faults.get(verb)
        if fault is not None:
            fault()


def other_tasks() -> set[asyncio.Task[object]]:
    """Return the tasks that are alive beside the test's own."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
