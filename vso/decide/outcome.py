"""How a pass ends, and where that leaves the object.

Invariant: an outcome is all that a controller tells about a pass; what the status says of it is
decided in one place for every kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TypeAlias

from vso.core.backoff import Backoff
from vso.core.errors import ExpiredError, Reason, TerminalError, TransientError, VsoError
from vso.decide.conditions import Finding

DANGLING = frozenset(
    {
        Reason.REFERENCE_NOT_FOUND,
        Reason.REFERENCE_NOT_READY,
        Reason.SERVICE_ACCOUNT_NOT_FOUND,
        Reason.DESTINATION_MISSING,
    }
)
"""What is often only a matter of order: applied together, the other object comes a moment later."""


UNTOLD = frozenset({Reason.KUBERNETES_FORBIDDEN})
"""What a human mends where no watch looks, and an API server that has just started refuses too: tried again soon."""


class Cure(Enum):
    """What ends a failure."""

    TIME = "it passes by itself"
    CHANGE = "something that it depends on must change"
    EDIT = "only an edit of the object helps"


@dataclass(frozen=True, slots=True)
class InOrder:
    """The pass did all that was to be done."""

    message: str = "in order"
    also: tuple[Finding, ...] = ()
    """Conditions of the kind's own, such as RolloutRestart."""


@dataclass(frozen=True, slots=True)
class Failing:
    """The pass met a failure; unknown times are taken from the conditions of the previous status."""

    reason: Reason
    message: str
    cure: Cure
    data_age: timedelta | None = None
    """Since when the source has not been confirmed; of polls too, not of passes alone."""
    remaining: timedelta | None = None
    """How much longer what is there is good, where a lease or certificate says so."""
    lasting: timedelta | None = None
    """How long it has been failing without a break."""
    connection: str = ""
    """namespace/name of the VaultConnection that it was met on, where that is known."""
    also: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, error: VsoError, connection: str = "") -> Failing:
        """Return the failure that an error stands for, and the VaultConnection that it was met on."""
        return cls(error.reason, error.message, _cure(error), connection=connection)


@dataclass(frozen=True, slots=True)
class Suspended:
    """The object asks to be left alone."""


Outcome: TypeAlias = InOrder | Failing | Suspended


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient we are; the words of the messages come from here too."""

    backoff: Backoff = field(default_factory=Backoff)
    recheck: timedelta = timedelta(minutes=5)
    """Pause between looks while a human must act."""
    patience: timedelta = timedelta(seconds=30)
    """How long a dangling reference counts as being on its way."""
    stale_after: timedelta = timedelta(minutes=10)
    """The object's own staleAfter, as `schedule.stale_after` tells it."""


class Standing(Enum):
    """Where an object stands; each is one row of the contract."""

    IN_ORDER = "in order"
    HOLDING = "a passing failure, and what is there is still good"
    UNDER_WAY = "not there yet, and no human need act"
    STALLED = "a human must act"
    RESTING = "suspended, synced before"
    RESTING_UNSYNCED = "suspended, never synced"


def _cure(error: VsoError) -> Cure:
    match error:
        case TransientError() | ExpiredError():
            return Cure.TIME
        case TerminalError():
            return Cure.EDIT
        case _:
            return Cure.CHANGE
