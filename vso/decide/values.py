"""Sources of data, what they answered, and the bytes that a value becomes.

Invariant: an answer never shows its content in a repr, and a value turns into bytes in one way
everywhere: text as UTF-8, anything else as Go's JSON text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from vso.decide.gojson import JsonValue, go_json, go_text

Fields: TypeAlias = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True, order=True)
class KvSource:
    """A secret of a KV engine; the identity that reads it is the caller's matter."""

    mount: str
    path: str
    type: Literal["kv-v1", "kv-v2"]
    version: int | None = None

    def __str__(self) -> str:
        place = f"{self.mount}/{self.path}"
        return f"{place} version {self.version}" if self.version else place


@dataclass(frozen=True, slots=True)
class KvAnswer:
    """What Vault holds there."""

    data: Fields = field(repr=False)
    """The fields."""
    raw: Fields = field(repr=False)
    """The whole answer: with kv-v2 the fields and their metadata, else the fields."""


def as_bytes(value: JsonValue) -> bytes:
    """Return what a Secret holds for the value."""
    # A JsonNumber is a str that holds its literal.
    return go_text(value) if isinstance(value, str) else go_json(value)
