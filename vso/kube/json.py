"""JSON at the edge of the API server.

Invariant: the only place where a body of the API server is untyped; a body that does not parse is
reported by its size alone, since it may be a Secret's.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

JsonObject = dict[str, Any]


def encode(value: object) -> bytes:
    """Return the value as compact JSON."""
    return orjson.dumps(value)


def decode_object(body: bytes) -> JsonObject:
    """Return the JSON object that the body holds; ValueError for anything else."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ValueError(f"a body of {len(body)} bytes is not JSON") from None
    if isinstance(value, dict):
        return value
    raise ValueError(f"a body of {len(body)} bytes is not a JSON object")


def moment(text: object) -> datetime | None:
    """Return a time as the API server writes it; None for what is none."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if isinstance(text, str) else None
    except ValueError:
        return None


def child(value: JsonObject, *names: str) -> JsonObject:
    """Return the nested object of that name, or an empty one."""
    for name in names:
        inner = value.get(name)
        value = inner if isinstance(inner, dict) else {}
    return value
