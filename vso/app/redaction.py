"""What may stand in a log line; the last line of defence behind code that never logs a value.

Invariant: a Sensitive, bytes, whatever lies under a telling name, and text that looks like a token
come out as three asterisks; an object that is not known to print safely comes out as its type's name;
of an exception whose text may quote what it choked on, only type and place remain.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from datetime import date, timedelta
from enum import Enum
from pathlib import PurePath
from typing import Any

from vso.core.errors import VsoError
from vso.core.keys import KindKey, ObjectKey
from vso.core.sensitive import Sensitive

HIDDEN = "***"
_SHORTEST_TOKEN = 20
_DEPTH = 4
_ITEMS = 64
_CHAIN = 8
_FRAMES = 40
_TELLING = frozenset(
    {
        "authorization",
        "client_key",
        "client_token",
        "data",
        "jwt",
        "password",
        "private_key",
        "raw",
        "secret_id",
        "token",
    }
)
_TELLING_ENDS = ("_token", "_jwt", "_password", "_secret_id", "_private_key")
# Vault's tokens (service, batch, recovery; the old form), and JSON Web Tokens.
_TOKENS = re.compile(
    r"hv[sbr]\.[\w-]{16,}|\b[sbr]\.[A-Za-z0-9]{24,}|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?|[Bb]earer \S+"
)
_PRINTABLE = (date, timedelta, PurePath, ObjectKey, KindKey, VsoError)
# Their texts name types, attributes, files and addresses, never a value that was handled.
_SAFE_TEXTS = (VsoError, OSError, AttributeError, NameError, ImportError, TypeError)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace whatever must not be seen; a structlog processor."""
    for key, value in event.items():
        event[key] = _entry(key, value, _DEPTH)
    return event


def scrub(text: str) -> str:
    """Return the text without anything that looks like a token."""
    return _TOKENS.sub(HIDDEN, text) if len(text) >= _SHORTEST_TOKEN else text


def describe(error: BaseException) -> str:
    """Return a traceback without locals, and without texts that may quote a value."""
    return scrub("\n".join(_described(error, _CHAIN)))


def _entry(key: object, value: object, depth: int) -> object:
    name = str(key).lower().replace("-", "_")
    return HIDDEN if name in _TELLING or name.endswith(_TELLING_ENDS) else _clean(value, depth)


def _clean(value: object, depth: int) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case Enum():
            return _clean(value.value, depth)
        case str():
            return scrub(value)
        case Sensitive() | bytes() | bytearray() | memoryview():
            return HIDDEN
        case _ if isinstance(value, _PRINTABLE):
            return scrub(str(value))
        case Mapping() if depth:
            return {scrub(str(key)): _entry(key, inner, depth - 1) for key, inner in _some(value.items())}
        case list() | tuple() | set() | frozenset() if depth:
            return [_clean(inner, depth - 1) for inner in _some(value)]
        case _:
            return f"<{type(value).__name__}>"


def _some(items: Iterable[Any]) -> Iterator[Any]:
    return (item for _, item in zip(range(_ITEMS), items, strict=False))


def _described(error: BaseException, depth: int) -> Iterator[str]:
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and depth:
        yield from _described(before, depth - 1)
        yield "which led to" if error.__cause__ else "while handling which"
    for frame in traceback.extract_tb(error.__traceback__, limit=-_FRAMES):
        yield f"  {frame.filename}:{frame.lineno} in {frame.name}: {frame.line or ''}"
    text = str(error) if isinstance(error, _SAFE_TEXTS) else ""
    yield f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, BaseExceptionGroup) and depth:
        for inner in error.exceptions[:_CHAIN]:
            yield f"- one of {len(error.exceptions)}:"
            yield from _described(inner, depth - 1)
