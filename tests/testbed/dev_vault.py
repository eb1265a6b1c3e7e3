"""A further Vault with an environment of its own, in memory and unsealed.

Invariant: it keeps nothing, and ends with its block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.testbed import local_http
from tests.testbed.build import binaries
from tests.testbed.process import Command, Process, free_port
from tests.testbed.vault_admin import VaultAccess, VaultAdmin

_TOKEN = "root"


@contextmanager
def dev_vault(directory: Path, env: Mapping[str, str]) -> Iterator[VaultAdmin]:
    """Start it; `kv` is a KV v2."""
    directory.mkdir(parents=True, exist_ok=True)
    host = f"127.0.0.1:{free_port()}"
    args = ("server", "-dev", f"-dev-root-token-id={_TOKEN}", f"-dev-listen-address={host}", "-dev-no-store-token")
    command = Command(
        "dev-vault",
        [binaries().vault, *args],
        directory / "vault.log",
        cwd=directory,
        env={"HOME": str(directory), **env},
    )
    process = Process(command)
    process.start()
    try:
        url = f"http://{host}"
        process.wait_ready(lambda: local_http.get(f"{url}/v1/sys/health").status_code == 200)
        vault = VaultAdmin(VaultAccess(url, _TOKEN, ""))
        vault.write("sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
        yield vault
        vault.close()
    finally:
        if process.running:
            process.stop(2)
