from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.clock import T0
from vso.api.crds import crd
from vso.core.keys import Kind
from vso.sandbox.objects import timestamp
from vso.sandbox.resources import from_crd
from vso.sandbox.tables import age, evaluate, table

OBJ: dict[str, Any] = {
    "metadata": {"name": "n", "creationTimestamp": timestamp(T0), "labels": {"a.b/c": "x"}},
    "status": {
        "version": 3,
        "conditions": [{"type": "Synced", "status": "False"}, {"type": "Ready", "status": "True"}],
    },
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".metadata.name", "n"),
        ('.status.conditions[?(@.type=="Ready")].status', "True"),
        ('.status.conditions[?(@.type == "Gone")].status', None),
        (".status.conditions[0].type", "Synced"),
        (".metadata.labels['a.b/c']", "x"),
        (".nowhere.at.all", None),
        (".metadata[*]", None),
    ],
)
def test_evaluate(path: str, expected: object) -> None:
    assert evaluate(path, OBJ) == expected


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172800, "2d")])
def test_age(seconds: int, text: str) -> None:
    assert age(timestamp(T0), T0 + timedelta(seconds=seconds)) == text


def test_a_custom_resource_shows_the_columns_of_its_definition() -> None:
    shown = table(from_crd(crd(Kind.VAULT_STATIC_SECRET)), [OBJ], T0 + timedelta(seconds=5))
    cells = dict(zip((c["name"] for c in shown["columnDefinitions"]), shown["rows"][0]["cells"], strict=True))
    assert (cells["Name"], cells["Ready"], cells["Age"]) == ("n", "True", "5s")
    assert shown["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
