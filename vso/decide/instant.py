"""Instant updates: what a message of Vault means, how a stream of them fares, what the status says of it.

Invariant: pure. A stream that comes and goes says nothing new: only its first success, a definite
refusal, trouble that lasts, or order that lasts after it changes the condition, so that neither an
outage nor a stream that breaks all the time costs a status write each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vso.api.meta import Condition
from vso.core.backoff import Backoff
from vso.core.errors import REMEDIES, Reason
from vso.decide.assess import News
from vso.decide.conditions import Finding, find_condition, merge_conditions

INSTANT_UPDATES = "InstantUpdates"
STABLE = 60.0
"""Seconds after which a stream that ends counts as having been in order."""
PATIENCE = 8
"""Failures in a row before a stream that fails for passing reasons is reported."""
_SPREAD = 1.0
"""Seconds within which the first try after a loss is made: many streams end together."""
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})


@dataclass(frozen=True, slots=True)
class Change:
    """Something was written in Vault; paths are the API's, plain."""

    namespace: str
    paths: frozenset[str]


def change_of(message: Mapping[str, Any]) -> Change | None:
    """Return what a notification says was changed; None for one of a read, and for what is none."""
    data = _inner(message, "data")
    metadata = _inner(_inner(data, "event"), "metadata")
    if not _is_true(metadata.get("modified")):
        return None
    # An undelete is told at its own path, with the path of what it brings back beside it.
    told = (metadata.get("path"), metadata.get("data_path"))
    paths = frozenset(path.strip("/") for path in told if isinstance(path, str) and path.strip("/"))
    namespace = data.get("namespace")
    return Change(plain_namespace(namespace if isinstance(namespace, str) else ""), paths) if paths else None


def plain_namespace(name: str) -> str:
    """Return a Vault namespace as it is compared: the whole path without outer slashes, nothing for the root."""
    plain = name.strip("/")
    return "" if plain == "root" else plain


def _inner(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = found.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _is_true(value: object) -> bool:
    return value is True or (isinstance(value, str) and value in _TRUE)


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with the stream of an object."""

    up: bool
    reason: Reason
    message: str


_POLLED = "polling goes on as spec.refreshAfter says"

UP = Standing(
    up=True,
    reason=Reason.EVENT_WATCHER_STARTED,
    message=f"Vault tells of changes as they are made; {_POLLED}",
)


def down(reason: Reason, message: str) -> Standing:
    """Return the standing of a stream that there is none of, and why."""
    remedy = REMEDIES.get(reason, "")
    parts = (message.strip().rstrip("."), remedy, _POLLED)
    return Standing(up=False, reason=reason, message="; ".join(part for part in parts if part))


@dataclass(frozen=True, slots=True)
class Course:
    """How a stream has fared so far; times are on the monotonic clock."""

    standing: Standing | None = None
    """None while nothing is known yet."""
    failures: int = 0
    """In a row, since it was in order last."""
    up_since: float | None = None

    def opened(self, now: float) -> Course:
        """Return the course after the stream was opened; after lasting trouble that is no news yet."""
        return Course(self.standing if self.failures >= PATIENCE else UP, self.failures, now)

    def settled(self, now: float) -> Course:
        """Return the course of a stream that is open still."""
        return Course(UP, 0, self.up_since) if self._stable(now) else self

    def renewed(self, now: float) -> Course:
        """Return the course of a stream that is opened anew, with another token, although nothing was wrong."""
        return Course(self.standing, self._one_more(now), None)

    def refused(self, why: Standing) -> Course:
        """Return the course after an answer that will not change by itself."""
        return Course(why, 0, None)

    def failed(self, why: Standing, now: float) -> Course:
        """Return the course after a loss, or after a try that failed for a reason that passes."""
        failures = max(1, self._one_more(now))
        # What is told already stays: one reason for the trouble is enough.
        told_down = self.standing is not None and not self.standing.up
        said = why if failures >= PATIENCE and not told_down else self.standing
        return Course(said, failures, None)

    def _one_more(self, now: float) -> int:
        """Count an end: one of a stream that was in order for a while is none."""
        return 0 if self._stable(now) else self.failures + 1

    def _stable(self, now: float) -> bool:
        return self.up_since is not None and now - self.up_since >= STABLE

    def pause(self, backoff: Backoff, draw: float) -> float:
        """Return the seconds until the next try, `draw` in [0, 1)."""
        if self.failures == 0:
            return 0.0
        return draw * _SPREAD if self.failures == 1 else backoff.delay(self.failures - 1, draw)


def conditions_with(
    existing: tuple[Condition, ...], standing: Standing | None, generation: int, now: datetime, *, asked: bool
) -> tuple[Condition, ...]:
    """Return the conditions with the one on instant updates; without it where the spec does not ask for them."""
    if not asked:
        return without(existing)
    if standing is None:
        return existing
    finding = Finding(INSTANT_UPDATES, "True" if standing.up else "False", standing.reason, standing.message)
    return merge_conditions(existing, (finding,), generation, now, dropped=frozenset())


def without(existing: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """Return the conditions without the one on instant updates."""
    return tuple(condition for condition in existing if condition.type != INSTANT_UPDATES)


def news(existing: Iterable[Condition], standing: Standing | None, *, asked: bool) -> News | None:
    """Return the Event that the change of the standing deserves; None where it stands as it was said."""
    if not asked or standing is None:
        return None
    before = find_condition(existing, INSTANT_UPDATES)
    if before is not None and (before.status == "True") == standing.up and before.reason == standing.reason:
        return None
    if standing.up:
        return News("Normal", Reason.EVENT_WATCHER_STARTED, standing.message)
    return News("Warning", Reason.EVENT_WATCHER_ERROR, f"{standing.reason}: {standing.message}")
