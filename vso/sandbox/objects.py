"""Small words about Kubernetes objects as they come off the wire.

Invariant: a stored object is never changed in place; who wants to change one copies it first.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

JsonObject = dict[str, Any]
Json = Any  # any JSON value; whoever reads it checks its shape


def meta(obj: JsonObject) -> JsonObject:
    """Return the object's metadata, made where it is missing."""
    found = obj.get("metadata")
    if not isinstance(found, dict):
        found = obj["metadata"] = {}
    return found


def timestamp(now: datetime, *, micro: bool = False) -> str:
    """Render a wall time as the API server does."""
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


def dig(value: object, *path: str) -> Json:
    """Descend through nested objects; None where the path ends early."""
    for part in path:
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value
