"""How often a refused login may be tried again: the arithmetic, and the ledger that all sessions share.

Invariant: at most four refusals in fifteen minutes, at most three of them for one source, so that a
changed credential finds a try left; Vault locks accounts after the fifth. They are counted by account,
whoever logs in to it and however often that is edited, and a login under way counts as a refusal until
it has ended. Routine looks use the tries up slowly, so that a repair in Vault is noticed; urgent ones
may follow at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from vso.core.clock import Clock
from vso.runtime.workqueue import Lane

WINDOW = 900.0
TOTAL = 4
PER_SOURCE = 3
SPACING = {Lane.URGENT: 5.0, Lane.REFRESH: 290.0}
"""Seconds in which the latest refusal is told again without asking."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """When and with what credential logins were refused, oldest first."""

    entries: tuple[tuple[float, str], ...] = ()

    def refused(self, now: float, source: str) -> Refusals:
        """Return the history with one more refusal and without what has left the window."""
        return Refusals((*self._recent(now), (now, source)))

    def exhausted(self, now: float, source: str) -> bool:
        """Tell whether no try is left for this source within the window."""
        recent = self._recent(now)
        return self.count(now) >= TOTAL or sum(entry[1] == source for entry in recent) >= PER_SOURCE

    def count(self, now: float) -> int:
        """Return how many there are within the window."""
        return len(self._recent(now))

    def _recent(self, now: float) -> tuple[tuple[float, str], ...]:
        return tuple(entry for entry in self.entries if now - entry[0] < WINDOW)


Account = tuple[str, ...]
"""What Vault locks."""


@dataclass(slots=True)
class _Page:
    refusals: Refusals = Refusals()
    under_way: int = 0
    visitors: int = 0
    """Who has a login under way, or waits for a turn."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Ledger:
    """The refusals of every account."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pages: dict[Account, _Page] = {}

    def __len__(self) -> int:
        """Return how many accounts are remembered."""
        return len(self._pages)

    def exhausted(self, account: Account, source: str) -> bool:
        """Tell whether no try is left for this source."""
        page = self._pages.get(account)
        return page is not None and page.refusals.exhausted(self._clock.monotonic(), source)

    @asynccontextmanager
    async def turn(self, account: Account) -> AsyncIterator[None]:
        """Wait until the logins under way, were they all refused, would leave one more; then hold that one."""
        page = self._pages.setdefault(account, _Page())
        page.visitors += 1
        try:
            while page.under_way and page.refusals.count(self._clock.monotonic()) + page.under_way >= TOTAL:
                await page.ended.wait()
            page.under_way += 1
            try:
                yield
            finally:
                page.under_way -= 1
                page.ended.set()
                page.ended = asyncio.Event()
        finally:
            page.visitors -= 1
            self._tidy()

    def refused(self, account: Account, source: str) -> None:
        """One more refusal; for whoever holds a turn."""
        page = self._pages[account]
        page.refusals = page.refusals.refused(self._clock.monotonic(), source)

    def accepted(self, account: Account) -> None:
        """Vault begins to count anew, and so does the ledger; for whoever holds a turn."""
        self._pages[account].refusals = Refusals()

    def _tidy(self) -> None:
        now = self._clock.monotonic()
        for account in [key for key, page in self._pages.items() if not page.visitors and not page.refusals.count(now)]:
            del self._pages[account]
