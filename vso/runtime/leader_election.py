"""One of several processes works; the others stand by with warm caches.

Safety: a holder counts from before it sent its last successful write and stops `renew_deadline`
later; a candidate counts from after it saw that write and takes over `lease_duration` later. The
first is strictly shorter, so the work has `lease_duration - renew_deadline` seconds to end in, with
no clock compared between machines. The work is cancelled and joined before anything is said, and
before the lease is released.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, TypeAlias, assert_never

from vso.core.clock import Clock
from vso.core.errors import Reason, TransientError, VsoError
from vso.runtime.deadline import within


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What the Lease says; holder "" means that it was given back."""

    holder: str
    duration_seconds: int
    acquire_time: datetime
    renew_time: datetime
    transitions: int = 0
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class ElectionConfig:
    """The periods, in seconds."""

    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0
    standby_poll: float = 1.0
    release_within: float = 3.0

    def __post_init__(self) -> None:
        if not self.lease_duration > self.renew_deadline > self.retry_period > 0:
            raise ValueError("leader election needs lease duration > renew deadline > retry period > 0")
        if self.standby_poll <= 0 or self.release_within <= 0:
            raise ValueError("leader election needs a standby poll and a time to release")


@dataclass(frozen=True, slots=True)
class Create:
    """There is no Lease: make it."""


@dataclass(frozen=True, slots=True)
class Acquire:
    """It was given back, or its holder is dead: take it."""

    record: LeaseRecord


@dataclass(frozen=True, slots=True)
class Renew:
    """It is ours: say so again."""

    record: LeaseRecord


@dataclass(frozen=True, slots=True)
class Wait:
    """Another holds it: look again in so many seconds."""

    holder: str
    seconds: float


ElectionPlan: TypeAlias = Create | Acquire | Renew | Wait


def plan_election(
    record: LeaseRecord | None, identity: str, observed_at: float, now: float, config: ElectionConfig
) -> ElectionPlan:
    """Judge the record, which was first seen as it is at `observed_at` on our own monotonic clock."""
    if record is None:
        return Create()
    if record.holder == identity:
        return Renew(record)
    if not record.holder:
        return Acquire(record)
    # The longer of the two durations: replicas of two versions may disagree for a while.
    expires = observed_at + max(float(record.duration_seconds), config.lease_duration)
    if now >= expires:
        return Acquire(record)
    return Wait(record.holder, config.standby_poll)


class LeaseLock(Protocol):
    """Where the record lies; a write carries the resource_version it was planned on."""

    async def get(self) -> LeaseRecord | None:
        """Return the record, or None when there is none."""
        ...

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        """Make the Lease and return it as stored."""
        ...

    async def update(self, record: LeaseRecord) -> LeaseRecord:
        """Replace the Lease and return it as stored; TransientError KUBERNETES_CONFLICT if it moved on."""
        ...


class _LeaseLostError(Exception):
    """The lease is another's, or could not be renewed in time."""


class LeaderElector:
    """Stands by, leads, stands by again."""

    def __init__(
        self,
        lock: LeaseLock,
        identity: str,
        clock: Clock,
        rng: random.Random,
        config: ElectionConfig,
        *,
        on_change: Callable[[bool, str], None] = lambda _leading, _holder: None,
        on_error: Callable[[VsoError], None] = lambda _error: None,
    ) -> None:
        self._lock = lock
        self._identity = identity
        self._clock = clock
        self._rng = rng
        self._config = config
        self._on_change = on_change
        self._on_error = on_error
        self._record: LeaseRecord | None = None
        self._is_own_write = False  # then the record needs no look before the next write
        self._has_written = False  # then it may be ours, even if no answer came
        self._observed_at = clock.monotonic()
        self._leading = False
        self._valid_until = self._observed_at
        self._said: tuple[bool, str] | None = None

    @property
    def is_leader(self) -> bool:
        """Whether the work may act: false from the renew deadline on, even if nobody has noticed yet."""
        return self._leading and self._clock.monotonic() < self._valid_until

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run the work whenever this process leads; returns when the work does.

        The work is cancelled when the lease is lost, and must then end within the difference of
        lease duration and renew deadline.
        """
        lost = True
        try:
            while lost:
                await self._stand_by()
                lost = await self._lead(work)
        finally:
            # The work has been joined, whichever way it ended: only now may another process begin.
            if self._has_written:
                await self._release()
            self._say_holder()

    async def _stand_by(self) -> None:
        while (seconds := await self._campaign()) is not None:
            # Jitter only downwards: a lease given back is taken within one standby poll.
            await self._clock.sleep(seconds * (1 - 0.2 * self._rng.random()))

    async def _campaign(self) -> float | None:
        """Try once to take the lease; return the seconds until the next try, None when it is ours."""
        try:
            plan = await within(self._clock, self._config.renew_deadline, self._step())
        except VsoError as error:
            self._on_error(error)
            return self._retry_after(error)
        except TimeoutError:
            self._on_error(TransientError(Reason.KUBERNETES_UNAVAILABLE, "no answer about the leader's Lease"))
            return self._config.retry_period
        if isinstance(plan, Wait):
            self._say_holder()
            return plan.seconds
        return None

    async def _step(self) -> ElectionPlan:
        started = self._clock.monotonic()
        plan = await self._plan()
        await self._carry_out(plan, started)
        return plan

    async def _plan(self) -> ElectionPlan:
        if not self._is_own_write:
            self._observe(await self._lock.get())
        now = self._clock.monotonic()
        return plan_election(self._record, self._identity, self._observed_at, now, self._config)

    async def _carry_out(self, plan: ElectionPlan, started: float) -> None:
        self._is_own_write = False  # until the answer is there, nobody knows what the Lease says
        self._has_written = not isinstance(plan, Wait) or self._has_written
        match plan:
            case Create():
                self._hold(await self._lock.create(self._taken(None)), started)
            case Acquire(record):
                self._hold(await self._lock.update(self._taken(record)), started)
            case Renew(record):
                self._hold(await self._lock.update(replace(record, renew_time=self._clock.now())), started)
            case Wait():
                pass
            case _:
                assert_never(plan)

    def _observe(self, record: LeaseRecord | None) -> None:
        # Labels and the like may change the version; only the holder's own fields are a sign of life.
        if _signs_of_life(record) != _signs_of_life(self._record):
            self._observed_at = self._clock.monotonic()
        self._record = record

    def _hold(self, record: LeaseRecord, started: float) -> None:
        self._record = record
        self._is_own_write = True
        self._observed_at = self._clock.monotonic()
        self._valid_until = started + self._config.renew_deadline

    def _taken(self, old: LeaseRecord | None) -> LeaseRecord:
        now = self._clock.now()
        return LeaseRecord(
            holder=self._identity,
            duration_seconds=round(self._config.lease_duration),
            acquire_time=now,
            renew_time=now,
            transitions=0 if old is None else old.transitions + 1,
            resource_version="" if old is None else old.resource_version,
        )

    async def _lead(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Run the work until it ends (False) or the lease is lost (True)."""
        lost = False
        self._leading = True
        self._say_holder()
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew_until_lost(), name="lease-renewal")
                await work()
                renewing.cancel()
        except* _LeaseLostError:
            lost = True
        finally:
            self._leading = False
        if lost:
            self._say_holder()
            _heed_cancellation()
        return lost

    async def _renew_until_lost(self) -> None:
        while True:
            left = self._valid_until - self._clock.monotonic()
            await self._clock.sleep(min(self._config.retry_period, max(left, 0.0)))
            left = self._valid_until - self._clock.monotonic()
            if left <= 0:
                raise _LeaseLostError
            try:
                await within(self._clock, left, self._renew())
            except VsoError as error:
                self._on_error(error)
            except TimeoutError as error:
                raise _LeaseLostError from error

    async def _renew(self) -> None:
        started = self._clock.monotonic()
        plan = await self._plan()
        if isinstance(plan, Wait | Acquire):
            self._valid_until = started
            raise _LeaseLostError
        await self._carry_out(plan, started)

    async def _release(self) -> None:
        """Give the lease back, bounded: a release that fails only costs the next leader the wait."""
        try:
            await within(self._clock, self._config.release_within, self._give_back())
        except VsoError as error:
            self._on_error(error)
        except TimeoutError:
            self._on_error(TransientError(Reason.KUBERNETES_UNAVAILABLE, "the leader's Lease was not released in time"))

    async def _give_back(self) -> None:
        # Looked at again first: a renewal may have been cut off after the server had taken it.
        record = await self._lock.get()
        if record is not None and record.holder == self._identity:
            self._record = await self._lock.update(
                replace(record, holder="", duration_seconds=1, renew_time=self._clock.now())
            )

    def _retry_after(self, error: VsoError) -> float:
        asked = error.retry_after if isinstance(error, TransientError) else None
        if error.reason is Reason.KUBERNETES_CONFLICT:
            return self._config.standby_poll  # another candidate was faster
        return max(self._config.retry_period, asked or 0.0)

    def _say_holder(self) -> None:
        said = (self._leading, "" if self._record is None else self._record.holder)
        if said != self._said:
            self._said = said
            self._on_change(*said)


def _signs_of_life(record: LeaseRecord | None) -> LeaseRecord | None:
    return None if record is None else replace(record, resource_version="")


def _heed_cancellation() -> None:
    # A TaskGroup that fails in the same turn as it is cancelled raises the failure alone (before
    # Python 3.13): the cancellation is still on record, and standing by would disobey it.
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
