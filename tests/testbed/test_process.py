"""Child processes: they become ready, end as asked, and never outlive the one that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from tests.testbed.nursery import Nursery
from tests.testbed.process import Child, Command, Process, ProcessError
from tests.testbed.waiting import eventually

Spawn = Callable[[Command], Child]
ROOT = Path(__file__).resolve().parents[2]
_LISTEN = "import signal, sys; print('listening', flush=True); signal.pause()"
_WHO = """\
import json, os, sys
print(json.dumps({"argv": sys.argv[2:], "cwd": os.getcwd(), "env": dict(os.environ), "group": os.getpgid(0),
                  "stdin": sys.stdin.read()}))
sys.exit(7)
"""
_STUBBORN = (
    "import signal; signal.signal(15, signal.SIG_IGN); print('listening', flush=True)\nwhile True: signal.pause()"
)
_RUN = """\
import sys
def main(argv):
    sys.argv[1:] = argv
    exec(argv[0])
"""
_PARENT = """
import signal, sys
from pathlib import Path
from tests.testbed.process import Command, Process
child = Process(Command("child", ["sleep", "600"], Path("child.log").absolute(), user=sys.argv[1] or None))
child.start()
print(child.pid, flush=True)
signal.pause()
"""


@pytest.fixture(params=["by itself", "forked"])
def spawn(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Spawn | None]:
    """Both ways to start a child."""
    if request.param == "by itself":
        yield None
        return
    nursery = Nursery(_RUN, tmp_path)
    nursery.start()
    yield nursery.spawn
    nursery.stop()


def python(directory: Path, code: str, spawn: Spawn | None, *args: str, **more: Any) -> Process:
    command = [sys.executable, "-c", f"{_RUN}\nsys.exit(main(sys.argv[1:]))", code, *args]
    return Process(Command("child", command, directory / "child.log", **more), spawn)


def listening(process: Process) -> bool:
    return "listening" in process.log_text(since_start=True)


def test_a_process_is_ready_when_its_probe_says_so_and_can_be_started_again(
    tmp_path: Path, spawn: Spawn | None
) -> None:
    process = python(tmp_path, _LISTEN, spawn)
    for _ in range(2):
        process.start()
        process.wait_ready(lambda: listening(process))
        assert process.running
        assert process.rss() > 0
        assert process.stop().code == -15
    assert process.log_text().count("listening") == 2
    assert process.log_text(since_start=True).count("listening") == 1


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path, spawn: Spawn | None) -> None:
    process = python(tmp_path, _STUBBORN, spawn)
    process.start()
    process.wait_ready(lambda: listening(process))
    ended = process.stop(grace=0.2)
    assert ended.code == -9
    assert ended.seconds >= 0.2


def test_a_process_that_ends_by_itself_shows_its_last_words(tmp_path: Path, spawn: Spawn | None) -> None:
    process = python(tmp_path, "raise SystemExit('no such flag')", spawn)
    process.start()
    with pytest.raises(ProcessError, match="no such flag"):
        process.wait_ready(lambda: False)


def test_a_process_that_is_never_ready_is_given_up(tmp_path: Path, spawn: Spawn | None) -> None:
    process = python(tmp_path, _LISTEN, spawn)
    process.start()
    with pytest.raises(ProcessError, match=r"not ready within 0\.1 s"):
        process.wait_ready(lambda: False, timeout=0.1)
    process.kill()


def test_a_frozen_process_goes_on_later(tmp_path: Path, spawn: Spawn | None) -> None:
    process = python(tmp_path, _LISTEN, spawn)
    process.start()
    process.wait_ready(lambda: listening(process))
    process.pause()
    eventually(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    process.resume()
    assert process.stop().code == -15


def test_a_process_is_ended_by_the_signal_of_its_own(tmp_path: Path, spawn: Spawn | None) -> None:
    code = f"import signal; signal.signal(2, signal.SIG_DFL); {_LISTEN}"
    process = python(tmp_path, code, spawn, end=signal.SIGINT)
    process.start()
    process.wait_ready(lambda: listening(process))
    assert process.stop().code == -2


def test_a_child_has_its_own_environment_folder_group_and_exit_code(
    tmp_path: Path, spawn: Spawn | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_PARENT", "1")
    folder = tmp_path / "folder"
    folder.mkdir()
    process = python(tmp_path, _WHO, spawn, "word", cwd=folder, env={"OWN": "2"})
    process.start()
    assert process.join(time.monotonic(), grace=20).code == 7
    said = orjson.loads(process.log_text())
    assert said["argv"] == ["word"]
    assert said["cwd"] == str(folder)
    assert {"OWN", "PATH"} <= set(said["env"]) <= {"OWN", "PATH", "LANG", "LC_CTYPE"}
    assert said["group"] == process.pid
    assert said["stdin"] == ""
    assert not process.running
    process.start()
    assert process.join(time.monotonic(), grace=20).code == 7


def test_the_children_of_a_nursery_die_with_it(tmp_path: Path) -> None:
    nursery = Nursery(_RUN, tmp_path)
    nursery.start()
    process = python(tmp_path, _LISTEN, nursery.spawn)
    process.start()
    process.wait_ready(lambda: listening(process))
    nursery.stop()
    eventually(lambda: not psutil.pid_exists(process.pid), timeout=5, message="the child is gone")


def test_a_nursery_whose_program_is_broken_says_so(tmp_path: Path) -> None:
    nursery = Nursery("raise SystemExit('no such module')", tmp_path)
    nursery.start()
    with pytest.raises(ProcessError, match="no such module"):
        python(tmp_path, _LISTEN, nursery.spawn).start()
    nursery.stop()


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
