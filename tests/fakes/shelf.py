"""A shelf of memory that outlives the processes of a test."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from vso.core.errors import Reason, VsoError
from vso.vault.keeping import KeptToken


@dataclass
class MemoryShelf:
    """Keeps what it is given, unless told to fail."""

    kept: dict[str, KeptToken] = field(default_factory=dict)
    puts: int = 0
    failing: bool = False
    accessors_only: bool = False
    complaints: list[Reason] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Puts wait for it; open unless a test closes it."""

    def __post_init__(self) -> None:
        self.gate.set()

    async def put(self, kept: KeptToken) -> bool:
        self.puts += 1
        await self.gate.wait()
        if self.failing:
            return False
        self.kept[kept.id] = replace(kept, token=None) if self.accessors_only else kept
        return True

    async def find(self, name: str, session: str) -> KeptToken | None:
        found = self.kept.get(name)
        return found if found is not None and found.session == session else None

    async def drop(self, name: str, *, ended: bool) -> None:
        self.kept.pop(name, None)

    def not_restored(self, session: str, error: VsoError) -> None:
        self.complaints.append(error.reason)
