"""Label selectors as predicates, in the spelling that kubectl and the API server take.

Source: Kubernetes API conventions, "Labels and selectors": `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`,
`a`, `!a`; all terms must hold. An object without the label meets `!=` and `notin`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

Labels: TypeAlias = Mapping[str, str]
Selector: TypeAlias = Callable[[Labels], bool]

OPERATOR_CLASS: Final = "vso.hashicorp.com/operator-class"
"""The label of an object that says which operator looks after it."""

_KEY, _VALUE = r"([A-Za-z0-9][-A-Za-z0-9_./]*)", r"([-A-Za-z0-9_.]*)"
_SET = re.compile(rf"^{_KEY}\s+(in|notin)\s*\(([-A-Za-z0-9_.,\s]*)\)$")
_EQUAL = re.compile(rf"^{_KEY}\s*(!=|==?)\s*{_VALUE}$")
_THERE = re.compile(rf"^(!?)\s*{_KEY}$")
_COMMA = re.compile(r",(?![^(]*\))")


def label_selector(text: str) -> Selector:
    """Return the predicate; an empty text takes everything. Raises ValueError that quotes the wrong term."""
    terms = [_term(term.strip()) for term in _COMMA.split(text) if term.strip()]
    return lambda labels: all(term(labels) for term in terms)


def _term(text: str) -> Selector:
    if found := _SET.match(text):
        key, values = found[1], {value.strip() for value in found[3].split(",")}
        within = found[2] == "in"
        return lambda labels: (labels.get(key) in values) == within
    if found := _EQUAL.match(text):
        key, value, equal = found[1], found[3], found[2] != "!="
        return lambda labels: (labels.get(key) == value) == equal
    if found := _THERE.match(text):
        key, absent = found[2], bool(found[1])
        return lambda labels: (key not in labels) == absent
    raise ValueError(f"unable to parse requirement: {text}")
