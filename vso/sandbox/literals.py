"""JSON as Vault keeps it: a number comes back in the very digits in which it was written.

Invariant: dumps(loads(text)) changes white space, key order and escapes, never a literal.
"""

from __future__ import annotations

import json

from vso.core.numbers import JsonNumber
from vso.sandbox.objects import Json


def loads(raw: bytes) -> Json:
    """Parse JSON, numbers as their literals."""
    return json.loads(raw, parse_int=JsonNumber, parse_float=JsonNumber)


def dumps(value: Json) -> str:
    """Write JSON, keys in order and <, > and & escaped, as Go does."""
    match value:
        case JsonNumber():
            return str(value)
        case dict():
            return "{" + ",".join(f"{_text(key)}:{dumps(value[key])}" for key in sorted(value)) + "}"
        case list() | tuple():
            return "[" + ",".join(map(dumps, value)) + "]"
        case str():
            return _text(value)
        case _:
            return json.dumps(value)


def _text(value: str) -> str:
    quoted = json.dumps(value, ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        quoted = quoted.replace(char, f"\\u{ord(char):04x}")
    return quoted
