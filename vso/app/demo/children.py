"""The processes of the demo: the sandbox and the operator, each with a log file.

Invariant: they outlive neither the stack they were entered on nor this process, whatever ends it;
nothing of the caller's environment reaches them but what Python itself needs.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_GRACE: Final = 3.0
_PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
# Run in the child before the program: ask Linux to end it with its parent, then become the program.
_LEASH: Final = """\
import ctypes, os, signal, sys
if hasattr(ctypes.CDLL(None), "prctl"):
    ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class Command:
    """A Python module to run, and where its output goes."""

    name: str
    module: str
    args: Sequence[str]
    log: Path
    env: Mapping[str, str]


def environment(own: Mapping[str, str], home: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Return what a child is to see: no KUBECONFIG, no VAULT_*, no proxy of the caller's."""
    passed = {name: own[name] for name in _PASSED_ON if name in own}
    return {**passed, "HOME": str(home), "PYTHONUNBUFFERED": "1", **more}


class Child:
    """One process, running while it is entered."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._process is not None and self._process.returncode is None

    def log_tail(self, lines: int = 20) -> list[str]:
        """Return the last lines that it wrote."""
        if not self.command.log.exists():
            return []
        return self.command.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]

    async def __aenter__(self) -> Self:
        command = self.command
        program = (sys.executable, "-m", command.module, *command.args)
        with command.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid())),
                *program,
                env=environment(os.environ, command.log.parent, command.env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then ends the others in order
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_GRACE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
