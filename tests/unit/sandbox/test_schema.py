from __future__ import annotations

from typing import Any

import pytest

from vso.sandbox.schema import shape, validate

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "required": ["path"],
            "properties": {
                "path": {"type": "string", "minLength": 1, "maxLength": 5},
                "type": {"type": "string", "enum": ["kv-v1", "kv-v2"], "default": "kv-v2"},
                "after": {"type": "string", "pattern": "^[0-9]+s$"},
                "percent": {"type": "integer", "minimum": 0, "maximum": 90, "default": 67},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "items": {
                    "type": "array",
                    "maxItems": 2,
                    "items": {"type": "object", "properties": {"on": {"type": "boolean", "default": True}}},
                },
                "maybe": {"type": "string", "nullable": True},
            },
        },
        "status": {"type": "object", "default": {"observed": -1}, "properties": {"observed": {"type": "integer"}}},
    },
}
DEFAULTS = {"type": "kv-v2", "percent": 67}


@pytest.mark.parametrize(
    ("spec", "expected", "unknown"),
    [
        pytest.param({"path": "a"}, {"path": "a"} | DEFAULTS, [], id="defaults"),
        pytest.param({"path": "a", "type": None}, {"path": "a"} | DEFAULTS, [], id="null-takes-the-default"),
        pytest.param({"x": {"y": 1}}, DEFAULTS, ["spec.x"], id="unknown-is-pruned"),
        pytest.param({"labels": {"a": "b"}}, {"labels": {"a": "b"}} | DEFAULTS, [], id="maps-keep-their-keys"),
        pytest.param({"free": {"a": {"b": 1}}}, {"free": {"a": {"b": 1}}} | DEFAULTS, [], id="preserved"),
        pytest.param(
            {"items": [{"z": 1}]}, {"items": [{"on": True}]} | DEFAULTS, ["spec.items[0].z"], id="inside-lists"
        ),
    ],
)
def test_shape(spec: dict[str, Any], expected: dict[str, Any], unknown: list[str]) -> None:
    shaped, pruned = shape(SCHEMA, {"kind": "X", "metadata": {"name": "n"}, "spec": spec})
    assert shaped == {"kind": "X", "metadata": {"name": "n"}, "spec": expected, "status": {"observed": -1}}
    assert pruned == unknown


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"path": "ok"}, None),
        ({"path": "ok", "maybe": None}, None),
        ({}, "spec.path: Required value"),
        ({"path": 7}, 'spec.path: Invalid value: "integer": spec.path in body must be of type string: "integer"'),
        ({"path": "a", "type": "x"}, 'spec.type: Unsupported value: "x": supported values: "kv-v1", "kv-v2"'),
        ({"path": "a", "after": "1"}, "spec.after: Invalid value: \"1\": spec.after in body should match '^[0-9]+s$'"),
        ({"path": ""}, 'spec.path: Invalid value: "": spec.path in body should be at least 1 chars long'),
        ({"path": "abcdef"}, "spec.path: Too long: may not be more than 5 bytes"),
        (
            {"path": "a", "percent": -1},
            "spec.percent: Invalid value: -1: spec.percent in body should be greater than or equal to 0",
        ),
        (
            {"path": "a", "percent": 91},
            "spec.percent: Invalid value: 91: spec.percent in body should be less than or equal to 90",
        ),
        ({"path": "a", "items": [{}, {}, {}]}, "spec.items: Too many: 3: must have at most 2 items"),
        (
            {"path": "a", "labels": {"k": 1}},
            'spec.labels.k: Invalid value: "integer": spec.labels.k in body must be of type string: "integer"',
        ),
    ],
)
def test_validate(spec: dict[str, Any], complaint: str | None) -> None:
    assert [str(error) for error in validate(SCHEMA, {"kind": "X", "spec": spec})] == ([complaint] if complaint else [])
