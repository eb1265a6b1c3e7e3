"""Credentials that Vault rotates by itself: when to look at them, and whether an answer may be taken.

`last_vault_rotation` is the truth. Around a rotation Vault tells a ttl of nothing, or one that starts
again before the password has changed; with a new `last_vault_rotation` the password is new. Invariant:
pure; an answer from the rotation's own moment is not taken while patience lasts, and without a word of
the status that something is due nothing is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from vso.api.secrets import StaticCredsMetaData, VaultDynamicSecretStatus
from vso.core.errors import ConfigError, Reason

V = TypeVar("V")

VOLATILE = frozenset({"ttl", "rotation_schedule", "rotation_period", "last_vault_rotation", "_raw"})
"""Keys of the Secret that change without the credentials: they are left out of its MAC."""
PATIENCE = timedelta(seconds=60)
"""How long a rotation at hand is waited for before what Vault tells is taken as it is."""
_AFTER = timedelta(milliseconds=500)
_SPREAD = timedelta(milliseconds=150)
_SHORTEST, _LONGEST = timedelta(milliseconds=500), timedelta(seconds=30)
_NEAR = 2
"""Seconds: a ttl that short is waited for, since times are told in whole seconds."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What an answer tells of the rotations."""

    at: datetime
    """The last one."""
    period: int
    schedule: str
    ttl: int
    """Seconds until the next."""

    def told(self) -> StaticCredsMetaData:
        """Return it as the status keeps it."""
        return StaticCredsMetaData(
            last_vault_rotation=math.floor(self.at.timestamp()),
            rotation_period=self.period,
            rotation_schedule=self.schedule,
            ttl=self.ttl,
        )


def rotation_of(data: Mapping[str, object], source: object) -> Rotation | None:
    """Return what the answer tells; None for one that Vault does not rotate. `source` names it in messages."""
    text = data.get("last_vault_rotation")
    period, schedule = _whole(data.get("rotation_period")), data.get("rotation_schedule")
    if not text or not (period >= 1 or schedule):
        return None
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        raise ConfigError(Reason.SOURCE_INVALID, f"{source}: last_vault_rotation is not a time") from None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return Rotation(at, period, str(schedule or ""), _whole(data.get("ttl")))


def lasting(data: Mapping[str, V]) -> dict[str, V]:
    """Return the data without what changes from answer to answer."""
    return {name: value for name, value in data.items() if name not in VOLATILE}


def boundary(status: VaultDynamicSecretStatus) -> datetime | None:
    """Return when Vault rotates next, as the status knows; None where it rotates nothing."""
    told = status.static_creds_meta_data
    if told is None or not told.last_vault_rotation:
        return None
    return datetime.fromtimestamp(status.last_renewal_time + told.ttl, UTC)


def due_at(status: VaultDynamicSecretStatus, phase: float) -> datetime | None:
    """Return when to look for the next rotation: a little after it, and not all objects at once."""
    ends = boundary(status)
    return None if ends is None else ends + _AFTER + _SPREAD * phase


def look_at(now: datetime, period: timedelta, phase: float) -> datetime:
    """Return the next look for a rotation by hand: a point of the object's own grid, which a restart keeps."""
    step = period.total_seconds()
    offset = phase * step
    point = (math.floor((now.timestamp() - offset) / step) + 1) * step + offset
    return datetime.fromtimestamp(point, UTC)


@dataclass(frozen=True, slots=True)
class Question:
    """Why Vault was asked, and what was known before."""

    known: StaticCredsMetaData | None
    """Of the credentials that the Secret holds; None when it holds none."""
    due: bool
    """The rotation was due when Vault was asked."""
    needed: bool
    """The Secret waits for the data, whether new or not."""
    waited: timedelta
    """How long the rotation has been waited for."""


def wait_for(told: Rotation, question: Question, now: datetime) -> timedelta | None:
    """Return how long to wait before asking again; None when the answer is to be taken."""
    patient = question.waited < PATIENCE
    seen, known = told.told(), question.known
    same_rule = known is None or (known.rotation_period, known.rotation_schedule) == (told.period, told.schedule)
    if known is not None and seen.last_vault_rotation == known.last_vault_rotation and same_rule:
        waits = patient or not question.needed if told.ttl <= 0 else question.due and patient
    elif known is not None and seen.last_vault_rotation < known.last_vault_rotation:
        waits = patient  # a server that lags behind, or one that was put back to an older state
    else:
        waits = patient and (told.ttl <= 0 or (known is None and _started_again(told, now)))
    return _pause(told, question.waited) if waits else None


def moved(status: VaultDynamicSecretStatus, told: Rotation | None, now: datetime) -> bool:
    """Tell whether the status would say something else of the rotations: counting down is nothing new."""
    known, ends = status.static_creds_meta_data, boundary(status)
    if told is None or known is None or ends is None:
        return (told is None) != (ends is None)
    seen = told.told()
    if seen.model_copy(update={"ttl": known.ttl}) != known:
        return True
    return abs(now + timedelta(seconds=told.ttl) - ends) > timedelta(seconds=2 * _NEAR)


def _started_again(told: Rotation, now: datetime) -> bool:
    """Tell whether the ttl is that of a rotation that has not happened: by it, the last one is a period too old."""
    if not told.period:
        return False
    by_ttl, by_clock = told.period - told.ttl, (now - told.at).total_seconds()
    return by_clock - by_ttl > max(_NEAR, told.period / 2)


def _pause(told: Rotation, waited: timedelta) -> timedelta:
    if 0 < told.ttl <= _NEAR:
        return timedelta(seconds=told.ttl) + _AFTER
    return min(_LONGEST, max(_SHORTEST, waited / 2))


def _whole(value: object) -> int:
    try:
        return int(float(str(value)))
    except ValueError:
        return 0
