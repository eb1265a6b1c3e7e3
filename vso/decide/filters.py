"""Includes and excludes: which fields of a source go into the Secret.

Invariant: a pattern is RE2, matched anywhere in the name of a top-level field; an exclude beats any
include. The engine runs in linear time, so no tenant's pattern can hold the operator up.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Protocol

from vso.core.errors import ConfigError, Reason


class _Pattern(Protocol):
    def search(self, text: str) -> object | None: ...


def keep_names(names: Iterable[str], includes: Iterable[str], excludes: Iterable[str]) -> tuple[str, ...]:
    """Return the names that no exclude matches and, where there are includes, at least one does."""
    keep = _compiled("includes", includes)
    drop = _compiled("excludes", excludes)
    left = (name for name in names if not _matches(drop, name))
    return tuple(name for name in left if not keep or _matches(keep, name))


def _matches(patterns: tuple[_Pattern, ...], name: str) -> bool:
    return any(pattern.search(name) for pattern in patterns)


def _compiled(field: str, patterns: Iterable[str]) -> tuple[_Pattern, ...]:
    return tuple(_compile(field, pattern) for pattern in sorted(set(patterns)))


@lru_cache(maxsize=512)
def _compile(field: str, pattern: str) -> _Pattern:
    import re2  # noqa: PLC0415  four megabytes that only patterns are worth

    options = re2.Options()
    options.log_errors = False
    try:
        compiled: _Pattern = re2.compile(pattern, options=options)
    except (re2.error, UnicodeEncodeError):
        raise ConfigError(
            Reason.INVALID_SPEC, f"spec.destination.transformation.{field} holds {pattern!r}, which is no RE2 pattern"
        ) from None
    return compiled
