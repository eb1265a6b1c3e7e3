"""Vault's JSON, with the text of every number kept.

Invariant: what comes out holds str, bool, None, list, dict and JsonNumber, and no lone surrogate.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from vso.core.numbers import JsonNumber

JsonObject = dict[str, Any]

_SURROGATE = re.compile("[\ud800-\udfff]")


class NotJsonError(ValueError):
    """The body is no JSON object; the message never quotes it, since it may hold a value."""


def parse(body: bytes) -> JsonObject:
    """Return the JSON object in the body; NotJsonError for anything else."""
    try:
        text = body.decode("utf-8", errors="replace")
        found = json.loads(text, parse_int=JsonNumber, parse_float=JsonNumber, parse_constant=_refuse)
    except (ValueError, RecursionError):
        # The decoder's own message quotes a piece of the text: it is not passed on.
        raise NotJsonError("the body is not JSON") from None
    if not isinstance(found, dict):
        raise NotJsonError("the body is not a JSON object")
    # Only an escape can bring a lone surrogate in; Go's decoder reads it as U+FFFD too.
    if "\\ud" in text or "\\uD" in text:
        return {_mend(key): _mended(value) for key, value in found.items()}
    return found


def _refuse(literal: str) -> NoReturn:
    raise NotJsonError(f"{literal} is not JSON")


def _mended(value: object) -> object:
    if isinstance(value, dict):
        return {_mend(key): _mended(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_mended(item) for item in value]
    return _mend(value) if type(value) is str else value


def _mend(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)
