"""A shell in a clone of the project, as somebody has it who follows a page: kubectl, helm, vault and vso, a cluster, a Vault."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conformance.stage import ROOT
from tests.testbed.build import binaries
from tests.testbed.cluster import Cluster


class Shell:
    """Runs scripts as they stand."""

    def __init__(self, cluster: Cluster, home: Path) -> None:
        """Put the programs into a folder of somebody who knows the cluster as its administrator."""
        programs = binaries()
        tools = home / "bin"
        tools.mkdir()
        for name, program in (("kubectl", programs.kubectl), ("helm", programs.helm), ("vault", programs.vault)):
            (tools / name).symlink_to(program)
        command = tools / "vso"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m vso "$@"\n')
        command.chmod(0o755)
        self._env = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "HOME": str(home),
            "KUBECONFIG": str(cluster.bed.admin_kubeconfig),
            "VAULT_ADDR": cluster.bed.vault.url,
            "VAULT_TOKEN": cluster.bed.vault.token,
        }

    def run(self, script: str) -> str:
        """Run a script in the project's folder, and return what it prints; a command that fails ends the test."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=self._env, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout
