"""Is this process alive, and is it ready?

Alive: the event loop runs, and no watch has fallen silent. A watch that keeps failing with an error
does not count: it is being tried again, and a restart would only lose the caches. Ready: every cache
has its first list, whether this process leads or stands by. Invariant: asking changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vso.core.clock import Clock
from vso.core.errors import VsoError

_BEAT = 1.0
"""Seconds between two heartbeats."""


class Feed(Protocol):
    """What is asked of an informer."""

    name: str
    last_error: VsoError | None

    @property
    def synced(self) -> bool:
        """Whether the first list is there."""
        ...

    def last_contact(self) -> float:
        """When the server last said something, on the monotonic clock."""
        ...


class Health:
    """The heartbeat of the event loop, and what the feeds say of themselves."""

    def __init__(
        self, clock: Clock, feeds: Sequence[Feed], *, silence_limit: float = 600.0, lag_limit: float = 10.0
    ) -> None:
        self._clock = clock
        self._feeds = feeds
        self._silence_limit = silence_limit
        self._lag_limit = lag_limit
        self._beat = clock.monotonic()
        self._lag = 0.0

    async def run(self) -> None:
        """Beat until cancelled."""
        self._beat = self._clock.monotonic()
        while True:
            await self._clock.sleep(_BEAT)
            now = self._clock.monotonic()
            self._lag, self._beat = now - self._beat - _BEAT, now

    def ill(self) -> tuple[str, ...]:
        """Return why the process should be restarted; nothing when it is alive."""
        now = self._clock.monotonic()
        # After a blockade the question may be answered before the next beat, or after it.
        lag = max(self._lag, now - self._beat - _BEAT)
        found = [f"the event loop stood still for {lag:.0f} s"] if lag > self._lag_limit else []
        for feed in self._feeds:
            silence = now - feed.last_contact()
            if silence > self._silence_limit and feed.last_error is None:
                found.append(f"{feed.name} has heard nothing for {silence:.0f} s")
        return tuple(found)

    def unready(self) -> tuple[str, ...]:
        """Return what is still awaited; nothing when the process is ready."""
        return tuple(
            f"{feed.name} is not listed yet{f': {feed.last_error}' if feed.last_error else ''}"
            for feed in self._feeds
            if not feed.synced
        )


class Probes:
    """Answers before there is anything to ask: alive and not ready, until a Health is there to follow."""

    def __init__(self) -> None:
        self._health: Health | None = None

    def follow(self, health: Health) -> None:
        """Pass the questions on from now on."""
        self._health = health

    def ill(self) -> tuple[str, ...]:
        """Return why the process should be restarted."""
        return () if self._health is None else self._health.ill()

    def unready(self) -> tuple[str, ...]:
        """Return what is still awaited."""
        return ("the API server is awaited",) if self._health is None else self._health.unready()
