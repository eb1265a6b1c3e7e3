"""The real kube-scheduler, for the pods that name one scheduler and no others."""

from __future__ import annotations

from pathlib import Path

import httpx
import yaml

from tests.testbed.build import binaries
from tests.testbed.process import Command, Process, free_port


class Scheduler:
    """kube-scheduler with one profile."""

    def __init__(self, directory: Path, kubeconfig: Path, profile: str) -> None:
        self._port = free_port()
        config = directory / "kube-scheduler.yaml"
        said = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": str(kubeconfig), "qps": 500, "burst": 1000},
            "leaderElection": {"leaderElect": False},
            "profiles": [{"schedulerName": profile}],
        }
        config.write_text(yaml.safe_dump(said))
        command: list[str | Path] = [
            binaries().kube_scheduler,
            f"--config={config}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._port}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
        ]
        log = directory / "kube-scheduler.log"
        self.process = Process(Command("kube-scheduler", command, log, cwd=directory, env={"HOME": str(directory)}))

    def wait_ready(self) -> None:
        """Wait until it schedules."""
        url = f"https://127.0.0.1:{self._port}/readyz"
        self.process.wait_ready(lambda: httpx.get(url, verify=False, trust_env=False).status_code == 200)
