"""The whole sandbox: both servers in the running loop, and the files by which others find them.

Invariant: entering returns when both answer; leaving closes every socket and stream.
"""

from __future__ import annotations

import json
import random
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from aiohttp import web

from vso.core.clock import Clock, SystemClock
from vso.sandbox.apiserver import ApiServer
from vso.sandbox.audit import AuditLog
from vso.sandbox.pki import server_context
from vso.sandbox.vault import Vault

HOST = "127.0.0.1"
ROOT_TOKEN = "root"
SHUTDOWN_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Ports:
    """Where to listen; zero takes any free port."""

    kube: int = 0
    vault: int = 0


class Sandbox:
    """An API server and a Vault that trust each other, both reachable on loopback alone."""

    def __init__(self, directory: Path, ports: Ports = Ports(), *, clock: Clock | None = None) -> None:
        self._directory = directory
        self._ports = ports
        clock = clock or SystemClock()
        directory.mkdir(parents=True, exist_ok=True)
        self._kube_audit = AuditLog(directory / "kube-audit.log")
        self._vault_audit = AuditLog(directory / "vault-audit.log")
        self.api_server = ApiServer(clock, random.SystemRandom(), self._kube_audit)
        reviews = self.api_server.reviews
        self.vault = Vault(clock, self._vault_audit, reviews.token_review, root_token=ROOT_TOKEN)
        self.vault.system.mount("kv", "2")
        self.vault.system.mount("kv1", "1")
        self.vault.system.enable_auth("kubernetes")
        self.kube_url = ""
        self.vault_url = ""
        self._stack = AsyncExitStack()

    @property
    def admin_token(self) -> str:
        """The API server's admin token."""
        return self.api_server.identities.admin_token

    @property
    def ca_file(self) -> Path:
        """The certificate that the API server's is signed by."""
        return self._directory / "ca.crt"

    @property
    def kubeconfig(self) -> Path:
        """The admin's kubeconfig."""
        return self._directory / "kubeconfig"

    async def __aenter__(self) -> Sandbox:
        async with AsyncExitStack() as stack:
            stack.enter_context(self._kube_audit)
            stack.enter_context(self._vault_audit)
            # Clients check the certificate by the machine's clock, whatever clock the servers run on.
            context = server_context(self._directory, SystemClock())
            kube = await _serve(stack, self.api_server.application(), self._ports.kube, context)
            vault = await _serve(stack, self.vault.application(), self._ports.vault, None)
            self._stack = stack.pop_all()
        self.kube_url, self.vault_url = f"https://{HOST}:{kube}", f"http://{HOST}:{vault}"
        self._announce()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _announce(self) -> None:
        kube = {"url": self.kube_url, "ca": str(self.ca_file), "token": self.admin_token}
        vault = {"url": self.vault_url, "token": ROOT_TOKEN, "unseal_key": self.vault.unseal_key}
        _write(self.kubeconfig, _kubeconfig(self.kube_url, self.ca_file, self.admin_token))
        ready = {"kube": kube, "vault": vault, "kubeconfig": str(self.kubeconfig)}
        partial = self._directory / "ready.json.new"
        _write(partial, ready)
        partial.rename(self._directory / "ready.json")


async def _serve(stack: AsyncExitStack, app: web.Application, port: int, context: ssl.SSLContext | None) -> int:
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, HOST, port, ssl_context=context)
    await site.start()
    return int(runner.addresses[0][1])


def _kubeconfig(url: str, ca: Path, token: str) -> dict[str, object]:
    cluster = {"name": "sandbox", "cluster": {"server": url, "certificate-authority": str(ca)}}
    user = {"name": "admin", "user": {"token": token}}
    context = {"name": "sandbox", "context": {"cluster": "sandbox", "user": "admin", "namespace": "default"}}
    frame = {"apiVersion": "v1", "kind": "Config", "current-context": "sandbox"}
    return frame | {"clusters": [cluster], "users": [user], "contexts": [context]}


def _write(path: Path, content: Mapping[str, object]) -> None:
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
