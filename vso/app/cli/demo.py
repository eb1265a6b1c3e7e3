"""`vso demo`: the whole story in the embedded sandbox, live.

Invariant: exit code 0 only when every step was seen to come true; whatever happens, the children are
stopped, and the files are gone unless --dir asked to keep them.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vso.app.demo.board import View
from vso.app.demo.plain import PlainView
from vso.app.demo.play import Manner, Play
from vso.core.clock import SystemClock


def main(argv: Sequence[str]) -> int:
    """Tell the story until Ctrl-C, or with --once until its end."""
    options = parser().parse_args(argv)
    with _directory(options.dir) as directory:
        return asyncio.run(_perform(Manner(directory, options.once), view_for(plain=options.plain)))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="vso demo", description="The whole story in the embedded sandbox, live.")
    made.add_argument("--once", action="store_true", help="end when the story does; exit code 0 if all of it came true")
    made.add_argument("--dir", type=Path, metavar="FOLDER", help="keep kubeconfig, logs and audits in this folder")
    made.add_argument("--plain", action="store_true", help="lines instead of a picture, as without a terminal")
    return made


def view_for(*, plain: bool) -> View:
    """Return the picture for a terminal, lines for everything else."""
    if plain or not sys.stdout.isatty():
        return PlainView(sys.stdout)
    try:
        from rich.console import Console  # noqa: PLC0415  an extra: the operator does without it

        from vso.app.demo.live import LiveView  # noqa: PLC0415
    except ModuleNotFoundError:
        return PlainView(sys.stdout)
    return LiveView(Console())


@contextmanager
def _directory(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="vso-demo-") as made:
        yield Path(made).resolve()


async def _perform(manner: Manner, view: View) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    with view:
        return await Play(manner, view, SystemClock(), stop).run()
