"""Deadlines that nobody serves are noticed, and nobody else's."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from tests.fakes.clock import FakeClock
from vso.decide.lease import Lease, LeasePolicy, renew_at
from vso.decide.schedule import phase
from vso.runtime.lease_scheduler import LeaseScheduler
from vso.runtime.watchdog import Watchdog, Watched

LIFE = 60.0


class Kennel:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.known: dict[str, tuple[float, float]] = {}
        self.lost: list[tuple[str, float]] = []
        self.watchdog: Watchdog[str] = Watchdog(self.clock, self.deadlines, self.on_lost)
        self.running = asyncio.ensure_future(self.watchdog.run())

    def deadlines(self) -> Iterator[Watched[str]]:
        for key, (due, ends) in self.known.items():
            yield Watched(key, due, ends)

    def on_lost(self, key: str, seconds: float) -> None:
        self.lost.append((key, self.clock.monotonic()))

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.wait((self.running,))


@pytest.mark.parametrize("life", [10.0, 60.0, 3600.0, 86400.0])
async def test_a_lost_timer_is_noticed_before_nine_tenths_of_the_life_are_gone(life: float) -> None:
    kennel = Kennel()
    kennel.known["a"] = (life * 0.67, life)
    await kennel.clock.advance(life)
    assert kennel.lost[0][0] == "a"
    assert life * 0.67 < kennel.lost[0][1] < life * 0.9 or life == 10.0
    assert kennel.lost[0][1] < life
    await kennel.stop()


async def test_what_is_served_in_time_is_left_alone() -> None:
    kennel = Kennel()
    for round_ in range(10):
        kennel.known["a"] = (round_ * 40.0 + 40, round_ * 40.0 + 60)
        await kennel.clock.advance(40)
    assert kennel.lost == []
    await kennel.stop()


async def test_a_loss_that_goes_on_is_told_again_but_not_at_every_look() -> None:
    kennel = Kennel()
    kennel.known["a"] = (100.0, 140.0)
    await kennel.clock.advance(160)
    assert 3 <= len(kennel.lost) <= 6
    await kennel.stop()


async def test_the_loss_of_one_deadline_does_not_hide_that_of_the_next() -> None:
    kennel = Kennel()
    kennel.known["a"] = (10.0, 20.0)
    await kennel.clock.advance(15)
    assert len(kennel.lost) == 1
    kennel.known["a"] = (15.0, 21.0)
    await kennel.clock.advance(3)
    assert len(kennel.lost) == 2
    await kennel.stop()


async def test_what_was_due_before_the_watch_began_gets_its_time() -> None:
    clock = FakeClock()
    await clock.advance(1000)
    lost: list[str] = []
    watchdog: Watchdog[str] = Watchdog(clock, lambda: [Watched("a", 10.0, 2000.0)], lambda key, _: lost.append(key))
    running = asyncio.ensure_future(watchdog.run())
    await clock.advance(50)
    assert lost == []
    await clock.advance(20)
    assert lost == ["a"]
    running.cancel()


@dataclass
class Fleet:
    """Leases of a minute that are renewed when their timer rings, as the plan says."""

    clock: FakeClock
    losing: frozenset[str] = frozenset()
    leases: dict[str, Lease] = field(default_factory=dict)
    renewals: list[float] = field(default_factory=list)
    latest: float = 0.0
    expired: int = 0
    noticed: list[str] = field(default_factory=list)
    rings: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.timers: LeaseScheduler[str] = LeaseScheduler(self.clock, self.on_due)
        self.watchdog: Watchdog[str] = Watchdog(self.clock, self.deadlines, self.on_lost)

    def start(self, key: str) -> None:
        self.grant(key)
        self.arm(key)

    def grant(self, key: str) -> None:
        lease = Lease(key, self.clock.now(), timedelta(seconds=LIFE), renewable=True, parent_end=None, parent_kept=True)
        self.leases[key] = lease

    def due(self, key: str) -> float:
        lease = self.leases[key]
        at = renew_at(lease, LeasePolicy(67, phase(key), lease.granted_at))
        return self.clock.monotonic() + (at - self.clock.now()).total_seconds()

    def arm(self, key: str) -> None:
        self.timers.set(key, self.due(key))

    def on_due(self, key: str) -> None:
        self.rings[key] += 1
        if key in self.losing and self.rings[key] == 2:
            return  # the pass came to nothing, and nobody set the timer again
        self.renew(key)

    def on_lost(self, key: str, seconds: float) -> None:
        self.noticed.append(key)
        self.renew(key)

    def renew(self, key: str) -> None:
        age = (self.clock.now() - self.leases[key].granted_at).total_seconds()
        self.latest = max(self.latest, age / LIFE)
        self.expired += age >= LIFE
        self.renewals.append(self.clock.monotonic())
        self.start(key)

    def deadlines(self) -> Iterator[Watched[str]]:
        for key, lease in self.leases.items():
            ends = self.clock.monotonic() + (lease.ends - self.clock.now()).total_seconds()
            yield Watched(key, self.due(key), ends)


async def test_ten_thousand_leases_of_a_minute_are_renewed_evenly_and_none_runs_out() -> None:
    fleet = Fleet(FakeClock())
    for number in range(10_000):
        fleet.start(f"uid-{number}")
    tasks = [asyncio.ensure_future(fleet.timers.run())]
    await fleet.clock.advance(121)
    seconds = Counter(int(at) for at in fleet.renewals)
    steady = [seconds[second] for second in range(41, 120)]
    assert max(seconds.values()) <= 1.3 * sum(steady) / len(steady)
    assert fleet.expired == 0
    assert fleet.latest < 0.9
    for task in tasks:
        task.cancel()


async def test_of_a_thousand_leases_those_that_lose_their_timer_are_renewed_before_nine_tenths() -> None:
    lost = frozenset(f"uid-{number}" for number in range(0, 1000, 50))
    fleet = Fleet(FakeClock(), losing=lost)
    for number in range(1000):
        fleet.start(f"uid-{number}")
    tasks = [asyncio.ensure_future(fleet.timers.run()), asyncio.ensure_future(fleet.watchdog.run())]
    await fleet.clock.advance(200)
    assert set(fleet.noticed) == lost
    assert len(fleet.noticed) == len(lost)
    assert fleet.expired == 0
    assert fleet.latest < 0.9
    for task in tasks:
        task.cancel()
