from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from vso.sandbox.managers import record

NOW = FakeClock().now()


def obj(labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None) -> dict[str, Any]:
    metadata = {"labels": labels or {}, "annotations": annotations or {}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}


def owned(found: dict[str, Any]) -> dict[str, dict[str, set[str]]]:
    return {
        entry["manager"]: {part: set(keys) for part, keys in entry["fieldsV1"]["f:metadata"].items()}
        for entry in found["metadata"].get("managedFields", ())
    }


def written(manager: str, old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    record(new, old, manager, NOW)
    return new


def test_who_creates_an_object_owns_its_labels_and_annotations() -> None:
    found = written("ours", None, obj({"a": "1"}, {"b": "2"}))
    assert owned(found) == {"ours": {"f:labels": {"f:a"}, "f:annotations": {"f:b"}}}


def test_a_field_goes_to_whoever_changes_its_value_and_the_others_stay() -> None:
    first = written("ours", None, obj({"a": "1", "b": "1"}))
    second = written("theirs", first, obj({"a": "2", "b": "1"}))
    assert owned(second) == {"ours": {"f:labels": {"f:b"}}, "theirs": {"f:labels": {"f:a"}}}


def test_a_field_that_is_gone_belongs_to_nobody() -> None:
    first = written("ours", None, obj({"a": "1"}))
    assert owned(written("theirs", first, obj())) == {}


def test_a_write_that_changes_no_such_field_keeps_the_record() -> None:
    first = written("ours", None, obj({"a": "1"}))
    assert written("theirs", first, obj({"a": "1"}))["metadata"]["managedFields"] == first["metadata"]["managedFields"]


def secret(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": data}


def test_data_has_its_managers_too() -> None:
    first = written("ours", None, secret(a="1", b="1"))
    second = written("theirs", first, secret(a="2", b="1"))
    found = {entry["manager"]: entry["fieldsV1"] for entry in second["metadata"]["managedFields"]}
    assert found == {"ours": {"f:data": {"f:b": {}}}, "theirs": {"f:data": {"f:a": {}}}}


@pytest.mark.parametrize(
    ("new", "moves"),
    [
        pytest.param(secret(a="1", b="2"), True, id="a-value"),
        pytest.param(secret(a="1", b="1", c="1"), True, id="a-key-more"),
        pytest.param(secret(a="1", b="1"), False, id="nothing"),
        pytest.param(secret(a="1"), False, id="a-key-less"),
    ],
)
def test_a_managers_time_moves_when_it_gives_a_field_a_value(new: dict[str, Any], moves: bool) -> None:
    first = written("ours", None, secret(a="1", b="1"))
    record(new, first, "ours", NOW + timedelta(seconds=5))
    (entry,) = new["metadata"]["managedFields"]
    assert entry["time"] == ("2026-01-01T12:00:05Z" if moves else "2026-01-01T12:00:00Z")


def test_an_unnamed_writer_leaves_no_record() -> None:
    assert owned(written("", None, obj({"a": "1"}))) == {}
