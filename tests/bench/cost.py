"""What a process uses: its processor time beside the time that passes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What was used from one moment to another, in seconds."""

    wall: float
    cpu: float

    def beside(self, floor: float) -> str:
        """The processor time, and how many times a floor that is."""
        return f"{self.cpu:.1f} s, {self.cpu / floor:.1f} x"
