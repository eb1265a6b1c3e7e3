"""values.schema.json: what Helm admits before it renders anything.

Invariant: a misspelt key is refused at every depth that is documented; a key that is accepted and changes nothing
takes any value.
"""

from __future__ import annotations

import json
from typing import Any

from vso.app.chart.values import Section, Value

_NAME = {"type": "string", "maxLength": 253, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"}
_NAMES = {"type": "array", "items": _NAME}
_FORMS: dict[str, Any] = {
    "credentials": {
        "type": "object",
        "required": ["namespace"],
        "additionalProperties": False,
        "properties": {
            "namespace": {"type": "string", "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
            "secrets": _NAMES,
            "configMaps": _NAMES,
            "serviceAccounts": _NAMES,
        },
    }
}
"""What the entries of a list look like, by the word after @form."""

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def schema(root: Section) -> str:
    """Return the file."""
    made = {"$schema": "http://json-schema.org/draft-07/schema#", **_section(root)}
    # Helm's own, where the chart is a part of another, which may have words there that are not for this one.
    made["properties"].setdefault("global", {"type": "object"})["additionalProperties"] = True
    return json.dumps(made, indent=2) + "\n"


def _section(section: Section) -> dict[str, Any]:
    properties = {
        name: _section(entry) if isinstance(entry, Section) else _value(entry)
        for name, entry in section.entries.items()
    }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _value(value: Value) -> dict[str, Any]:
    if value.inert:
        return {"description": f"no effect: {value.inert}"}
    made: dict[str, Any] = {"description": value.text}
    if choices := value.words("enum"):
        return {**made, "enum": [_typed(word, value.default) for word in choices]}
    types = list(value.words("type")) or [_TYPES[type(value.default)]]
    made["type"] = types[0] if len(types) == 1 else types
    if pattern := value.tags.get("pattern"):
        made["pattern"] = pattern
    if items := value.words("items"):
        made["items"] = {"type": items[0]}
    if forms := value.words("form"):
        made["items"] = _FORMS[forms[0]]
    return made


def _typed(word: str, default: object) -> object:
    return word == "true" if isinstance(default, bool) else word
