"""Series of passes: whatever happens, kstatus and the times are right, and an outage costs two writes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fakes.assessed import AWAY, GONE, NEW, POLICY, SECOND, SYNCED, VALID
from tests.fakes.clock import T0
from vso.api.meta import Condition, Status
from vso.core.errors import Reason
from vso.decide.assess import assess
from vso.decide.conditions import changed, find_condition
from vso.decide.outcome import Cure, Failing, InOrder, Outcome, Standing, Suspended


def test_an_outage_costs_two_status_writes_until_the_data_is_stale() -> None:
    status: Status = SYNCED
    writes = []
    for second in range(0, 600, 7):
        new = assess(AWAY, status, 1, T0 + second * SECOND, POLICY).on(status)
        if changed(status, new):
            writes.append(second)
            status = new
    recovered = assess(InOrder(), status, 1, T0 + 601 * SECOND, POLICY).on(status)
    assert (writes, changed(status, recovered)) == ([0], True)


def kstatus(status: Status, generation: int) -> str:
    """Read a status as kstatus does."""
    if status.observed_generation != generation:
        return "InProgress"
    for condition in status.conditions:
        if condition.status == "True" and condition.type in {"Reconciling", "Stalled"}:
            return "InProgress" if condition.type == "Reconciling" else "Failed"
    ready = find_condition(status.conditions, "Ready")
    return "Current" if ready is None or ready.status == "True" else "InProgress"


KSTATUS = {
    Standing.IN_ORDER: "Current",
    Standing.HOLDING: "Current",
    Standing.UNDER_WAY: "InProgress",
    Standing.STALLED: "Failed",
    Standing.RESTING_UNSYNCED: "InProgress",
}
FAILURES = st.builds(
    Failing,
    reason=st.sampled_from(Reason),
    message=st.text(max_size=10),
    cure=st.sampled_from(Cure),
    data_age=st.none() | st.timedeltas(timedelta(0), timedelta(hours=1)),
    remaining=st.none() | st.timedeltas(timedelta(0), timedelta(hours=1)),
    lasting=st.none() | st.timedeltas(timedelta(0), timedelta(hours=1)),
    connection=st.sampled_from(["", "app/vault", "app/other"]),
)
OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(st.builds(InOrder), FAILURES, st.builds(Suspended))
STARTS: st.SearchStrategy[Any] = st.sampled_from([NEW, VALID])


@settings(deadline=None)
@given(STARTS, st.lists(st.tuples(OUTCOMES, st.integers(0, 900), st.booleans()), min_size=1, max_size=8))
@example(VALID, [(InOrder(), 0, False), (GONE, 0, False)])
def test_whatever_happens(start: Status, steps: list[tuple[Outcome, int, bool]]) -> None:
    status, generation, now = start, 1, T0
    for outcome, seconds, edited in steps:
        generation, now = generation + edited, now + seconds * SECOND
        found = assess(outcome, status, generation, now, POLICY)
        new = found.on(status)
        types = [condition.type for condition in new.conditions]
        assert len(set(types)) == len(types)
        assert not {"Reconciling", "Stalled"} <= set(types)
        assert not set(types[1:]) & {"Reconciling", "Stalled"}
        assert kstatus(new, generation) == KSTATUS.get(found.standing, kstatus(new, generation))
        assert_times(status.conditions, new.conditions, now)
        assert found.requeue_after is None or found.requeue_after > 0
        # The same outcome at the same moment is nothing new.
        again = assess(outcome, new, generation, now, POLICY)
        assert not changed(new, again.on(new)) or again.standing is not found.standing
        status = new


def assert_times(old: tuple[Condition, ...], new: tuple[Condition, ...], now: datetime) -> None:
    for condition in new:
        before = find_condition(old, condition.type)
        moved = before is None or before.status != condition.status
        assert condition.last_transition_time == (now if moved or before is None else before.last_transition_time)
