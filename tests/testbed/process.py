"""A child process with a log file: started, probed until ready, stopped, killed or frozen.

Invariant: no child outlives the process that started it, not even one that was killed: the kernel
sends SIGKILL to the child when the starting *thread* ends, so start children from a thread that stays.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, Protocol

import httpx
import psutil

from tests.testbed.waiting import SOONEST

# Run before the program, in its process: prctl(PR_SET_PDEATHSIG, SIGKILL), then exec. A preexec_fn would
# do the same, but is not safe beside other threads. The user changes first: that would take the leash off.
_LEASH = """\
import ctypes, os, pwd, sys
libc = ctypes.CDLL(None)
if sys.argv[2]:
    user = pwd.getpwnam(sys.argv[2])
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
libc.prctl(1, 9)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[3], sys.argv[3:])
"""


_PORTS = range(20000, 32000)  # below what Linux gives to outgoing connections


class Exit(NamedTuple):
    """How a process ended: its exit code (negative: the signal) and the seconds it took from the first signal."""

    code: int
    seconds: float


class ProcessError(RuntimeError):
    """A child process did not become ready, or ended by itself."""


@dataclass(frozen=True)
class Command:
    """What to run, where, and where its output goes; as which other user (for root alone), and what ends it in good order."""

    name: str
    args: Sequence[str | Path]
    log: Path
    cwd: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    end: signal.Signals = signal.SIGTERM


class Child(Protocol):
    """As much of a `subprocess.Popen` as is asked of a child."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: signal.Signals, /) -> None: ...


class Process:
    """One child process at a time; it may be started anew after it ended."""

    def __init__(self, command: Command, spawn: Callable[[Command], Child] | None = None) -> None:
        self.command = command
        self._spawn = spawn or _logged
        self._child: Child | None = None
        self._log_start = 0

    @property
    def name(self) -> str:
        """What the process is called in messages."""
        return self.command.name

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """The id of the living (or last) process."""
        return self._started().pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._started().poll()

    def start(self) -> None:
        """Start the process, its output appended to the log."""
        if self.running:
            raise ProcessError(f"{self.name} runs already")
        self._log_start = self.command.log.stat().st_size if self.command.log.exists() else 0
        self._child = self._spawn(self.command)

    def wait_ready(self, probe: Callable[[], bool], timeout: float = 30) -> None:
        """Poll the probe until it says yes; a server that does not answer yet is no error."""
        deadline = time.monotonic() + timeout
        while not _answers(probe):
            if not self.running:
                raise ProcessError(f"{self.name} ended with {self.exit_code}:\n{self.log_tail()}")
            if time.monotonic() >= deadline:
                raise ProcessError(f"{self.name} was not ready within {timeout:g} s:\n{self.log_tail()}")
            time.sleep(SOONEST)

    def terminate(self) -> None:
        """Ask the process to end, without waiting."""
        if self.running:
            self.signal(self.command.end)

    def stop(self, grace: float = 10) -> Exit:
        """End the process: its own signal (SIGTERM), then SIGKILL after the grace."""
        begun = time.monotonic()
        self.terminate()
        return self.join(begun, grace)

    def join(self, begun: float, grace: float) -> Exit:
        """Wait for the end of a process that was asked to end at `begun`; kill it after the grace."""
        child = self._started()
        try:
            code = child.wait(max(0.0, begun + grace - time.monotonic()))
        except subprocess.TimeoutExpired:
            code = self.kill().code
        return Exit(code, time.monotonic() - begun)

    def kill(self) -> Exit:
        """End the process and its children at once, as a crash does."""
        begun = time.monotonic()
        child = self._started()
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        return Exit(child.wait(), time.monotonic() - begun)

    def pause(self) -> None:
        """Freeze the process: its sockets stay open and nothing answers."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen process go on."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._started().send_signal(number)

    def rss(self) -> int:
        """The resident memory in bytes."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def cpu_seconds(self) -> float:
        """The processor time used so far."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def log_text(self, *, since_start: bool = False) -> str:
        """Everything that the process has written so far, or only in its present life."""
        if not self.command.log.exists():
            return ""
        written = self.command.log.read_bytes()
        return written[self._log_start if since_start else 0 :].decode(errors="replace")

    def log_tail(self, lines: int = 30) -> str:
        """The last lines of the log."""
        return "\n".join(self.log_text().splitlines()[-lines:])

    def _started(self) -> Child:
        if self._child is None:
            raise ProcessError(f"{self.name} was never started")
        return self._child


def leashed(command: Command, stdin: int, stdout: IO[bytes] | int, stderr: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """Start a command that the kernel kills when the starting thread ends."""
    leash = [sys.executable, "-I", "-S", "-c", _LEASH]
    return subprocess.Popen(
        [*leash, str(os.getpid()), command.user or "", *map(str, command.args)],
        cwd=command.cwd,
        env=environment(command),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,  # Ctrl-C is for pytest, which then stops the servers in order
    )


def environment(command: Command) -> dict[str, str]:
    """All the variables that the command's process sees."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", **command.env}


def _logged(command: Command) -> subprocess.Popen[bytes]:
    with command.log.open("ab") as log:
        return leashed(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)


def free_port() -> int:
    """Return a TCP port on the loopback that nobody uses just now.

    Not one of the kernel's own choice: those are for outgoing connections too, and a server that was
    stopped would find its port taken by a client that tries to reach it (even connected to itself).
    """
    while True:
        port = _PORTS.start + secrets.randbelow(len(_PORTS))
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def _answers(probe: Callable[[], bool]) -> bool:
    try:
        return probe()
    except (httpx.TransportError, OSError):
        return False
