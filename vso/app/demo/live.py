"""The story as a calm picture in a terminal, drawn with rich.

Invariant: the only module that imports rich; it draws a Board and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from vso.api.meta import Condition
from vso.app.demo.board import Board, Line, Standing
from vso.app.demo.example import NAMESPACE, SECRET
from vso.app.demo.picture import EventSeen, Picture

_WIDTH: Final = 104
_EVENTS: Final = 6
_TITLE: Final = "Git holds the intent, Vault holds the values, Kubernetes gets the Secrets."


class Part(Enum):
    """What a small screen can do without, the most dispensable first."""

    DETAILS = "details"
    EVENTS = "events"
    OBJECTS = "objects"


class LiveView:
    """Draws the board in place; the last one stays."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(console=console, refresh_per_second=12, vertical_overflow="ellipsis")
        self._board: Board | None = None

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._board is not None:  # the end may be longer than the screen: it scrolls
            self._live.update(self._drawn(self._board, frozenset(Part)))
        self._live.__exit__(kind, error, at)

    def show(self, board: Board) -> None:
        """Draw as much of the board as the screen has room for."""
        self._board = board
        self._live.update(fitting(self._console.height, self._height, lambda parts: self._drawn(board, parts)))

    def _drawn(self, board: Board, parts: frozenset[Part]) -> RenderableType:
        return draw(board, self._spinner, min(self._console.width, _WIDTH), parts)

    def _height(self, drawn: RenderableType) -> int:
        return len(self._console.render_lines(drawn))


def fitting(
    room: int, height: Callable[[RenderableType], int], drawn: Callable[[frozenset[Part]], RenderableType]
) -> RenderableType:
    """Return the fullest picture that fits, leaving out one part after the other."""
    parts = frozenset(Part)
    found = drawn(parts)
    for part in Part:
        if height(found) < room:
            break
        parts -= {part}
        found = drawn(parts)
    return found


def draw(board: Board, spinner: RenderableType, width: int, parts: frozenset[Part]) -> RenderableType:
    """Return the picture, of what can be left out only those parts."""
    found: list[RenderableType] = [Text.assemble(("vso demo  ", "bold cyan"), (_TITLE, "dim")), Text()]
    found.append(_story(board, spinner, details=Part.DETAILS in parts))
    if board.picture.intent is not None and Part.OBJECTS in parts:
        found += [Text(), _objects(board.picture, width)]
    if board.picture.events and Part.EVENTS in parts:
        found.append(_events(board.picture.events, width))
    if board.hints:
        found.append(_hints(board.hints))
    if board.farewell:
        found += [Text(), Text(board.farewell, style="bold" if board.passed else "bold red")]
    return Padding(Group(*found), (1, 1, 0, 1))


def _story(board: Board, spinner: RenderableType, *, details: bool) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column()
    table.add_column(justify="right", style="dim")
    for line in board.lines:
        table.add_row(_mark(line, spinner), _title(line), f"{line.seconds:.1f} s" if line.seconds else "")
        if line.detail and (details or line.standing is Standing.FAILED):
            table.add_row("", Text(line.detail, style="red" if line.standing is Standing.FAILED else "dim"), "")
    return table


def _mark(line: Line, spinner: RenderableType) -> RenderableType:
    match line.standing:
        case Standing.DONE:
            return Text("✓", style="green")
        case Standing.FAILED:
            return Text("✗", style="bold red")
        case Standing.RUNNING:
            return spinner
        case Standing.WAITING:
            return Text("·", style="dim")


def _title(line: Line) -> Text:
    return Text(line.title, style="dim" if line.standing is Standing.WAITING else "bold")


def _objects(picture: Picture, width: int) -> Table:
    both = Table.grid(padding=(0, 1, 0, 0))
    left = (width - 3) * 2 // 3
    both.add_column(width=left)
    both.add_column(width=width - 3 - left)
    both.add_row(
        _panel(_conditions(picture.conditions), f"VaultStaticSecret {NAMESPACE}/{SECRET}", sealed=bool(picture.sealed)),
        _panel(_secret(picture), f"Secret {NAMESPACE}/{SECRET}"),
    )
    return both


def _panel(content: RenderableType, title: str, *, sealed: bool = False) -> Panel:
    # Of one height, so that nothing below moves while conditions come and go.
    said = Text("Vault is sealed", style="yellow") if sealed else None
    return Panel(
        content,
        title=title,
        title_align="left",
        subtitle=said,
        subtitle_align="right",
        border_style="dim",
        padding=(0, 1),
        height=8,
    )


def _conditions(conditions: tuple[Condition, ...]) -> RenderableType:
    if not conditions:
        return Text("no status yet", style="dim")
    table = Table.grid(padding=(0, 2, 0, 0))
    for found in conditions:
        table.add_row(found.type, Text(found.status, style=_colour(found)), Text(found.reason, style="dim"))
    worst = next((c for c in conditions if c.status == "False"), conditions[-1])
    return Group(table, _dim(worst.message))


def _colour(condition: Condition) -> str:
    return {"True": "green", "False": "yellow"}.get(condition.status, "dim")


def _secret(picture: Picture) -> RenderableType:
    if picture.secret is None:
        return Text("not there", style="dim")
    table = Table.grid(padding=(0, 2, 0, 0))
    for key in picture.secret.keys:
        table.add_row(key, Text("••••••", style="dim"))
    return Group(table, Text(f"resourceVersion {picture.secret.resource_version}", style="dim"))


def _events(events: tuple[EventSeen, ...], width: int) -> Panel:
    shown = [(event, event.reason + (f" ×{event.count}" if event.count > 1 else "")) for event in events[-_EVENTS:]]
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=max(len(label) for _, label in shown))
    table.add_column(no_wrap=True, overflow="ellipsis")
    for event, label in shown:
        table.add_row(Text(label, style="yellow" if event.type == "Warning" else "green"), _dim(event.message))
    return Panel(table, title="Events", title_align="left", border_style="dim", padding=(0, 1), width=width - 3)


def _dim(text: str) -> Text:
    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")


def _hints(hints: tuple[tuple[str, str], ...]) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    for command, why in hints:
        # Never wrapped: these are for the clipboard.
        table.add_row(Text(command, style="cyan", no_wrap=True, overflow="ignore"), Text(why, style="dim"))
    return Group(Text(), Text("Try it, from another terminal", style="bold"), table)
