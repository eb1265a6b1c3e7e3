"""Children that begin as forks of a process which has imported their program already.

An operator that starts is busy with imports most of its time. Where scenarios start some eighty of them, and it is
not the start that they look at (the embedded sandbox), that is done once.

Invariant: a child is what `leashed` would have started: its own environment, folder, log and process group;
and it dies with the nursery, which dies with whoever started it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import orjson

from tests.testbed.process import Command, ProcessError, environment, leashed

ROOT = Path(__file__).resolve().parents[2]
_SERVE = "import sys; from tests.testbed.nursery import serve; serve(sys.argv[1])"
_PR_SET_PDEATHSIG = 1


class Nursery:
    """A process that has run `program`, a source text that defines `main(argv) -> int`, and forks on demand."""

    def __init__(self, program: str, directory: Path) -> None:
        env = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PYDANTIC_DISABLE_PLUGINS": "__all__"}
        args = [sys.executable, "-c", _SERVE, program]
        self._command = Command("nursery", args, directory / "nursery.log", cwd=directory, env=env)
        self._started: deque[int] = deque()
        self._ended: dict[int, int] = {}

    def start(self) -> None:
        """Start it; the first child waits for the imports."""
        with self._command.log.open("ab") as log:
            self._process = leashed(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)

    def stop(self) -> None:
        """End it, and with it every child that still runs."""
        self._selector.close()
        with self._process:
            self._process.kill()

    def spawn(self, command: Command) -> Forked:
        """Start a child: `main` with the arguments that follow the source text in the command."""
        order = {
            "argv": [str(arg) for arg in command.args[3:]],
            "cwd": str((command.cwd or Path()).absolute()),
            "env": environment(command),
            "log": str(command.log.absolute()),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps(order) + b"\n")
        self._process.stdin.flush()
        while not self._started:
            self._hear(None)
        return Forked(self._started.popleft(), command, self)

    def code(self, pid: int, timeout: float) -> int | None:
        """The exit code of a child, waited for at most so many seconds."""
        deadline = time.monotonic() + timeout
        while pid not in self._ended and self._hear(max(0.0, deadline - time.monotonic())):
            pass
        return self._ended.get(pid)

    @property
    def _stdout(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def _hear(self, timeout: float | None) -> bool:
        """Take in one line that it says; whether there was one in time."""
        if not self._selector.select(timeout):
            return False
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ProcessError(f"the nursery ended:\n{self._command.log.read_text(errors='replace')}")
        said = orjson.loads(line)
        if "started" in said:
            self._started.append(said["started"])
        else:
            self._ended[said["ended"]] = said["code"]
        return True


class Forked:
    """A child of the nursery, used like a `subprocess.Popen`."""

    def __init__(self, pid: int, command: Command, nursery: Nursery) -> None:
        self.pid = pid
        self._command, self._nursery = command, nursery

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._nursery.code(self.pid, 0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; raises subprocess.TimeoutExpired where it comes too late."""
        code = self._nursery.code(self.pid, 3600 if timeout is None else timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self._command.name, timeout or 0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to one that still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


def serve(program: str) -> None:
    """Run the program's text, then fork for each line of standard input until that ends."""
    scope: dict[str, Any] = {}
    exec(program, scope)
    gc.collect()
    gc.freeze()  # what all children share is not looked through by any of them
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    with open(0, "rb", buffering=0, closefd=False) as orders:
        while True:
            for key, _ in selector.select():
                if key.fd != 0:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    _, status = os.waitpid(key.data, 0)
                    _say({"ended": key.data, "code": os.waitstatus_to_exitcode(status)})
                elif not (line := orders.readline()):
                    return
                elif pid := os.fork():
                    os.setpgid(pid, pid)
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
                    _say({"started": pid})
                else:
                    order = orjson.loads(line)
                    _become(order)
                    sys.exit(scope["main"](order["argv"]))


def _become(order: dict[str, Any]) -> None:
    """Leave everything of the nursery behind, in the child."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgid(0, 0)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), 1)
    os.dup2(1, 2)
    os.closerange(3, 64)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])


def _say(message: dict[str, int]) -> None:
    os.write(1, orjson.dumps(message) + b"\n")
