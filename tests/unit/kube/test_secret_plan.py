"""What a plan wants on a Secret beside its data, and what the metadata of one tells."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.fakes.secret_plans import DEPLOYMENT, FOREIGN, MINE, OURS, PLAN, RETAIN
from vso.kube.json import JsonObject
from vso.kube.labels import owner_labels
from vso.kube.secret_plan import SecretPlan, Seen, metadata_patch, seen_in


def test_metadata_that_is_right_needs_no_patch() -> None:
    assert metadata_patch(MINE, PLAN) is None
    assert metadata_patch(replace(MINE, labels={**MINE.labels, "argo": "x"}), PLAN) is None


def test_only_what_differs_is_patched_and_foreign_metadata_stays() -> None:
    seen = replace(MINE, labels={**PLAN.wanted_labels(), "team": "b", "argo": "x"})
    assert metadata_patch(seen, PLAN) == {"metadata": {"uid": "s-1", "labels": {"team": "a"}}}


def test_what_we_set_earlier_and_no_longer_want_is_removed() -> None:
    seen = replace(
        MINE,
        labels={**MINE.labels, "old": "1", "foreign": "2"},
        annotations={"note": "x", "gone": "1"},
        set_labels=frozenset({"old", "team"}),
        set_annotations=frozenset({"gone", "note"}),
    )
    assert metadata_patch(seen, PLAN) == {
        "metadata": {"uid": "s-1", "labels": {"old": None}, "annotations": {"gone": None}}
    }


@pytest.mark.parametrize(
    ("plan", "seen", "owners"),
    [
        pytest.param(PLAN, FOREIGN, [OURS], id="taken over"),
        pytest.param(PLAN, replace(MINE, owners=(DEPLOYMENT,)), [OURS], id="exactly ours"),
        pytest.param(PLAN, replace(MINE, owners=({**OURS, "controller": True},)), [OURS], id="four fields, no more"),
        pytest.param(RETAIN, MINE, None, id="retained: none"),
    ],
)
def test_the_owner_references_are_ours_as_a_whole(plan: SecretPlan, seen: Seen, owners: object) -> None:
    patch = metadata_patch(seen, plan)
    assert patch is not None
    assert patch["metadata"]["ownerReferences"] == owners


def test_seen_reads_the_metadata_and_who_set_it() -> None:
    fields: JsonObject = {"f:labels": {".": {}, "f:team": {}}, "f:annotations": {"f:note": {}}, "f:ownerReferences": {}}
    mine = {"manager": "vault-secrets-operator", "operation": "Update"}
    entry = {**mine, "time": "2026-01-01T12:00:00Z", "fieldsV1": {"f:metadata": fields, "f:data": {"f:a": {}}}}
    other = {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {"f:x": {}}}}}
    seen = seen_in(
        {
            "metadata": {
                "uid": "s-1",
                "resourceVersion": "9",
                "labels": {"team": "a"},
                "ownerReferences": [OURS],
                "deletionTimestamp": "2026-01-01T00:00:00Z",
                "managedFields": [entry, other],
            }
        }
    )
    assert seen == Seen(
        "s-1",
        "9",
        labels={"team": "a"},
        owners=(OURS,),
        deleting=True,
        set_labels=frozenset({"team"}),
        set_annotations=frozenset({"note"}),
        set_at=datetime(2026, 1, 1, 12, tzinfo=UTC),
        data_at=datetime(2026, 1, 1, 12, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("time", "since", "foreign"),
    [
        pytest.param("2026-01-01T12:00:00Z", datetime(2026, 1, 1, 12, tzinfo=UTC), True, id="in-that-second"),
        pytest.param("2026-01-01T12:00:00Z", datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC), False, id="before"),
        pytest.param("2026-01-01T12:00:00Z", None, True, id="since-nobody-knows-when"),
        pytest.param(None, datetime(2026, 1, 1, 13, tzinfo=UTC), True, id="nobody-knows-when"),
    ],
)
def test_a_stranger_is_told_by_the_time_of_the_data(time: str | None, since: datetime | None, foreign: bool) -> None:
    entry: JsonObject = {"manager": "kubectl", "operation": "Update", "time": time, "fieldsV1": {"f:data": {"f:a": {}}}}
    assert seen_in({"metadata": {"managedFields": [entry]}}).foreign_since(since) is foreign


OURS_ENTRY: JsonObject = {
    "manager": "vault-secrets-operator",
    "operation": "Update",
    "time": "2026-01-01T12:00:00Z",
    "fieldsV1": {"f:data": {"f:a": {}}},
}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"manager": "kubectl"}, id="somebody else's data"),
        pytest.param({"operation": "Apply"}, id="applied, which we never do"),
        pytest.param({"fieldsV1": {"f:metadata": {"f:labels": {"f:a": {}}}}}, id="labels alone"),
        pytest.param({"time": None}, id="no time"),
        pytest.param({"time": "yesterday"}, id="no such time"),
    ],
)
def test_a_time_is_taken_only_from_our_own_record_of_data(changes: JsonObject) -> None:
    assert seen_in({"metadata": {"managedFields": [OURS_ENTRY]}}).set_at is not None
    assert seen_in({"metadata": {"managedFields": [{**OURS_ENTRY, **changes}]}}).set_at is None


def test_owner_labels_win_over_those_of_the_destination() -> None:
    plan = replace(PLAN, labels={"app.kubernetes.io/name": "mine", "team": "a"})
    assert plan.wanted_labels() == {"team": "a", **owner_labels("cr-1")}


def test_a_plan_prints_no_data() -> None:
    assert "hunter2" not in repr(PLAN)
    assert "password" not in repr(PLAN)
