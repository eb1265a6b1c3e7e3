"""A shelf of memory that outlives the processes of a test."""

from __future__ import annotations

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

    async def put(self, kept: KeptToken) -> bool:
        self.puts += 1
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
