"""What all clients of one VaultConnection pass together, whatever certificate each of them shows.

Invariant: they share one count of requests in hand and one breaker, since they lead to one Vault; while that is
open, one of them alone asks `sys/health`, at most once a second, and the next one when that went badly.
"""

from __future__ import annotations

from typing import Protocol

from vso.core.clock import Clock
from vso.vault.config import ConnectionConfig
from vso.vault.gate import Gate
from vso.vault.health import Health
from vso.vault.limiter import Limiter
from vso.vault.observer import VaultObserver

_LEAST = 0.001
"""Shortest sleep: a remainder of 1e-16 s would never move a clock on."""


class Visitor(Protocol):
    """A client of the connection's."""

    @property
    def answered(self) -> bool:
        """Whether Vault has ever answered it: its certificate is let in."""
        ...

    async def health(self) -> Health:
        """Ask for Vault's health, whatever the breaker says."""
        ...


class Door:
    """The limits and the breaker of one connection."""

    def __init__(self, config: ConnectionConfig, clock: Clock, observer: VaultObserver) -> None:
        self._clock = clock
        self.limiter = Limiter(clock, config.max_concurrency, config.rate_limit)
        self.gate = Gate(clock, self.limiter.fail_waiting)
        self.gate.on_state(lambda is_open: observer.breaker(config.name, is_open=is_open))
        self._visitors: list[Visitor] = []
        self._turn = 0

    def join(self, visitor: Visitor) -> None:
        """One more client; the first one is the connection's own."""
        self._visitors.append(visitor)

    def leave(self, visitor: Visitor) -> None:
        """A client is closed."""
        if visitor in self._visitors:
            self._visitors.remove(visitor)

    async def run(self) -> None:
        """Look whether Vault is back as long as the breaker is open, once a second or more rarely."""
        while True:
            await self.gate.wait_open()
            await self._clock.sleep(max(self.gate.pause(), _LEAST))
            if self.gate.probe_due():
                await self._probe()

    async def _probe(self) -> None:
        error = (await self._next().health()).error
        self._turn += error is not None
        self.gate.probed(error)

    def _next(self) -> Visitor:
        """By turns: the certificate of one may be let in no more, and a new one is answered by nobody yet.

        Every second time one that Vault has answered before, as long as there is any.
        """
        known = [visitor for visitor in self._visitors if visitor.answered]
        others = [visitor for visitor in self._visitors if not visitor.answered]
        first, second = (known, others) if self._turn % 2 == 0 else (others, known)
        asked = first or second
        return asked[self._turn // 2 % len(asked)]
