"""How long to wait after the n-th failure, as arithmetic.

Invariant: no clock and no state; randomness comes in as a number in [0, 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential growth from `initial` to `maximum` seconds, spread by `randomization` both ways."""

    initial: float = 5.0
    maximum: float = 60.0
    multiplier: float = 1.5
    randomization: float = 0.5

    def __post_init__(self) -> None:
        if self.initial <= 0 or self.maximum < self.initial or self.multiplier < 1:
            raise ValueError("back-off needs 0 < initial <= maximum and multiplier >= 1")
        if not 0 <= self.randomization < 1:
            raise ValueError("back-off randomization lies in [0, 1)")

    def delay(self, failures: int, draw: float) -> float:
        """Return the seconds to wait after `failures` failures (at least 1), `draw` in [0, 1)."""
        steps = max(failures - 1, 0)
        # Compared as logarithms: after many failures the power itself overflows a float.
        grown = steps * math.log(self.multiplier) >= math.log(self.maximum / self.initial)
        centre = self.maximum if grown else self.initial * self.multiplier**steps
        return centre * (1 + self.randomization * (2 * draw - 1))
