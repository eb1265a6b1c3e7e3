"""What `vso rbac` prints for a team's objects, and objects that need rights by name: a CA and a credential in Secrets.

Invariant: the command runs in a process of its own, with manifests on its standard input and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import yaml

from tests.conformance.install import ROOT, Install, Json
from tests.conformance.stage import Team
from tests.testbed.pki import Authority
from tests.testbed.real import RealBed

CA, CREDENTIAL = "vault-ca", "login"


def printed(objects: Iterable[Json], *args: str) -> str:
    """What the command prints, without a word of complaint."""
    text = yaml.safe_dump_all(objects)
    command = [sys.executable, "-m", "vso", "rbac", "-f", "-", *args]
    done = subprocess.run(command, input=text, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@dataclass(frozen=True)
class Printed(Install):
    """An install whose roles are those that were printed, and no others."""

    documents: tuple[Json, ...] = ()

    def roles(self, namespaces: Sequence[str]) -> list[Json]:
        """The roles and bindings."""
        return [*self.documents]


def keep_ca(team: Team, authority: Authority) -> None:
    """The CA of Vault, in a Secret that nobody is let read yet."""
    keep(team, CA, "ca.crt", authority.certificate.read_text())


def keep(team: Team, name: str, key: str, value: str) -> None:
    """A Secret of the team's that nobody is let read yet."""
    meta = {"name": name, "namespace": team.ns}
    team.bed.kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {key: value}})


def connection(team: Team, address: str) -> Json:
    """A VaultConnection by TLS, whose CA is in a Secret."""
    return team.manifest("VaultConnection", "vault", {"address": address, "caCertSecretRef": CA})


def login_by_secret(team: Team, name: str) -> Json:
    """A VaultAuth whose credential is in a Secret: an AppRole, or a token where Vault has no such method."""
    vault, spec = team.bed.vault, {"vaultConnectionRef": "vault"}
    if not isinstance(team.bed, RealBed):
        made = vault.write("auth/token/create", {"policies": [team.ns], "ttl": "1h"})
        keep(team, CREDENTIAL, "token", made["auth"]["client_token"])
        return team.manifest("VaultAuth", name, {**spec, "method": "token", "token": {"secretRef": CREDENTIAL}})
    if "approle/" not in vault.read("sys/auth")["data"]:
        vault.write("sys/auth/approle", {"type": "approle"})
    role = f"auth/approle/role/{team.ns}"
    vault.write(role, {"token_policies": team.ns, "token_ttl": "20m"})
    keep(team, CREDENTIAL, "id", vault.write(f"{role}/secret-id")["data"]["secret_id"])
    block = {"roleId": vault.read(f"{role}/role-id")["data"]["role_id"], "secretRef": CREDENTIAL}
    return team.manifest("VaultAuth", name, {**spec, "method": "appRole", "mount": "approle", "appRole": block})
