"""The embedded sandbox as a bed: one process with an API server and a Vault in it.

Invariant: what the tests know of the sandbox they read from its `ready.json`, as any user would.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import orjson

from tests.testbed.bed import Bed
from tests.testbed.kube_admin import KubeAccess, KubeAdmin
from tests.testbed.nursery import Nursery
from tests.testbed.process import Child, Command, Process
from tests.testbed.sandbox_database import SandboxDatabase
from tests.testbed.vault_admin import VaultAccess, VaultAdmin

ROOT = Path(__file__).resolve().parents[2]


class SandboxBed(Bed):
    """`python -m vso.sandbox`, started and stopped."""

    name: ClassVar[str] = "sandbox"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._database: SandboxDatabase | None = None
        self._nurseries: dict[str, Nursery] = {}
        args: list[str | Path] = [sys.executable, "-m", "vso.sandbox", "--dir", directory]
        self.process = Process(
            Command("sandbox", args, directory / "sandbox.log", cwd=ROOT, env={"HOME": str(directory)})
        )

    def start(self) -> None:
        """Start the sandbox and connect to both its servers."""
        ready = self.directory / "ready.json"
        ready.unlink(missing_ok=True)
        self.process.start()
        try:
            self.process.wait_ready(ready.exists)
            self._connect(ready)
            self.process.wait_ready(lambda: self.kube.raw("GET", "/readyz").status_code == 200 and self.vault.active)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the sandbox."""
        for nursery in self._nurseries.values():
            nursery.stop()
        self._nurseries.clear()
        if self.process.running:
            self.process.stop(grace=5)
        if hasattr(self, "kube"):
            self.kube.close()
            self.vault.close()

    def database(self) -> SandboxDatabase:
        """The sandbox's own database behind its database engine."""
        if self._database is None:
            database = SandboxDatabase(self.vault)
            database.set_up()
            self._database = database
        return self._database

    def starter(self, program: str) -> Callable[[Command], Child] | None:
        """Children are forked from a process that has the imports behind it: there are many of them here."""
        if program not in self._nurseries:
            nursery = self._nurseries[program] = Nursery(program, self.directory)
            nursery.start()
        return self._nurseries[program].spawn

    def _connect(self, ready: Path) -> None:
        said = orjson.loads(ready.read_bytes())
        kube, vault = said["kube"], said["vault"]
        self.kube = KubeAdmin(KubeAccess(kube["url"], Path(kube["ca"]), token=kube["token"]))
        unseal_key = vault.get("unseal_key") or said.get("unseal_key", "")
        self.vault = VaultAdmin(VaultAccess(vault["url"], vault["token"], unseal_key))
