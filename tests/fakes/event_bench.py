"""Streams of events, and everything that they tell.

Invariant: no time passes while bytes are on their way.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.clock import FakeClock, settle
from tests.fakes.vault_events import SUBSCRIBE, EventDesk
from tests.fakes.vault_parts import LOGIN, Credentials, Observed, Tokens, client_to, until
from tests.fakes.vault_server import Answer, VaultServer
from vso.core.backoff import Backoff
from vso.core.errors import Reason
from vso.vault.client import VaultClient
from vso.vault.config import LoginConfig
from vso.vault.events import Ears, EventStreams, Line, StreamConfig
from vso.vault.session import Session
from vso.vault.sessions import Sessions

PLACE = "kv/data/app"


@dataclass
class Bench:
    """Streams, and everything that they tell."""

    clock: FakeClock
    vault: VaultServer
    tokens: Tokens
    client: VaultClient
    sessions: Sessions
    observed: Observed
    desk: EventDesk = field(default_factory=EventDesk)
    changed: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    stood: list[frozenset[str]] = field(default_factory=list)
    streams: EventStreams[str, str] = field(init=False)
    running: asyncio.Task[None] | None = None
    trips: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        ears = Ears(self.hear, self.missed.append, self.stood.append, self.observed)
        config = StreamConfig(Backoff(initial=4, maximum=60, multiplier=2, randomization=0), recheck=300)
        self.streams = EventStreams(self.clock, random.Random(1), ears, config)
        self.answers(self.desk)

    def hear(self, place: str) -> None:
        if place in self.trips:
            raise KeyError(place)
        self.changed.append(place)

    def answers(self, *answers: Answer) -> None:
        self.vault.on("GET", SUBSCRIBE, *answers)

    def session(self, login: LoginConfig = LOGIN) -> Session:
        return self.sessions.session(self.client, login)

    def follow(self, key: str = "x", path: str = PLACE, namespace: str = "", login: LoginConfig = LOGIN) -> None:
        self.streams.follow(key, Line.of(self.session(login), namespace), {path: path})

    @property
    def attempts(self) -> int:
        return len(self.vault.asked(SUBSCRIBE))

    @property
    def up(self) -> int:
        return self.streams.statistics().up

    async def open(self, streams: int = 1) -> None:
        await until(lambda: self.desk.open == self.up == streams)

    async def says(self, message: Any) -> None:
        before = self.streams.statistics().received
        await self.desk.send(message)
        await until(lambda: self.streams.statistics().received > before)

    @property
    def tried(self) -> int:
        """How many handshakes have come to an end, good or bad."""
        return sum(operation == "subscribe" for operation, _ in self.observed.requests)

    async def rest(self) -> None:
        """Wait until every stream is open or pauses: no time passes while bytes are on their way."""
        streams = self.streams.statistics().streams
        # One more minds the tokens.
        await until(lambda: self.clock.sleeping + self.up > streams, turns=5_000_000)

    async def tries(self, number: int) -> None:
        """Let time pass until so many handshakes have been tried."""
        for _ in range(2000):
            await self.rest()
            if self.tried >= number:
                return
            await self.clock.advance(0.5)
        raise AssertionError(f"{self.tried} tries, not {number}")

    def why(self, key: str = "x") -> tuple[bool, Reason] | None:
        standing = self.streams.standing(key)
        return None if standing is None else (standing.up, standing.reason)


@asynccontextmanager
async def bench_on(**config: Any) -> AsyncIterator[Bench]:
    clock = FakeClock()
    observed = Observed()
    async with VaultServer() as vault, client_to(vault.url, clock, observed, **config) as client:
        sessions = Sessions(clock, Credentials(), observed)
        made = Bench(clock, vault, Tokens(vault, clock), client, sessions, observed)
        made.running = asyncio.ensure_future(made.streams.run())
        await settle()
        try:
            yield made
        finally:
            made.running.cancel()
            await asyncio.wait((made.running,))
