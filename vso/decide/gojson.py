"""JSON text as Go's encoding/json writes it, byte for byte.

The key `_raw` and every value that is no string are made here, and digests of them must not move
when two operators take turns. Invariant: keys are sorted by their UTF-8 bytes at every level, the
text is compact, `<`, `>`, `&`, U+2028 and U+2029 are escaped, and a number keeps the literal that
was received.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import orjson

from vso.core.errors import ConfigError, Reason
from vso.core.numbers import JsonNumber

JsonValue: TypeAlias = bool | int | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"] | None
"""What a JSON document holds; numbers are JsonNumber, which is a str."""

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_SUBCLASS
# These occur within strings only, where Go escapes them so that the text can stand in HTML and JavaScript.
_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
)


def go_json(value: JsonValue) -> bytes:
    """Return the value as Go writes it; ConfigError when it nests deeper than 250 levels."""
    text = _dump(value)
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text


def go_text(text: str) -> bytes:
    """Return the text as UTF-8; half a surrogate pair becomes U+FFFD, as Go's decoder reads it."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _repaired_text(text).encode()


def _dump(value: JsonValue) -> bytes:
    try:
        return orjson.dumps(value, default=_plain, option=_OPTIONS)
    except orjson.JSONEncodeError:
        pass  # half a surrogate pair somewhere, or too deep a nesting
    try:
        return orjson.dumps(_repaired(value), default=_plain, option=_OPTIONS)
    except (orjson.JSONEncodeError, RecursionError):
        # The encoder's message is not passed on: it could quote what it was given.
        raise ConfigError(Reason.SOURCE_INVALID, "the JSON value nests too deeply") from None


def _plain(value: object) -> orjson.Fragment | dict[str, JsonValue]:
    if isinstance(value, JsonNumber):
        return orjson.Fragment(str(value))
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _repaired(value: JsonValue) -> JsonValue:
    if value is None or isinstance(value, (bool, int, JsonNumber)):
        return value
    if isinstance(value, str):
        return _repaired_text(value)
    if isinstance(value, Mapping):
        return {_repaired_text(name): _repaired(item) for name, item in value.items()}
    return [_repaired(item) for item in value]


def _repaired_text(text: str) -> str:
    return "".join("\N{REPLACEMENT CHARACTER}" if "\ud800" <= char <= "\udfff" else char for char in text)
