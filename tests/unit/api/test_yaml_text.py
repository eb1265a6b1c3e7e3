"""YAML text reads back as the value that it was made of."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from vso.api.yaml_text import to_yaml

TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), max_codepoint=0x2000))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "No", "null", "~", "1", "1e3", "0x1", "True", "", " a", "a ", "a: b", "a #b", "- a", "a\nb"),
        "^([0-9]+)$",
        "x" * 300,
        "a word and another, " * 20 + "end",
        "two  spaces " * 20 + "end",
    ],
)
def test_a_text_stays_a_text(text: str) -> None:
    assert yaml.safe_load(to_yaml({"key": text, "list": [text]})) == {"key": text, "list": [text]}


@given(VALUES)
def test_any_value_reads_back(value: JsonValue) -> None:
    assert yaml.safe_load(to_yaml(value)) == value


def test_the_text_looks_like_this() -> None:
    value: JsonValue = {"a": [{"b": 1, "c": []}, [True]], "d": {}, "e": "x: y", "f": "word " * 30 + "end"}
    assert to_yaml(value).splitlines() == [
        "a:",
        "- b: 1",
        "  c: []",
        "- - true",
        "d: {}",
        'e: "x: y"',
        "f: >-",
        "  word word word word word word word word word word word word word word word word word word word word word",
        "  word word word word word word word word word end",
    ]
