"""The real helm, on the loopback's clusters or on none.

Invariant: nothing of the user's own helm is read or written.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.testbed.build import binaries


class HelmError(Exception):
    """helm ended with an error; the message is what it said."""


class Helm:
    """helm with a home of its own."""

    def __init__(self, home: Path, kubeconfig: Path | None = None) -> None:
        """Take a folder for its caches; without a kubeconfig there is no cluster to speak to."""
        self._env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            **{f"HELM_{part}_HOME": str(home / "helm" / part.lower()) for part in ("CACHE", "CONFIG", "DATA")},
            "KUBECONFIG": str(kubeconfig or home / "no-kubeconfig"),
        }

    def __call__(self, *args: str | Path, cwd: Path | None = None, timeout: float = 180) -> str:
        """Run it and return what it printed."""
        command: list[str | Path] = [binaries().helm, *args]
        done = subprocess.run(
            command, env=self._env, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
        )
        if done.returncode != 0:
            raise HelmError(f"helm {' '.join(map(str, args))}: {done.stderr.strip()}\n{done.stdout[-2000:]}")
        return done.stdout
