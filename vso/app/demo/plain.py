"""The story as plain lines, for a pipe, a log or a machine without rich.

Invariant: every line is written once, when it has become true.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self, TextIO

from vso.app.demo.board import Board, Line, Standing
from vso.app.demo.example import NAMESPACE, SECRET

_MARKS = {Standing.DONE: "ok", Standing.FAILED: "FAILED"}


class PlainView:
    """Writes lines to a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told: set[str] = set()
        self._board: Board | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def show(self, board: Board) -> None:
        """Write what has come true since the last time."""
        for line in board.lines:
            if line.standing in _MARKS and line.title not in self._told:
                self._told.add(line.title)
                self._write(_line(line))
        if (board.farewell or board.passed) and "end" not in self._told:
            self._told.add("end")
            self._write(*_end(board))

    def _write(self, *lines: str) -> None:
        self._stream.writelines(f"{line}\n" for line in lines)
        self._stream.flush()


def _line(line: Line) -> str:
    head = f"[{_MARKS[line.standing]}] {line.seconds:4.1f} s  {line.title}"
    return f"{head}\n             {line.detail}" if line.detail else head


def _end(board: Board) -> Iterator[str]:
    picture = board.picture
    if picture.intent is not None:
        yield f"\nVaultStaticSecret {NAMESPACE}/{SECRET}"
        for found in picture.conditions:
            yield f"  {found.type:<14}{found.status:<9}{found.reason:<16}{found.message}".rstrip()
    if picture.secret is not None:
        yield f"Secret {NAMESPACE}/{SECRET}"
        yield from (f"  {key}" for key in picture.secret.keys)
    if picture.events:
        yield "Events"
        for event in picture.events:
            yield f"  {event.type:<9}{event.reason:<16}{event.about}: {event.message}"
    if board.hints:
        yield "\nTry it"
        yield from (f"  {command}" + (f"    # {why}" if why else "") for command, why in board.hints)
    if board.farewell:
        yield f"\n{board.farewell}"
