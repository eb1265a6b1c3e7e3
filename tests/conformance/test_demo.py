"""The demo, as a newcomer runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import psutil
import pytest

from tests.testbed.waiting import eventually
from vso.app.demo.story import PASSWORDS, STORY

LASTS = 30

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.only_in("full", because="the demo installs its operator itself"),
]

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "vso", "demo")


def environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT), "TMPDIR": str(home)}


def children_in(directory: Path) -> list[int]:
    """The processes whose command line names the directory."""
    found = psutil.process_iter(["cmdline"])
    return [process.pid for process in found if any(str(directory) in word for word in process.info["cmdline"] or ())]


def test_once_tells_the_whole_story_and_leaves_the_files_that_were_asked_for(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    done = subprocess.run(
        [*COMMAND, "--once", "--dir", str(kept)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f"s  {step.title}" in done.stdout for step in STORY)
    assert "FAILED" not in done.stdout
    assert {"DB_PASSWORD", "DB_USERNAME"} <= set(done.stdout.split())
    assert {"Ready", "Healthy", "VaultSealed"} <= set(done.stdout.split())
    written = done.stdout + done.stderr + "".join(path.read_text() for path in kept.iterdir())
    assert not any(password in written for password in PASSWORDS)
    config = orjson.loads((kept / "operator.kubeconfig").read_bytes())
    assert [user["user"].keys() for user in config["users"]] == [{"token"}]
    admin = orjson.loads((kept / "ready.json").read_bytes())["kube"]["token"]
    assert config["users"][0]["user"]["token"] != admin
    assert children_in(kept) == []


def test_ctrl_c_tidies_up(tmp_path: Path) -> None:
    log = tmp_path / "demo.log"
    with log.open("wb") as stream:
        demo = subprocess.Popen(COMMAND, env=environment(tmp_path), stdout=stream, stderr=stream)
    try:
        eventually(lambda: list(tmp_path.glob("vso-demo-*/ready.json")), timeout=60, message="the servers are up")
        demo.send_signal(signal.SIGINT)
        assert demo.wait(20) == 130, log.read_text()
    finally:
        demo.kill()
    assert list(tmp_path.glob("vso-demo-*")) == []
    assert children_in(tmp_path) == []
