"""A bed: an API server and a Vault, looked at from outside. What the real servers and the sandbox have in common.

Invariant: tests use a bed through this class alone, so that a scenario runs on either kind.
"""

from __future__ import annotations

import base64
import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

import yaml

from tests.testbed.audits import ApiCall, AuditLog, Mark, VaultCall, kube_log, vault_log
from tests.testbed.build import binaries
from tests.testbed.database import AnyDatabase
from tests.testbed.kube_admin import Json, KubeAdmin, KubeError, object_path
from tests.testbed.pki import Authority, KeyPair
from tests.testbed.process import Child, Command
from tests.testbed.proxy import Proxy
from tests.testbed.vault_admin import VaultAdmin, VaultError
from tests.testbed.waiting import always, eventually

__all__ = [
    "ApiCall",
    "Bed",
    "Json",
    "KubeAdmin",
    "KubeError",
    "KubectlError",
    "Mark",
    "VaultAdmin",
    "VaultCall",
    "VaultError",
    "always",
    "eventually",
]


class KubectlError(Exception):
    """kubectl ended with an error; the message is what it said."""


class Bed(ABC):
    """An API server, a Vault with `kv/`, `kv1/` and `auth/kubernetes`, and their audit logs."""

    name: ClassVar[str]
    kube: KubeAdmin
    vault: VaultAdmin

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.authority = Authority(directory / "pki")

    @abstractmethod
    def start(self) -> None:
        """Start the servers and return when they are ready."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the servers; nothing is left running."""

    @abstractmethod
    def database(self) -> AnyDatabase:
        """A database behind Vault's database engine, there from when it is asked for first."""

    def starter(self, program: str) -> Callable[[Command], Child] | None:
        """How a child starts that runs the program's `main`: as a process of its own, from the beginning."""
        return None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def mark(self) -> Mark:
        """This moment in the audit logs."""
        return Mark(self._kube_log.mark(), self._vault_log.mark())

    def kube_audit(self, since: Mark | None = None) -> list[ApiCall]:
        """The requests to the API server since the mark."""
        return self._kube_log.calls(since.kube if since else 0)

    def vault_audit(self, since: Mark | None = None) -> list[VaultCall]:
        """The requests to Vault since the mark."""
        return self._vault_log.calls(since.vault if since else 0)

    def trusted(self) -> bytes:
        """The certificates of those who sign for the API server, and for a proxy before it."""
        return b"".join(sorted({self.kube.access.ca.read_bytes(), self.authority.certificate.read_bytes()}))

    def kubeconfig(
        self, path: Path, token: str | None = None, server: str | None = None, *, certificate: KeyPair | None = None
    ) -> Path:
        """Write a kubeconfig: the administrator's, or one that holds a token or a certificate and nothing else."""
        access = self.kube.access
        user = _user(token, certificate) if token or certificate else _user(access.token, access.certificate)
        authority = base64.b64encode(self.trusted()).decode()
        cluster = {"server": server or access.url, "certificate-authority-data": authority}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "bed", "cluster": cluster}],
            "users": [{"name": "user", "user": user}],
            "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": "user", "namespace": "default"}}],
            "current-context": "bed",
        }
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        path.chmod(0o600)
        return path

    def kubectl(self, *args: str, stdin: str | None = None, token: str | None = None, cwd: Path | None = None) -> str:
        """Run the real kubectl, as administrator or with a token, and return what it printed."""
        done = self.run_kubectl(args, stdin=stdin, token=token, cwd=cwd)
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def run_kubectl(
        self, args: Sequence[str], *, stdin: str | None = None, token: str | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl and return how it ended."""
        config = (
            self.kubeconfig(self.directory / "kubectl-token.yaml", token)
            if token is not None
            else self.admin_kubeconfig
        )
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.directory), "KUBECONFIG": str(config)}
        command: list[str | Path] = [binaries().kubectl, *args]
        return subprocess.run(
            command, input=stdin, env=env, cwd=cwd, capture_output=True, text=True, timeout=120, check=False
        )

    def kube_proxy(self, *, record_headers: bool = False) -> Proxy:
        """A proxy before the API server, not started; the bed's kubeconfigs trust it."""
        access = self.kube.access
        return Proxy(access.url, ca=access.ca, serving=self.authority.serving("proxy"), record_headers=record_headers)

    def vault_proxy(self, *, record_headers: bool = False) -> Proxy:
        """A proxy before Vault, not started."""
        return Proxy(self.vault.url, record_headers=record_headers)

    def token_for(
        self,
        namespace: str,
        service_account: str,
        audiences: Sequence[str] = (),
        seconds: int = 3600,
        *,
        pod: Json | None = None,
    ) -> str:
        """Have the API server issue a token for a ServiceAccount, which ends with the pod if one is given."""
        path = object_path("ServiceAccount", namespace, service_account) + "/token"
        spec: Json = {"expirationSeconds": seconds, "audiences": list(audiences)}
        if pod is not None:
            meta = pod["metadata"]
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        response = self.kube.raw("POST", path, json=body)
        if not response.is_success:
            raise KubeError(response.status_code, "", response.text[:500], {})
        return str(response.json()["status"]["token"])

    @cached_property
    def admin_kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.kubeconfig(self.directory / "admin.yaml")

    @cached_property
    def _kube_log(self) -> AuditLog[ApiCall]:
        return kube_log(self.directory / "kube-audit.log")

    @cached_property
    def _vault_log(self) -> AuditLog[VaultCall]:
        return vault_log(self.directory / "vault-audit.log")


def _user(token: str | None, certificate: KeyPair | None) -> Json:
    if certificate is None:
        return {"token": token}
    return {"client-certificate": str(certificate.certificate), "client-key": str(certificate.key)}
