"""values.schema.json: what Helm admits before it renders anything.

Invariant: a misspelt key is refused at every depth that is documented; a key that is accepted and changes nothing
takes any value.
"""

from __future__ import annotations

import json
from typing import Any

from vso.app.chart.values import Section, Value

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def schema(root: Section) -> str:
    """Return the file."""
    made = {"$schema": "http://json-schema.org/draft-07/schema#", **_section(root)}
    made["properties"]["global"] = {"type": "object"}  # Helm's own, where the chart is a part of another
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
        return {**made, "enum": list(choices)}
    types = list(value.words("type")) or [_TYPES[type(value.default)]]
    made["type"] = types[0] if len(types) == 1 else types
    if items := value.words("items"):
        made["items"] = {"type": items[0]}
    return made
