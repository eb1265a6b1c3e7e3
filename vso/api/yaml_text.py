"""JSON values as YAML text, in one way only.

Invariant: the same value gives the same bytes whatever is installed; long text is folded, so that a
diff of generated files reads well. The words that YAML 1.1 takes for something else are quoted.
"""

from __future__ import annotations

import json
import re
import textwrap

from pydantic import JsonValue

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*( [A-Za-z0-9_./(;,-][A-Za-z0-9_./();,-]*)*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
_WIDTH = 110


def to_yaml(value: JsonValue) -> str:
    """Return the value as a YAML document without a marker, ending in a newline."""
    return "\n".join(_block(value, "")) + "\n"


def _block(value: JsonValue, indent: str) -> list[str]:
    if isinstance(value, dict) and value:
        return [line for key, inner in value.items() for line in _entry(f"{indent}{_text(key)}:", inner, indent)]
    if isinstance(value, list) and value:
        return [line for inner in value for line in _item(inner, indent)]
    return [indent + _scalar(value)]


def _entry(head: str, value: JsonValue, indent: str) -> list[str]:
    if isinstance(value, dict) and value:
        return [head, *_block(value, indent + "  ")]
    if isinstance(value, list) and value:
        return [head, *_block(value, indent)]
    if isinstance(value, str) and _folds(value, len(head)):
        return [f"{head} >-", *_fold(value, indent + "  ")]
    return [f"{head} {_scalar(value)}"]


def _item(value: JsonValue, indent: str) -> list[str]:
    lines = _block(value, indent + "  ")
    return [f"{indent}- {lines[0][len(indent) + 2 :]}", *lines[1:]]


def _folds(text: str, used: int) -> bool:
    return used + len(text) > _WIDTH and " ".join(text.split()) == text


def _fold(text: str, indent: str) -> list[str]:
    # A word is never broken: a line break in folded text reads as a space.
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _scalar(value: JsonValue) -> str:
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)
