from __future__ import annotations

import pytest

from vso.sandbox.selectors import SelectorError, both, fields, labels

POD = {"metadata": {"name": "p", "labels": {"app": "web", "tier": "front"}}, "involvedObject": {"kind": "X"}}


@pytest.mark.parametrize(("selector", "matches"), [("app=web,tier", True), ("app=api", False)])
def test_labels(selector: str, matches: bool) -> None:
    assert labels(selector)(POD) is matches


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("metadata.name=p", True),
        ("metadata.name!=p", False),
        ("involvedObject.kind=X,metadata.name=p", True),
        ("involvedObject.name=", True),
        ("metadata.namespace=n", False),
    ],
)
def test_fields(selector: str, matches: bool) -> None:
    assert fields(selector)(POD) is matches


@pytest.mark.parametrize(("label", "field"), [("a=b=c", ""), ("a in b", ""), ("", "spec.secret=x"), ("", "name")])
def test_what_does_not_parse_is_refused(label: str, field: str) -> None:
    with pytest.raises(SelectorError):
        both(label, field)
