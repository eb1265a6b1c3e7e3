"""Waiting, the one place where tests do it: poll until something holds, or see that it keeps holding.

Invariant: nothing else under `tests/` calls `time.sleep`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import httpx

T = TypeVar("T")
Message = str | Callable[[], str]

SOONEST, LATEST = 0.05, 0.25
"""Seconds between two looks: the first follow each other quickly, since a look costs whoever is looked at."""


def eventually(
    check: Callable[[], T | None], timeout: float = 20, message: Message = "", *, interval: float | None = None
) -> T:
    """Poll until `check` finds something and return it; every `interval` seconds where one is given.

    "Not yet" is None, False, an empty list, a failed assertion or a server that does not answer.
    """
    deadline = time.monotonic() + timeout
    cause: Exception | None = None
    pause = interval or SOONEST
    while True:
        try:
            found = check()
        except (AssertionError, httpx.TransportError) as error:
            cause = error
        else:
            cause = None
            if found is not None and found is not False and found != []:
                return found
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout:g} s: {_text(message, check)}") from cause
        time.sleep(pause)
        pause = interval or min(pause * 1.2, LATEST)


def always(check: Callable[[], object], during: float, message: Message = "", *, interval: float = LATEST) -> None:
    """Look again and again for `during` seconds: the check must be true each time (or be None, with its own assertions)."""
    deadline = time.monotonic() + during
    while True:
        found = check()
        if found is not None and not found:
            raise AssertionError(f"did not stay: {_text(message, check)}")
        if time.monotonic() >= deadline:
            return
        time.sleep(interval)


def _text(message: Message, check: Callable[[], object]) -> str:
    if callable(message):
        return message()
    return message or getattr(check, "__name__", repr(check))
