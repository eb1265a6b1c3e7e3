from __future__ import annotations

import re

import pytest

from vso.core.label_selector import label_selector

LABELS = {"app": "web", "tier": "front"}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=front", True),
        ("app=api", False),
        ("app!=api", True),
        ("missing!=x", True),
        ("app in (api, web)", True),
        ("app notin (web)", False),
        ("missing notin (web)", True),
        ("app", True),
        ("!app", False),
        ("!missing,app in (web,api),tier", True),
    ],
)
def test_a_selector(selector: str, matches: bool) -> None:
    assert label_selector(selector)(LABELS) is matches


@pytest.mark.parametrize("text", ["a b", "=x", "a=b=c", "a in b", "tier>1", "team;x", "a=b;c", "a in (b;c)"])
def test_one_that_cannot_be_understood_is_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=f"unable to parse requirement: {re.escape(text)}$"):
        label_selector(text)
