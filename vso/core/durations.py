"""Go's duration text, as far as the API uses it.

Source: the grammar of Go's time.ParseDuration; the CRDs admit one number and one unit.
"""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_WHOLE = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")


def parse_duration(text: str) -> timedelta:
    """Return the duration that "90s", "1.5h" or "1h30m" means; "0" is zero.

    Raises ValueError with the text for anything else.
    """
    stripped = text.strip()
    if stripped == "0":
        return timedelta(0)
    if not _WHOLE.fullmatch(stripped):
        raise ValueError(f"{text!r} is not a duration such as 30s, 5m or 1h")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(stripped))
    return timedelta(seconds=seconds)


def format_duration(span: timedelta) -> str:
    """Return the shortest text with whole units: 600 s is "10m", 90 s is "1m30s"."""
    seconds = span.total_seconds()
    if seconds < 60:
        return f"{seconds:g}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)
