"""The real servers: etcd, kube-apiserver, kube-controller-manager and Vault, on the loopback, in one directory.

A database and rollouts that take place start when they are asked for. Invariant: each server keeps its port
and its data over stop, kill and start; nothing survives `stop()`.
"""

from __future__ import annotations

import signal
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, Literal

from tests.testbed import local_http
from tests.testbed.bed import Bed, Json
from tests.testbed.build import binaries
from tests.testbed.database import Database
from tests.testbed.kube_admin import KubeAccess, KubeAdmin
from tests.testbed.pki import KeyPair, signing_key
from tests.testbed.postgres import Postgres
from tests.testbed.process import Command, Exit, Process, free_port
from tests.testbed.rollouts import Rollouts
from tests.testbed.vault_admin import VaultAdmin, initialise

ServerName = Literal["etcd", "kube-apiserver", "kube-controller-manager", "vault"]
ISSUER = "https://kubernetes.default.svc"
REVIEWER_NAMESPACE = "kube-system"
REVIEWER = "vault-token-reviewer"

# What tests lean on; each further controller costs a third of a second at the start.
_CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "daemonset-controller",
    "resourcequota-controller",
    "clusterrole-aggregation-controller",
)
_CONTROLLERS_RUN = "Proceeding to collect garbage"  # its health endpoint says yes before any controller runs
_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""
_VAULT_CONFIG = """\
storage "file" {{ path = "{data}" }}
listener "tcp" {{
  address     = "127.0.0.1:{port}"
  tls_disable = true
}}
listener "tcp" {{
  address            = "127.0.0.1:{tls_port}"
  tls_cert_file      = "{certificate}"
  tls_key_file       = "{key}"
  tls_client_ca_file = "{authority}"
}}
listener "tcp" {{
  address                            = "127.0.0.1:{mutual_port}"
  tls_cert_file                      = "{certificate}"
  tls_key_file                       = "{key}"
  tls_client_ca_file                 = "{authority}"
  tls_require_and_verify_client_cert = true
}}
api_addr      = "http://127.0.0.1:{port}"
disable_mlock = true
ui            = false
"""


class RealBed(Bed):
    """The four servers, each a process that can be stopped, killed and started by its name."""

    name: ClassVar[str] = "real"

    def __init__(self, directory: Path, controllers: tuple[str, ...] = ()) -> None:
        """Put it together; `controllers` are further ones of the kube-controller-manager's."""
        super().__init__(directory)
        self._controllers = (*_CONTROLLERS, *controllers)
        self._signing = signing_key(directory / "pki")
        self._etcd_port, self._peer_port, self._kube_port, self._manager_port, self._vault_port = (
            free_port() for _ in range(5)
        )
        self._vault_tls_port, self._vault_mutual_port = free_port(), free_port()
        self.vault_certificate = self.authority.serving("vault")
        self.kube = KubeAdmin(
            KubeAccess(f"https://127.0.0.1:{self._kube_port}", self.authority.certificate, certificate=self._admin())
        )
        self._processes: dict[ServerName, Process] = {}
        self._extras = ExitStack()  # what was started because a scenario asked for it
        self._database: Database | None = None
        self._rollouts: Rollouts | None = None

    @property
    def etcd_url(self) -> str:
        """Where etcd serves its clients."""
        return f"http://127.0.0.1:{self._etcd_port}"

    @property
    def vault_url(self) -> str:
        """Where Vault listens."""
        return f"http://127.0.0.1:{self._vault_port}"

    @property
    def vault_tls_url(self) -> str:
        """Where Vault speaks TLS, and takes a client's certificate if there is one."""
        return f"https://127.0.0.1:{self._vault_tls_port}"

    @property
    def vault_mutual_tls_url(self) -> str:
        """Where Vault speaks TLS with nobody who has no certificate of the bed's authority."""
        return f"https://127.0.0.1:{self._vault_mutual_port}"

    @property
    def service_account_key(self) -> Path:
        """The public key of what the API server signs."""
        return self._signing.certificate

    def start(self) -> None:
        """Start everything; etcd and Vault first, the others wait for them."""
        self._processes = {
            "etcd": self._etcd(),
            "vault": self._vault(),
            "kube-apiserver": self._apiserver(),
            "kube-controller-manager": self._controller_manager(),
        }
        try:
            for server in self._processes.values():  # all at once: each waits for those that it needs
                server.start()
            self._set_up_vault()
            self._await("kube-apiserver")
            self._set_up_kubernetes_auth()
            self._await("kube-controller-manager")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything, clients before servers: one that has open streams lingers for a minute."""
        self._extras.close()
        self.kube.close()
        if hasattr(self, "vault"):
            self.vault.close()
        for name in ("kube-controller-manager", "vault", "kube-apiserver", "etcd"):
            if name in self._processes and self._processes[name].running:
                self.stop_server(name)

    def database(self) -> Database:
        """PostgreSQL behind Vault's database engine, started when it is asked for first."""
        if self._database is None:
            postgres = Postgres(self.directory / "postgres.log")
            self._extras.callback(postgres.remove)
            database = Database(self.vault, postgres)
            database.set_up()
            self._database = database
        return self._database

    def rollouts(self) -> Rollouts:
        """Nodes on which pods run, and the scheduler that brings them there, started when they are asked for first."""
        if self._rollouts is None:
            scheduler, kwok = (self.component(name) for name in ("kube-scheduler", "kwok"))
            rollouts = Rollouts(self.kube, self.directory, scheduler=scheduler, kwok=kwok)
            self._extras.callback(rollouts.stop)
            rollouts.start()
            self._rollouts = rollouts
        return self._rollouts

    def process(self, name: ServerName) -> Process:
        """One server's process, to freeze it or to read its log."""
        return self._processes[name]

    def start_server(self, name: ServerName) -> None:
        """Start one server again, on its port and its data; Vault is unsealed."""
        self.process(name).start()
        if name == "vault":
            self.vault.reconnect()
            self._await_listening()
            self.vault.unseal()
        if name == "kube-apiserver":
            self.kube.reconnect()
        self._await(name)

    def stop_server(self, name: ServerName, grace: float = 2) -> Exit:
        """Stop one server in good order, or by force after the grace: none loses data by it."""
        return self.process(name).stop(grace)

    def show_certificate(self, pair: KeyPair) -> None:
        """Have Vault's TLS listeners show another certificate from now on, as its administrator does."""
        self._put_certificate(pair)
        self.process("vault").signal(signal.SIGHUP)
        shown = ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())
        where = ("127.0.0.1", self._vault_tls_port)
        self.process("vault").wait_ready(
            lambda: ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(where)) == shown, timeout=10
        )

    def kill_server(self, name: ServerName) -> Exit:
        """Kill one server as a crash does."""
        return self.process(name).kill()

    def _await(self, name: ServerName) -> None:
        manager = self.process("kube-controller-manager")
        probes: dict[ServerName, Callable[[], bool]] = {
            "etcd": lambda: local_http.get(f"http://127.0.0.1:{self._etcd_port}/health").status_code == 200,
            "kube-apiserver": lambda: self.kube.raw("GET", "/readyz").status_code == 200,
            "kube-controller-manager": lambda: _CONTROLLERS_RUN in manager.log_text(since_start=True),
            "vault": lambda: self.vault.active,
        }
        self.process(name).wait_ready(probes[name])

    def _await_listening(self) -> None:
        url = f"{self.vault_url}/v1/sys/seal-status"
        self.process("vault").wait_ready(lambda: local_http.get(url).status_code < 500)

    def _set_up_vault(self) -> None:
        self._await_listening()
        self.vault = VaultAdmin(initialise(self.vault_url))
        self.vault.unseal()
        self._await("vault")
        options = {"file_path": str(self.directory / "vault-audit.log"), "log_raw": "false"}
        self.vault.write("sys/audit/file", {"type": "file", "options": options})
        self.vault.write("sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
        self.vault.write("sys/mounts/kv1", {"type": "kv", "options": {"version": "1"}})
        self.vault.write("sys/auth/kubernetes", {"type": "kubernetes"})

    def _set_up_kubernetes_auth(self) -> None:
        """Give Vault a ServiceAccount that may review tokens and nothing else."""
        subject = {"kind": "ServiceAccount", "name": REVIEWER, "namespace": REVIEWER_NAMESPACE}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"}
        self.kube.apply(
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": REVIEWER, "namespace": REVIEWER_NAMESPACE},
            }
        )
        binding: Json = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": REVIEWER},
        }
        self.kube.apply({**binding, "roleRef": role, "subjects": [subject]})
        config = {
            "kubernetes_host": self.kube.access.url,
            "kubernetes_ca_cert": self.authority.certificate.read_text(),
            "token_reviewer_jwt": self.token_for(REVIEWER_NAMESPACE, REVIEWER, seconds=7 * 86400),
            "disable_local_ca_jwt": True,
        }
        self.vault.write("auth/kubernetes/config", config)

    def _etcd(self) -> Process:
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._peer_port}"
        return self._process(
            "etcd",
            binaries().etcd,
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        )

    def _apiserver(self) -> Process:
        serving = self.authority.serving("kube-apiserver")
        policy = self.directory / "audit-policy.yaml"
        policy.write_text(_AUDIT_POLICY)
        return self._process(
            "kube-apiserver",
            binaries().kube_apiserver,
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._kube_port}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={self.authority.certificate}",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-signing-key-file={self._signing.key}",
            f"--service-account-key-file={self._signing.certificate}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            "--allow-privileged",
            "--disable-admission-plugins=ServiceAccount",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.directory / 'kube-audit.log'}",
            "--audit-log-maxsize=100000",  # one file for all: marks are places in it
        )

    def _controller_manager(self) -> Process:
        return self._process(
            "kube-controller-manager",
            binaries().kube_controller_manager,
            f"--kubeconfig={self.admin_kubeconfig}",
            f"--service-account-private-key-file={self._signing.key}",
            f"--root-ca-file={self.authority.certificate}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            f"--controllers={','.join(self._controllers)}",
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._manager_port}",
        )

    def _vault(self) -> Process:
        config = self.directory / "vault.hcl"
        self._put_certificate(self.vault_certificate)
        config.write_text(
            _VAULT_CONFIG.format(
                data=self.directory / "vault",
                port=self._vault_port,
                tls_port=self._vault_tls_port,
                mutual_port=self._vault_mutual_port,
                certificate=self.directory / "vault-tls-crt.pem",
                key=self.directory / "vault-tls-key.pem",
                authority=self.authority.certificate,
            )
        )
        return self._process("vault", binaries().vault, "server", f"-config={config}")

    def _put_certificate(self, pair: KeyPair) -> None:
        for name, content in pair.entries.items():
            (self.directory / f"vault-{name.replace('.', '-')}.pem").write_text(content)

    def component(self, name: str) -> Path:
        """The kubeconfig of a part of the cluster that asks under its own name."""
        certificate = self.authority.client(f"testbed-{name}", group="system:masters")
        return self.kubeconfig(self.directory / f"{name}-kubeconfig.yaml", certificate=certificate)

    def _process(self, name: str, program: Path, *args: str) -> Process:
        env = {"HOME": str(self.directory)}
        return Process(Command(name, [program, *args], self.directory / f"{name}.log", cwd=self.directory, env=env))

    def _admin(self) -> KeyPair:
        return self.authority.client("testbed-admin", group="system:masters")
