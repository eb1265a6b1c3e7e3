"""What the logins by a VaultAuth have come to, as far as its status tells it.

Invariant: pure. Cautions are told at once; what differs with every newcomer is told when it has stayed the
same for a while, so that fifty logins are one status write.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

SETTLED_AFTER = 2.0
"""Seconds without a newcomer, a departure, or a newcomer's login that fails or works."""
TURNED_AFTER = 60.0
"""Seconds without one more of the others who cannot log in, or can again: what befalls a mount reaches each identity
in its turn, when its token ends or it asks for something."""
NEWCOMER_FOR = 10.0
"""Seconds after which an identity that has not logged in may have done so in an earlier process: a restart has a
session for each at once, and logins when they have something to ask."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the logins of one identity have come to."""

    cautions: tuple[str, ...] | None = None
    """What is to be known of the latest token; None before the first login of this process."""
    token_type: str = ""
    """Of the latest token; empty before it."""
    failing: bool = False
    """Whether nothing can be asked for want of a login: its credential is missing or not accepted, say."""
    passing: bool = False
    """Whether it fails for what passes by itself: nobody has said that this identity cannot log in."""

    @property
    def counted(self) -> bool:
        """Whether it is one of those who log in, or will."""
        return self.passing or not self.failing


def settles_after(before: Standing, now: Standing, age: float) -> float:
    """Return the seconds without another such change after which this one of an identity seen for `age` is told."""
    # A first login turns nothing, however late it comes: it was counted on as long as it had not failed.
    first = not before.token_type and (age < NEWCOMER_FOR or before.counted == now.counted)
    return SETTLED_AFTER if first else TURNED_AFTER


@dataclass(frozen=True, slots=True)
class LoginNews:
    """An identity's logins have come to something else than before."""

    auth: str
    """namespace/name of the VaultAuth, whose summary is another now or will be."""
    consumer: str
    """The namespace; empty for all of them."""
    told_in: float | None = None
    """Seconds until the summary is to be told, where it has changed."""
    works_again: bool = False
    """Whether they have failed before: whoever has failed with them need not wait any longer."""
    try_again: bool = False
    """Whether one of those who have failed should try again, for all of them: it was too early for one before."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the logins of all identities of a VaultAuth have come to."""

    cautions: tuple[str, ...] | None
    """None while nobody has logged in."""
    token_type: str
    """Empty while nobody has logged in."""
    identities: int
    """How many log in, or will when they have something to ask and what they need is there: nobody refuses them."""
    settles_in: float
    """Seconds until type and number may be told: they have changed a moment ago."""


def summary(standings: Collection[Standing], settles_in: float) -> Summary:
    """Return what is to be told of all of them."""
    known = [standing.cautions for standing in standings if standing.cautions is not None]
    cautions = tuple(sorted({text for cautions in known for text in cautions})) if known else None
    types = sorted({standing.token_type for standing in standings if standing.token_type})
    count = sum(standing.counted for standing in standings)
    return Summary(cautions, ", ".join(types), count, settles_in)
