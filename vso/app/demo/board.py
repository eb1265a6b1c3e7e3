"""Where the story stands: what every view draws, and nothing else.

Invariant: a Board is a value; whoever draws it keeps no state of the story.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from types import TracebackType
from typing import Protocol, Self

from vso.app.demo.picture import Picture


class Standing(Enum):
    """How far a step is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Line:
    """One step, as it is shown."""

    title: str
    standing: Standing = Standing.WAITING
    seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True)
class Board:
    """All steps, the picture of the moment, and what the reader can do next."""

    lines: tuple[Line, ...]
    picture: Picture = field(default_factory=Picture)
    hints: tuple[tuple[str, str], ...] = ()
    """Commands to try, each with a word about it."""
    farewell: str = ""

    @classmethod
    def of(cls, titles: Sequence[str]) -> Board:
        """Return a board on which nothing has happened."""
        return cls(tuple(Line(title) for title in titles))

    def at(self, index: int, standing: Standing, *, seconds: float = 0.0, detail: str = "") -> Board:
        """Return the board with one step moved on."""
        line = replace(self.lines[index], standing=standing, seconds=seconds, detail=detail)
        return replace(self, lines=(*self.lines[:index], line, *self.lines[index + 1 :]))

    @property
    def passed(self) -> bool:
        """Whether every step has come true."""
        return all(line.standing is Standing.DONE for line in self.lines)


class View(Protocol):
    """Whoever draws the board."""

    def __enter__(self) -> Self:
        """Begin to draw."""
        ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave the last board standing."""
        ...

    def show(self, board: Board) -> None:
        """Draw what is new."""
        ...
