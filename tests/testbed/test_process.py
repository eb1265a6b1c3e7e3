"""Child processes: they become ready, end as asked, and never outlive the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.testbed.process import Command, Process, ProcessError
from tests.testbed.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
_LISTEN = "import signal, sys; print('listening', flush=True); signal.pause()"
_STUBBORN = (
    "import signal; signal.signal(15, signal.SIG_IGN); print('listening', flush=True)\nwhile True: signal.pause()"
)
_PARENT = """
import signal, sys
from pathlib import Path
from tests.testbed.process import Command, Process
child = Process(Command("child", ["sleep", "600"], Path("child.log").absolute(), user=sys.argv[1] or None))
child.start()
print(child.pid, flush=True)
signal.pause()
"""


def python(directory: Path, code: str) -> Process:
    return Process(Command("child", [sys.executable, "-c", code], directory / "child.log"))


def listening(process: Process) -> bool:
    return "listening" in process.log_text(since_start=True)


def test_a_process_is_ready_when_its_probe_says_so_and_can_be_started_again(tmp_path: Path) -> None:
    process = python(tmp_path, _LISTEN)
    for _ in range(2):
        process.start()
        process.wait_ready(lambda: listening(process))
        assert process.running
        assert process.rss() > 0
        assert process.stop().code == -15
    assert process.log_text().count("listening") == 2
    assert process.log_text(since_start=True).count("listening") == 1


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    process = python(tmp_path, _STUBBORN)
    process.start()
    process.wait_ready(lambda: listening(process))
    ended = process.stop(grace=0.2)
    assert ended.code == -9
    assert ended.seconds >= 0.2


def test_a_process_that_ends_by_itself_shows_its_last_words(tmp_path: Path) -> None:
    process = python(tmp_path, "raise SystemExit('no such flag')")
    process.start()
    with pytest.raises(ProcessError, match="no such flag"):
        process.wait_ready(lambda: False)


def test_a_process_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    process = python(tmp_path, _LISTEN)
    process.start()
    with pytest.raises(ProcessError, match=r"not ready within 0\.1 s"):
        process.wait_ready(lambda: False, timeout=0.1)
    process.kill()


def test_a_frozen_process_goes_on_later(tmp_path: Path) -> None:
    process = python(tmp_path, _LISTEN)
    process.start()
    process.wait_ready(lambda: listening(process))
    process.pause()
    eventually(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    process.resume()
    assert process.stop().code == -15


def test_a_process_is_ended_by_the_signal_of_its_own(tmp_path: Path) -> None:
    code = f"import signal; signal.signal(2, signal.SIG_DFL); {_LISTEN}"
    command = Command("child", [sys.executable, "-c", code], tmp_path / "child.log", end=signal.SIGINT)
    process = Process(command)
    process.start()
    process.wait_ready(lambda: listening(process))
    assert process.stop().code == -2


@pytest.mark.parametrize("user", ["", "nobody" if os.geteuid() == 0 else ""])
def test_a_child_dies_with_its_parent_even_if_that_is_killed(tmp_path: Path, user: str) -> None:
    env = {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _PARENT, user]
    parent = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        if user:
            eventually(lambda: psutil.Process(child).username() == user, message="it runs as the other user")
        assert psutil.pid_exists(child)
        parent.kill()
    eventually(lambda: not psutil.pid_exists(child), timeout=5, message="the child is gone")
