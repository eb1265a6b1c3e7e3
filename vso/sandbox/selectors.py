"""Label and field selectors as predicates."""

from __future__ import annotations

import re
from collections.abc import Callable

from vso.core.label_selector import label_selector
from vso.sandbox.objects import JsonObject, dig

Predicate = Callable[[JsonObject], bool]
_FIELDS = ("metadata.name", "metadata.namespace", "involvedObject.", "type", "reason", "status.phase", "spec.nodeName")


class SelectorError(Exception):
    """A selector that does not parse, or a field that cannot be selected by."""


def labels(text: str) -> Predicate:
    """Return the predicate of a label selector; an empty one takes everything."""
    try:
        selected = label_selector(text)
    except ValueError as error:
        raise SelectorError(str(error)) from None
    return lambda obj: selected(dig(obj, "metadata", "labels") or {})


def field_terms(text: str) -> list[tuple[str, str, bool]]:
    """Split a field selector into path, value and whether they must be equal."""
    terms = []
    for term in filter(None, (part.strip() for part in text.split(","))):
        found = re.match(r"^([^=!]+)(!=|==?)(.*)$", term)
        if not found:
            raise SelectorError(f"invalid selector: {term!r}; can't understand {term!r}")
        if not found[1].startswith(_FIELDS):
            raise SelectorError(f"field label not supported: {found[1]}")
        terms.append((found[1], found[3], found[2] != "!="))
    return terms


def fields(text: str) -> Predicate:
    """Return the predicate of a field selector; an empty one takes everything."""
    terms = field_terms(text)
    return lambda obj: all((str(dig(obj, *path.split(".")) or "") == value) == equal for path, value, equal in terms)


def both(label_selector: str, field_selector: str) -> Predicate:
    """Return the predicate that both selectors make together."""
    by_label, by_field = labels(label_selector), fields(field_selector)
    return lambda obj: by_field(obj) and by_label(obj)
