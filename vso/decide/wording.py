"""The sentences of the status: what is wrong and where, the remedy, and how it goes on.

Invariant: the same failure gives the same text whenever it is told; no time, no attempt count.
"""

from __future__ import annotations

from datetime import timedelta

from vso.core.durations import format_duration
from vso.core.errors import REMEDIES, Reason
from vso.decide.outcome import UNTOLD, Cure, Failing, Policy, Standing

RECOVERED_TEXT = "in order again"
SUSPENDED_TEXT = f"suspended before the first sync; {REMEDIES[Reason.SUSPENDED]}"
_LONGEST_MESSAGE = 1024


def failure_text(failing: Failing, standing: Standing, policy: Policy, elsewhere: str = "") -> str:
    """Return what, where, the remedy, the back-off policy, and where more is told."""
    cure = Cure.TIME if failing.reason in UNTOLD else failing.cure
    going_on = _going_on(cure, standing, policy)
    parts = (_trimmed(failing.message), REMEDIES.get(failing.reason, ""), going_on, elsewhere)
    return "; ".join(part for part in parts if part)


def holding_text(failing: Failing, policy: Policy) -> str:
    """Return why something is Ready although its last look failed."""
    if failing.remaining is not None:
        return "in use until its lease or certificate ends; Healthy says what is wrong"
    longest = format_duration(policy.stale_after)
    return f"in use until the last good look is older than {longest}; Healthy says what is wrong"


def _going_on(cure: Cure, standing: Standing, policy: Policy) -> str:
    if cure is Cure.TIME:
        first, longest = (
            format_duration(timedelta(seconds=s)) for s in (policy.backoff.initial, policy.backoff.maximum)
        )
        return f"tried again by itself, after about {first} at first and every {longest} later on"
    recheck = format_duration(policy.recheck)
    if standing is Standing.UNDER_WAY:
        patience = format_duration(policy.patience)
        return f"waited for during {patience}, then looked at again every {recheck} and on every change"
    if cure is Cure.EDIT:
        return "not looked at again before this object changes"
    return f"looked at again every {recheck} and when an object that it depends on changes"


def _trimmed(message: str) -> str:
    text = message.strip().rstrip(".")
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"
