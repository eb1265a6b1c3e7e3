"""Teams whose connections to Vault have their certificates in a place of one kind, and what came of them.

Invariant: what was shown is read in Vault's audit log, and what failed in the operator's counters and its log.
"""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.conformance.stage import OPERATOR_NAMESPACE, Json, Team
from tests.testbed.bed import Mark, VaultCall, eventually
from tests.testbed.mounted import Mounted
from tests.testbed.pki import Authority, KeyPair
from tests.testbed.postgres import Login

CHECKS = 3
"""After so many checks of a connection, what changed before the first of them is in use."""


class Calm:
    """From its making on, no request of a connection to Vault fails, and no pass of the team's objects."""

    def __init__(self, team: Team, connection: str) -> None:
        assert team.stage.operator is not None
        self._operator = team.stage.operator
        self._names = (f"{team.ns}/", connection)
        self._connection = connection
        self._errors, self._read = self._failed(), len(self._operator.log_text())

    def asked(self, operation: str, *, failed: bool = False) -> float:
        """How many requests of a kind there have been, or have failed."""
        name = "vso_client_operations_errors_total" if failed else "vso_client_operations_total"
        return sum(
            sample.value
            for family in text_string_to_metric_families(self._operator.metrics())
            for sample in family.samples
            if sample.name == name
            and sample.labels["vault_connection"] == self._connection
            and operation in ("", sample.labels["operation"])
        )

    def wait_checks(self) -> None:
        """Wait until the connection has been looked at a few times more."""
        before = self.asked("health")
        eventually(lambda: self.asked("health") >= before + CHECKS, message="the connection is looked at")

    def holds(self, *, but: int = 0) -> None:
        """Fail if it was broken, by more than so many requests that had to fail."""
        assert self._failed() - self._errors == but
        lines = [json.loads(line) for line in self._operator.log_text()[self._read :].splitlines() if line[:1] == "{"]
        loud = [line for line in lines if line["level"] != "info" and any(name in str(line) for name in self._names)]
        assert loud == []

    def _failed(self) -> float:
        return self.asked("", failed=True)


def pem(*authorities: Authority) -> str:
    """A bundle of them."""
    return "".join(authority.certificate.read_text() for authority in authorities)


def inline(*authorities: Authority) -> str:
    """A bundle of them as `caBundle` takes it."""
    return base64.b64encode(pem(*authorities).encode()).decode()


class Scene(ABC):
    """A team, a VaultConnection whose material lies in one kind of place, and a Secret that follows Vault."""

    def __init__(self, team: Team, files: Path) -> None:
        self.team = team
        self.volume = Mounted(files / team.ns)
        self.home = team  # whose namespace the VaultConnection is in

    @property
    def connection(self) -> str:
        """Namespace and name of the VaultConnection."""
        return f"{self.home.ns}/{self.team.ns}"

    def connect(self, address: str, **spec: Any) -> None:
        """Apply the VaultConnection."""
        spec = {"address": address, "allowedNamespaces": ["*"], **self.reference(), **spec}
        self.home.apply("VaultConnection", self.team.ns, spec)

    def follow(self, auth: Json | None = None, **changes: Any) -> None:
        """Apply a VaultAuth, and a VaultStaticSecret that follows `<team>/app`."""
        self.team.apply("VaultAuth", "auth", {**(auth or self.team.auth_spec()), "vaultConnectionRef": self.connection})
        self.team.put("app", {"password": "v1"})
        self.team.static(**changes)
        self.follows("v1", put=False)
        self.home.wait_ready(self.team.ns, "VaultConnection")

    def follows(self, value: str, *, put: bool = True) -> None:
        """The Secret follows Vault to the value."""
        if put:
            self.team.put("app", {"password": value})
        self.team.wait_data(lambda data: data["password"] == value)

    def shown(self, since: Mark) -> set[str]:
        """The serial numbers of the certificates that the team's requests have shown."""
        return {call.certificate for call in self.calls(since)}

    def calls(self, since: Mark, path: str = "") -> list[VaultCall]:
        """What the team's logins by certificate and their tokens have asked for."""
        name = f"cert-{self.team.ns}"
        return [c for c in self.team.bed.vault_audit(since) if c.display_name == name and path in c.path]

    def logins(self, since: Mark) -> list[str]:
        """The certificates that the team's logins by certificate have shown."""
        return [call.certificate for call in self.calls(since, "auth/cert/login")]

    def close(self) -> None:
        """Remove what is not in the team's namespace."""
        self.home.bed.kube.delete("VaultConnection", self.home.ns, self.team.ns)

    @abstractmethod
    def reference(self) -> Json: ...

    @abstractmethod
    def put(self, content: Any) -> None: ...


class InSecret(Scene):
    """The bundle in a Secret."""

    def reference(self) -> Json:
        """By the Secret's name."""
        return {"caCertSecretRef": "vault-ca"}

    def put(self, content: str) -> None:
        """Write the Secret."""
        self.team.keep("vault-ca", **{"ca.crt": content})


class InConfigMap(Scene):
    """The bundle in a ConfigMap."""

    def reference(self) -> Json:
        """By the ConfigMap's name."""
        return {"caCertConfigMapRef": {"name": "vault-ca"}}

    def put(self, content: str) -> None:
        """Write the ConfigMap."""
        meta = {"name": "vault-ca", "namespace": self.team.ns}
        self.team.bed.kube.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"ca.crt": content}}
        )
        self.team.grant("configmaps", "vault-ca")


class Filed(Scene):
    """In files of the operator's pod, hence with the VaultConnection in the operator's namespace."""

    def __init__(self, team: Team, files: Path) -> None:
        super().__init__(team, files)
        self.home = Team(team.stage, OPERATOR_NAMESPACE)


class InFile(Filed):
    """The bundle in a mounted volume."""

    def reference(self) -> Json:
        """By the file's path."""
        return {"caCertPath": str(self.volume.folder / "ca.crt")}

    def put(self, content: str) -> None:
        """Swap the volume."""
        self.volume.show({"ca.crt": content})


class OwnInSecret(Scene):
    """The connection's client certificate in a TLS Secret."""

    def reference(self) -> Json:
        """By the Secret's name."""
        return {"clientCertSecretRef": {"name": "client"}, "caBundle": inline(self.team.bed.authority)}

    def put(self, content: KeyPair) -> None:
        """Write the Secret."""
        self.team.keep("client", **content.entries)


class OwnInFiles(Filed):
    """The connection's client certificate in a mounted volume."""

    def reference(self) -> Json:
        """By the paths of its two files."""
        folder = self.volume.folder
        paths = {"clientCertPath": str(folder / "tls.crt"), "clientKeyPath": str(folder / "tls.key")}
        return {**paths, "caBundle": inline(self.team.bed.authority)}

    def put(self, content: KeyPair) -> None:
        """Swap the volume."""
        self.volume.show(content.entries)


class Personal(OwnInSecret):
    """The consumer's client certificate in a TLS Secret of its own, shown by the method cert in place of another."""

    def reference(self) -> Json:
        """The connection has one too, with which nobody can log in."""
        self.team.keep("connection", **self.team.bed.authority.client("nobody").entries)
        return {**super().reference(), "clientCertSecretRef": {"name": "connection"}}


def vouched(team: Team, **role: Any) -> tuple[KeyPair, KeyPair]:
    """Let the bed's authority vouch for certificates of the team's name; return one and its successor."""
    authority = team.bed.authority
    trust = {"certificate": authority.certificate.read_text(), "allowed_common_names": [team.ns]}
    team.bed.vault.write(f"auth/cert/certs/{team.ns}", {**trust, "token_policies": team.ns, "token_ttl": "20m", **role})
    return authority.client(team.ns, file=f"{team.ns}-1"), authority.client(team.ns, file=f"{team.ns}-2")


def by_certificate(team: Team, scene: type[Scene]) -> Json:
    """A VaultAuth of the method cert; the consumer has its own certificate where the scene says so."""
    block: Json = {"name": team.ns, **({"secretRef": "client"} if scene is Personal else {})}
    return {"method": "cert", "mount": "cert", "cert": block}


class Borrowed:
    """A VaultDynamicSecret of the team's, whose token lives for twelve seconds."""

    def __init__(self, scene: Scene) -> None:
        self.team, self._database = scene.team, scene.team.bed.database()
        ns = self.team.ns
        self._database.role(ns, default_ttl="1h", max_ttl="24h")
        rights = {f"kv/data/{ns}/*": "read", f"database/creds/{ns}": "read", "sys/leases/revoke": "update"}
        self.team.policy("".join(f'path "{path}" {{ capabilities = ["{may}"] }}\n' for path, may in rights.items()))

    def apply(self) -> None:
        """Apply it and wait for it."""
        spec = {"vaultAuthRef": "auth", "mount": "database", "path": f"creds/{self.team.ns}", "overlap": "3s"}
        destination = {"name": "db", "create": True, "transformation": {"excludeRaw": True}}
        self.team.apply("VaultDynamicSecret", "db", {**spec, "destination": destination})
        self.team.wait_ready("db", "VaultDynamicSecret")

    @property
    def login(self) -> Login:
        """What the Secret holds."""
        data = self.team.the_data("db")
        return Login(data["username"], data["password"])

    def works(self) -> bool:
        """Whether the database takes what the Secret holds."""
        return self._database.accepts(self.login)
