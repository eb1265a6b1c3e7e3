"""Conditions as a list that is kept: merged, ordered and compared.

Invariant: one condition per type; Reconciling and Stalled stand first and only while they hold;
lastTransitionTime moves exactly when the status does; what is compared is what a reader could act
on, so that an unchanged state is never written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from vso.api.meta import Condition, Status
from vso.core.errors import Reason

READY = "Ready"
HEALTHY = "Healthy"
RECONCILING = "Reconciling"
STALLED = "Stalled"
SECRET_SYNCED = "SecretSynced"
AVAILABLE = "Available"
"""Of a VaultAuth that has defaults from a VaultAuthGlobal: whether it gets them."""
ABNORMAL = frozenset({RECONCILING, STALLED})
"""Present while they hold and absent otherwise, as kstatus reads them."""

Truth = Literal["True", "False", "Unknown"]

_FIRST = (RECONCILING, STALLED)
# Written along with what matters and never for its own sake: who served or wrote it last.
_BYSTANDERS = ("vaultClientMeta", "lastRuntimePodUID")


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition before it is known when it began."""

    type: str
    status: Truth
    reason: Reason
    message: str = ""


def find_condition(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """Return the condition of that type."""
    return next((condition for condition in conditions if condition.type == type_), None)


def in_order(status: Status, generation: int) -> bool:
    """Tell whether the status says that this generation is in order."""
    truths = {condition.type: condition.status for condition in status.conditions}
    return status.observed_generation == generation and truths.get(READY) == truths.get(HEALTHY) == "True"


def merge_conditions(
    existing: Iterable[Condition],
    findings: Iterable[Finding],
    generation: int,
    now: datetime,
    *,
    dropped: frozenset[str] = ABNORMAL,
) -> tuple[Condition, ...]:
    """Return the conditions after the findings; types that are neither found nor dropped stay as they are."""
    before = {condition.type: condition for condition in existing}
    after = {type_: condition for type_, condition in before.items() if type_ not in dropped}
    for finding in findings:
        after[finding.type] = _since(before.get(finding.type), finding, generation, now)
    # Readers of the list take the first of Reconciling and Stalled that they meet, then look at the rest.
    return tuple(sorted(after.values(), key=lambda condition: condition.type not in _FIRST))


def _since(old: Condition | None, finding: Finding, generation: int, now: datetime) -> Condition:
    kept = old.last_transition_time if old is not None and old.status == finding.status else None
    return Condition(
        type=finding.type,
        status=finding.status,
        reason=finding.reason.value,
        message=finding.message,
        observed_generation=generation,
        last_transition_time=kept or now.astimezone(UTC).replace(microsecond=0),
    )


def changed(old: Status, new: Status) -> bool:
    """Tell whether the new status says anything that the old one does not."""
    return _essence(old) != _essence(new)


def _essence(status: Status) -> Mapping[str, Any]:
    said: dict[str, Any] = status.model_dump(mode="json", by_alias=True)
    for name in _BYSTANDERS:
        # Its first appearance is news, for those who look for it; another value is not.
        if name in said:
            said[name] = True
    said["conditions"] = {
        condition.type: (condition.status, condition.reason, condition.message, condition.observed_generation)
        for condition in status.conditions
    }
    return said
