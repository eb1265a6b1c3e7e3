from __future__ import annotations

import copy
from typing import Any

import pytest

from vso.sandbox.patches import PatchError, json_patch, merge, strategic

SECRET: dict[str, Any] = {"metadata": {"uid": "u1", "labels": {"a": "1"}}, "data": {"x": "eA=="}, "list": [1, 2, 3]}


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        pytest.param({}, SECRET, id="empty-changes-nothing"),
        pytest.param({"data": {"y": "eQ=="}}, SECRET | {"data": {"x": "eA==", "y": "eQ=="}}, id="merges-maps"),
        pytest.param({"data": None}, {k: v for k, v in SECRET.items() if k != "data"}, id="null-removes"),
        pytest.param({"list": [9]}, SECRET | {"list": [9]}, id="lists-are-replaced"),
        pytest.param(
            {"data": {"n": {"k": None, "l": 1}}},
            SECRET | {"data": {"x": "eA==", "n": {"l": 1}}},
            id="new-maps-drop-nulls",
        ),
    ],
)
def test_merge(patch: dict[str, Any], expected: dict[str, Any]) -> None:
    before = copy.deepcopy(SECRET)
    assert merge(SECRET, patch) == expected
    assert before == SECRET


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        pytest.param({"op": "test", "path": "/metadata/uid", "value": "u1"}, SECRET, id="test-holds"),
        pytest.param(
            {"op": "add", "path": "/data", "value": {"z": "1"}}, SECRET | {"data": {"z": "1"}}, id="add-replaces-whole"
        ),
        pytest.param({"op": "add", "path": "/list/1", "value": 9}, SECRET | {"list": [1, 9, 2, 3]}, id="add-inserts"),
        pytest.param({"op": "add", "path": "/list/-", "value": 9}, SECRET | {"list": [1, 2, 3, 9]}, id="add-appends"),
        pytest.param({"op": "replace", "path": "/list/0", "value": 9}, SECRET | {"list": [9, 2, 3]}, id="replace"),
        pytest.param({"op": "replace", "path": "/new", "value": 9}, SECRET | {"new": 9}, id="replace-may-add"),
        pytest.param({"op": "remove", "path": "/list/2"}, SECRET | {"list": [1, 2]}, id="remove"),
        pytest.param({"op": "copy", "from": "/list", "path": "/data"}, SECRET | {"data": [1, 2, 3]}, id="copy"),
        pytest.param(
            {"op": "add", "path": "/data/a~1b~0", "value": "1"},
            SECRET | {"data": {"x": "eA==", "a/b~": "1"}},
            id="escapes",
        ),
    ],
)
def test_json_patch(operation: dict[str, Any], expected: dict[str, Any]) -> None:
    before = copy.deepcopy(SECRET)
    assert json_patch(SECRET, [operation]) == expected
    assert before == SECRET


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param({"op": "test", "path": "/metadata/uid", "value": "u2"}, id="test-fails"),
        pytest.param({"op": "test", "path": "/nowhere", "value": None}, id="test-on-nothing"),
        pytest.param({"op": "replace", "path": "/nowhere/at/all", "value": 1}, id="replace-in-nothing"),
        pytest.param({"op": "remove", "path": "/nowhere"}, id="remove-nothing"),
        pytest.param({"op": "add", "path": "/list/7", "value": 1}, id="index-beyond-the-end"),
        pytest.param({"op": "add", "path": "/a/b", "value": 1}, id="no-parent"),
        pytest.param({"op": "guess", "path": "/data"}, id="unknown-operation"),
    ],
)
def test_json_patch_that_does_not_fit(operation: dict[str, Any]) -> None:
    with pytest.raises(PatchError):
        json_patch(SECRET, [operation])


def test_strategic_merges_containers_by_name() -> None:
    old = {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]}
    patch = {"containers": [{"name": "b", "image": "2"}, {"name": "c"}], "$setElementOrder/containers": []}
    assert strategic(old, patch) == {
        "containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c"}]
    }


def test_strategic_deletes_an_element() -> None:
    old = {"containers": [{"name": "a"}, {"name": "b"}]}
    assert strategic(old, {"containers": [{"name": "a", "$patch": "delete"}]}) == {"containers": [{"name": "b"}]}
