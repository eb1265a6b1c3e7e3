from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vso.decide.sync import FRESH, Compared, Facts, SyncPlan, Why, plan_look, plan_sync, restart_owed

AT_REST = Facts(
    synced_uid="uid-1",
    generation=3,
    last_generation=3,
    in_order=True,
    resync_asked=False,
    touched=False,
    secret_missing=False,
    secret_drifted=False,
    drift_check_due=False,
    source_changed=False,
    restart_due=False,
)
ROWS: list[tuple[dict[str, Any], Why]] = [
    ({"synced_uid": ""}, Why.FIRST_SYNC),
    ({"last_generation": 2}, Why.SPEC_CHANGED),
    ({"resync_asked": True}, Why.RESYNC),
    ({"touched": True}, Why.OBJECT_TOUCHED),
    ({"secret_missing": True}, Why.SECRET_MISSING),
    ({"secret_drifted": True}, Why.SECRET_DRIFTED),
    ({"drift_check_due": True}, Why.DRIFT_CHECK),
    ({"source_changed": True}, Why.SOURCE_CHANGED),
    ({"in_order": False}, Why.NOT_IN_ORDER),
    ({"restart_due": True}, Why.RESTART_DUE),
]


def test_an_object_at_rest_asks_for_nothing() -> None:
    assert plan_look(AT_REST) is None


@pytest.mark.parametrize(("fact", "why"), [pytest.param(fact, why, id=why) for fact, why in ROWS])
def test_each_fact_alone_asks_for_a_look(fact: dict[str, Any], why: Why) -> None:
    assert plan_look(replace(AT_REST, **fact)) is why


def test_the_table_has_a_row_for_every_reason() -> None:
    assert [why for _, why in ROWS] == sorted(Why, key=[why for _, why in ROWS].index)
    assert {why for _, why in ROWS} == set(Why)


@pytest.mark.parametrize("place", range(len(ROWS)), ids=[why for _, why in ROWS])
def test_of_several_facts_the_first_in_the_table_counts(place: int) -> None:
    together: dict[str, Any] = {}
    for fact, _ in ROWS[place:]:
        together.update(fact)
    assert plan_look(replace(AT_REST, **together)) is ROWS[place][1]


FACTS = st.builds(
    Facts,
    synced_uid=st.sampled_from(["", "uid-1"]),
    generation=st.integers(1, 3),
    last_generation=st.integers(0, 3),
    **{
        field.name: st.booleans()
        for field in fields(Facts)
        if field.name not in {"synced_uid", "generation", "last_generation"}
    },
)


@given(FACTS)
def test_a_look_is_planned_exactly_when_something_holds(facts: Facts) -> None:
    at_rest = replace(AT_REST, generation=facts.generation, last_generation=facts.generation)
    assert (plan_look(facts) is None) == (facts == at_rest)


@given(FACTS)
def test_only_somebody_who_asked_gets_a_fresh_read(facts: Facts) -> None:
    why = plan_look(facts)
    if why in FRESH:
        assert facts.resync_asked or facts.touched


SAME = Compared(name="db", recorded_name="db", digest="d1", recorded_digest="d1")
NOTHING = SyncPlan(write=False, metadata=False, data_changed=False, orphan="")
DATA = SyncPlan(write=True, metadata=False, data_changed=False, orphan="")
WHOLE = SyncPlan(write=True, metadata=True, data_changed=False, orphan="")
REPAIR = replace(WHOLE, repair=True)


@pytest.mark.parametrize(
    ("why", "expected"),
    [
        pytest.param(Why.FIRST_SYNC, WHOLE, id="first-sync-writes-all"),
        pytest.param(Why.SPEC_CHANGED, WHOLE, id="changed-spec-writes-all"),
        pytest.param(Why.SECRET_MISSING, REPAIR, id="missing-is-written-anew"),
        pytest.param(Why.SECRET_DRIFTED, REPAIR, id="drifted-is-written-over"),
        pytest.param(Why.DRIFT_CHECK, DATA, id="check-writes-what-should-be-there"),
        pytest.param(Why.RESYNC, NOTHING, id="resync"),
        pytest.param(Why.OBJECT_TOUCHED, NOTHING, id="touched"),
        pytest.param(Why.SOURCE_CHANGED, NOTHING, id="source-with-the-same-data"),
        pytest.param(Why.NOT_IN_ORDER, NOTHING, id="recovered"),
        pytest.param(Why.RESTART_DUE, NOTHING, id="restart"),
    ],
)
def test_unchanged_data_is_written_only_where_the_destination_is_in_doubt(why: Why, expected: SyncPlan) -> None:
    assert plan_sync(why, SAME) == expected


@pytest.mark.parametrize("why", Why)
def test_changed_or_unknown_data_is_always_written(why: Why) -> None:
    for recorded in ("d0", ""):
        plan = plan_sync(why, replace(SAME, recorded_digest=recorded))
        assert plan.write
        assert plan.data_changed
        assert plan.orphan == ""


@pytest.mark.parametrize("why", Why)
def test_a_rename_writes_all_and_names_the_orphan(why: Why) -> None:
    plan = plan_sync(why, replace(SAME, recorded_name="old-db"))
    assert plan == replace(REPAIR if plan.repair else WHOLE, orphan="old-db")


def test_without_a_recorded_name_nothing_is_renamed() -> None:
    assert plan_sync(Why.FIRST_SYNC, Compared("db", "", "d1", "")).orphan == ""


@pytest.mark.parametrize(
    ("rolled_out", "digest", "owed"),
    [
        pytest.param("", "d1", False, id="nothing-recorded-means-adopt"),
        pytest.param("d1", "d1", False, id="the-same"),
        pytest.param("d0", "d1", True, id="older-data-runs"),
        pytest.param("", "", False, id="nothing-at-all"),
    ],
)
def test_restart_owed(rolled_out: str, digest: str, owed: bool) -> None:
    assert restart_owed(rolled_out, digest) is owed
