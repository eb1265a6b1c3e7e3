"""What the status says after a pass, for every kind alike: from an outcome to conditions.

The standings and their conditions are the contract that kstatus, Argo CD and `kubectl wait` read.
Invariant: Reconciling while it passes by itself, Stalled when a human must act, never both; every
outcome says which generation it speaks of; no text names a time, so a failure that goes on writes
nothing, and neither does an outage whose cause changes; a passing failure never makes an object Ready.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, TypeVar, assert_never

from vso.api.meta import Condition, Status
from vso.api.shared import SecretStatus
from vso.core.errors import Reason
from vso.decide.conditions import (
    ABNORMAL,
    HEALTHY,
    READY,
    RECONCILING,
    SECRET_SYNCED,
    STALLED,
    Finding,
    Truth,
    find_condition,
    merge_conditions,
)
from vso.decide.outage import goes_on, told_elsewhere
from vso.decide.outcome import DANGLING, Cure, Failing, InOrder, Outcome, Policy, Standing, Suspended
from vso.decide.wording import RECOVERED_TEXT, SUSPENDED_TEXT, failure_text, holding_text

S = TypeVar("S", bound=Status)


@dataclass(frozen=True, slots=True)
class News:
    """An Event that a transition deserves."""

    type: Literal["Normal", "Warning"]
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the status is to say, and when it would say something else."""

    standing: Standing
    conditions: tuple[Condition, ...]
    observed_generation: int
    last_generation: int | None
    """None for kinds whose status does not have it."""
    requeue_after: float | None
    """Seconds after which a further look changes the conditions; None when only the outcome's own rule counts."""
    news: News | None

    def on(self, status: S) -> S:
        """Return the status with the assessment written into it."""
        update: dict[str, object] = {"conditions": self.conditions, "observed_generation": self.observed_generation}
        if self.last_generation is not None:
            update["last_generation"] = self.last_generation
        return status.model_copy(update=update)


_ROWS: Mapping[Standing, Mapping[str, Truth]] = {
    Standing.IN_ORDER: {READY: "True", HEALTHY: "True"},
    Standing.HOLDING: {READY: "True", HEALTHY: "False"},
    Standing.UNDER_WAY: {READY: "False", HEALTHY: "False", RECONCILING: "True"},
    Standing.STALLED: {READY: "False", HEALTHY: "False", STALLED: "True"},
    Standing.RESTING: {},
    Standing.RESTING_UNSYNCED: {READY: "False"},
}


@dataclass(frozen=True, slots=True)
class _Verdict:
    standing: Standing
    until: timedelta | None = None


@dataclass(frozen=True, slots=True)
class _Texts:
    """What the sentences depend on, besides the outcome."""

    standing: Standing
    policy: Policy
    elsewhere: str

    def of(self, failing: Failing) -> str:
        return failure_text(failing, self.standing, self.policy, self.elsewhere)


def assess(outcome: Outcome, previous: Status, generation: int, now: datetime, policy: Policy) -> Assessment:
    """Return what the status of an object at `generation` says after a pass with that outcome."""
    outcome = _named(outcome, previous, generation)
    verdict = _judge(outcome, previous, generation, now, policy)
    elsewhere = told_elsewhere(outcome, previous)
    told_already = goes_on(elsewhere, previous, generation, _ROWS[verdict.standing])
    texts = _Texts(verdict.standing, policy, elsewhere)
    found = () if told_already else _findings(outcome, texts, secret=isinstance(previous, SecretStatus))
    return Assessment(
        standing=verdict.standing,
        conditions=merge_conditions(
            previous.conditions,
            (*found, *_also(outcome)),
            generation,
            now,
            dropped=frozenset() if told_already else _dropped(verdict.standing),
        ),
        observed_generation=generation,
        last_generation=_last_generation(outcome, previous, generation),
        requeue_after=None if verdict.until is None else verdict.until.total_seconds(),
        news=None if told_already else _news(outcome, previous, texts),
    )


def _dropped(standing: Standing) -> frozenset[str]:
    return ABNORMAL | {HEALTHY} if standing is Standing.RESTING_UNSYNCED else ABNORMAL


def _judge(outcome: Outcome, previous: Status, generation: int, now: datetime, policy: Policy) -> _Verdict:
    match outcome:
        case InOrder():
            return _Verdict(Standing.IN_ORDER)
        case Suspended():
            return _Verdict(Standing.RESTING if _ever_synced(previous) else Standing.RESTING_UNSYNCED)
        case Failing(cure=Cure.TIME):
            left = _good_for(outcome, previous, now, policy)
            holds = _synced(previous, generation) and _status(previous, READY) != "False" and left > timedelta(0)
            return _Verdict(Standing.HOLDING, left) if holds else _Verdict(Standing.UNDER_WAY)
        case Failing():
            left = _patience_left(outcome, previous, generation, now, policy)
            if left <= timedelta(0):
                return _Verdict(Standing.STALLED)
            # Not everything that dangles is watched: look often while it may still come.
            return _Verdict(Standing.UNDER_WAY, min(left, timedelta(seconds=policy.backoff.initial)))
        case _:
            assert_never(outcome)


def _good_for(failing: Failing, previous: Status, now: datetime, policy: Policy) -> timedelta:
    """Return how much longer what is there counts as good."""
    if failing.remaining is not None:
        return failing.remaining
    age = failing.data_age
    if age is None:
        age = _since(previous, HEALTHY, "False", now)
    return policy.stale_after - age


def _patience_left(failing: Failing, previous: Status, generation: int, now: datetime, policy: Policy) -> timedelta:
    """Return how much longer a reference may dangle before it is reported as stalled."""
    if failing.reason not in DANGLING:
        return timedelta(0)
    if previous.observed_generation != generation:
        return policy.patience
    if _status(previous, STALLED) == "True":
        return timedelta(0)
    lasting = failing.lasting
    return policy.patience - (_since(previous, RECONCILING, "True", now) if lasting is None else lasting)


def _since(previous: Status, type_: str, status: Truth, now: datetime) -> timedelta:
    """Return how long the condition has had that status; nothing when it has not."""
    condition = find_condition(previous.conditions, type_)
    if condition is None or condition.status != status or condition.last_transition_time is None:
        return timedelta(0)
    return max(timedelta(0), now - condition.last_transition_time)


def _status(previous: Status, type_: str) -> Truth | None:
    condition = find_condition(previous.conditions, type_)
    return None if condition is None else condition.status


def _synced(previous: Status, generation: int) -> bool:
    """Tell whether this generation has been in order before."""
    if isinstance(previous, SecretStatus):
        return previous.last_generation == generation
    return previous.observed_generation == generation and _status(previous, READY) == "True"


def _ever_synced(previous: Status) -> bool:
    if isinstance(previous, SecretStatus):
        return previous.last_generation > 0
    return _status(previous, READY) is not None


def _last_generation(outcome: Outcome, previous: Status, generation: int) -> int | None:
    if not isinstance(previous, SecretStatus):
        return None
    return generation if isinstance(outcome, InOrder) else previous.last_generation


def _named(outcome: Outcome, previous: Status, generation: int) -> Outcome:
    # Vault answers alike for what was deleted and what never was; having been synced tells them apart.
    if not isinstance(outcome, Failing) or outcome.reason is not Reason.SOURCE_NOT_FOUND:
        return outcome
    if not isinstance(previous, SecretStatus):
        return outcome  # it keeps no record of a sync that would outlast the failure
    return replace(outcome, reason=Reason.SOURCE_DELETED) if _synced(previous, generation) else outcome


def _also(outcome: Outcome) -> tuple[Finding, ...]:
    return () if isinstance(outcome, Suspended) else outcome.also


def _findings(outcome: Outcome, texts: _Texts, *, secret: bool) -> tuple[Finding, ...]:
    row = _ROWS[texts.standing]
    found = tuple(_finding(type_, status, outcome, texts) for type_, status in row.items())
    if secret and HEALTHY in row:
        text = next(finding.message for finding in found if finding.type == HEALTHY)
        return (*found, Finding(SECRET_SYNCED, row[HEALTHY], Reason.SYNCED, text))
    return found


def _finding(type_: str, status: Truth, outcome: Outcome, texts: _Texts) -> Finding:
    match outcome:
        case InOrder(message=message):
            return Finding(type_, status, Reason.READY if type_ == READY else Reason.HEALTHY, message)
        case Suspended():
            return Finding(type_, status, Reason.SUSPENDED, SUSPENDED_TEXT)
        case Failing() if type_ == READY and texts.standing is Standing.HOLDING:
            return Finding(type_, status, Reason.READY, holding_text(outcome, texts.policy))
        case Failing():
            return Finding(type_, status, outcome.reason, texts.of(outcome))
        case _:
            assert_never(outcome)


def _news(outcome: Outcome, previous: Status, texts: _Texts) -> News | None:
    """Return what changed since the previous status, as an Event; nothing when it goes on as it was."""
    before = find_condition(previous.conditions, HEALTHY)
    failed_before = before is not None and before.status == "False"
    match outcome:
        case InOrder() if failed_before:
            return News("Normal", Reason.RECOVERED, RECOVERED_TEXT)
        case Failing(reason=reason) if not failed_before or before is None or before.reason != reason:
            return News("Warning", reason, texts.of(outcome))
        case _:
            return None
