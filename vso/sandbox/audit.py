"""Audit logs in the formats of the real servers, so that the same tests count on either.

Invariant: a line is in the file before the answer is on the wire, and carries no value and no token.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import orjson

from vso.sandbox.objects import JsonObject


class AuditLog:
    """A file of JSON lines, open while it is entered."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> AuditLog:
        self._file = self._path.open("ab", buffering=0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def write(self, entry: JsonObject) -> None:
        """Append one line; outside of a run nothing is recorded."""
        if self._file:
            self._file.write(orjson.dumps(entry) + b"\n")
