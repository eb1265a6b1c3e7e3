"""Identical calls in flight share one.

Invariant: per key at most one fetch runs, in a task of its own that belongs to all its passengers
together: one of them may be cancelled and the others get the answer; when the last one leaves, the
fetch is cancelled and waited for, so that no task is left without an owner. Nothing is cached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class _Flight(Generic[V]):
    task: asyncio.Task[V]
    passengers: int = 0


@dataclass(frozen=True, slots=True)
class FlightStatistics:
    """A snapshot for tests and metrics."""

    flights: int
    passengers: int


class SingleFlight(Generic[K, V]):
    """The calls in flight, by key."""

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[V]] = {}

    async def run(self, key: K, fetch: Callable[[], Awaitable[V]]) -> V:
        """Return what `fetch` returns, or what the call in flight under the key does."""
        flight = self._flights.get(key) or self._depart(key, fetch)
        flight.passengers += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.passengers -= 1
            if flight.passengers == 0 and not flight.task.done():
                await self._abandon(key, flight)

    def statistics(self) -> FlightStatistics:
        """Return how many fetches run and how many callers wait for them."""
        return FlightStatistics(len(self._flights), sum(flight.passengers for flight in self._flights.values()))

    def _depart(self, key: K, fetch: Callable[[], Awaitable[V]]) -> _Flight[V]:
        # Not a TaskGroup: the task outlives the caller that happened to come first.
        flight = _Flight(asyncio.get_running_loop().create_task(_await(fetch)))
        self._flights[key] = flight
        flight.task.add_done_callback(lambda _: self._landed(key, flight))
        return flight

    async def _abandon(self, key: K, flight: _Flight[V]) -> None:
        # Off the board first: who asks from now on must not board a flight that is being cancelled.
        self._landed(key, flight)
        flight.task.cancel()
        await asyncio.wait((flight.task,))

    def _landed(self, key: K, flight: _Flight[V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


async def _await(fetch: Callable[[], Awaitable[V]]) -> V:
    return await fetch()
