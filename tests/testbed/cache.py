"""The cache of what the tests need beside Python packages: one folder per user, outside the tree.

Invariant: whoever makes a part of it holds that part's lock, and renames it into place when it is complete.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class BuildError(RuntimeError):
    """A part of the cache could not be made; the message ends with the last lines of what went wrong."""


def cache() -> Path:
    """The cache directory."""
    if named := os.environ.get("VSO_TESTBED_CACHE"):
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "vso-testbed"


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the machine-wide lock on one part of the cache, so that two runs never make the same thing."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
