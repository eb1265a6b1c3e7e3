"""The operator under test: a separate process with its own ServiceAccount's token and nothing of the administrator's.

Invariant: it reaches the bed as a pod does, or through its kubeconfig alone; the host's environment stays outside.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.testbed import local_http
from tests.testbed.bed import Bed
from tests.testbed.process import Command, Exit, Process, free_port

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "vso-system"
SERVICE_ACCOUNT = "vault-secrets-operator"
# What `vso` of the image does, with the mounted folder elsewhere than kubelet mounts it. The image has no
# rich, which structlog imports where it finds it.
PROGRAM = """\
import sys
from pathlib import Path
sys.modules["rich"] = None
from vso.__main__ import command
command("run")
def main(argv):
    account, name, *arguments = argv
    return command(name).main(arguments, account=Path(account))
"""
AS_A_POD = f"{PROGRAM}\nsys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True)
class Identity:
    """Who the operator is in the cluster, and for how long."""

    namespace: str = NAMESPACE
    service_account: str = SERVICE_ACCOUNT
    token_seconds: int = 86400


@dataclass(frozen=True)
class Setting:
    """How this operator differs from the usual one: its folder's name, more environment, a proxy before the API server.

    It is started as in a pod, with a mounted token and the usual variables; or with a `kubeconfig`.
    """

    name: str = "operator"
    env: Mapping[str, str] = field(default_factory=dict)
    server: str | None = None
    identity: Identity = Identity()
    kubeconfig: bool = False


class Operator:
    """`vso run`, started, asked and stopped; `start()` again is a restart with a new token."""

    def __init__(self, bed: Bed, *args: str, setting: Setting | None = None) -> None:
        self.bed = bed
        self.setting = setting or Setting()
        self.directory = bed.directory / self.setting.name
        self.directory.mkdir(exist_ok=True)
        self.metrics_port, self.probe_port = free_port(), free_port()
        self.kubeconfig = self.directory / "kubeconfig.yaml"
        self.process = Process(self._command(args), None if self.setting.kubeconfig else bed.starter(PROGRAM))

    def start(self) -> None:
        """Start it, with a fresh token."""
        identity = self.setting.identity
        token = self.bed.token_for(identity.namespace, identity.service_account, seconds=identity.token_seconds)
        if self.setting.kubeconfig:
            self.bed.kubeconfig(self.kubeconfig, token, self.setting.server)
        else:
            self._mount(token)
        self.process.start()

    def wait_ready(self, timeout: float = 30) -> None:
        """Wait until it says that it is ready."""
        self.process.wait_ready(self.ready, timeout)

    def ready(self) -> bool:
        """Whether it says just now that it is ready."""
        return self.probe("/readyz") == 200

    def probe(self, path: str = "/healthz") -> int:
        """The status of a health endpoint."""
        return local_http.get(f"http://127.0.0.1:{self.probe_port}{path}").status_code

    def stop(self, grace: float = 30) -> Exit:
        """SIGTERM; how it ended and how long it took."""
        return self.process.stop(grace)

    def kill(self) -> Exit:
        """SIGKILL."""
        return self.process.kill()

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.process.running

    def log_text(self, *, since_start: bool = False) -> str:
        """Everything that it has logged, or only since its last start."""
        return self.process.log_text(since_start=since_start)

    def metrics(self) -> str:
        """The text of its metrics endpoint."""
        answer = local_http.get(f"http://127.0.0.1:{self.metrics_port}/metrics")
        return answer.raise_for_status().text

    @property
    def leads(self) -> bool:
        """Whether it says that it is the one that works."""
        lines = self.metrics().splitlines()
        return any(line.startswith("leader_election_master_status{") and line.endswith(" 1.0") for line in lines)

    def rss(self) -> int:
        """Its resident memory in bytes."""
        return self.process.rss()

    def _mount(self, token: str) -> None:
        """Put what kubelet mounts into a pod where the operator looks for it."""
        self._account.mkdir(exist_ok=True)
        (self._account / "ca.crt").write_bytes(self.bed.trusted())
        (self._account / "token").write_text(token)

    @property
    def _account(self) -> Path:
        return self.directory / "serviceaccount"

    def _entry(self) -> tuple[list[str | Path], dict[str, str]]:
        """How it is started, and the variables that tell it where the API server is."""
        if self.setting.kubeconfig:
            return [sys.executable, "-m", "vso", "run", f"--kubeconfig={self.kubeconfig}"], {}
        server = urlsplit(self.setting.server or self.bed.kube.access.url)
        env = {
            "KUBERNETES_SERVICE_HOST": str(server.hostname),
            "KUBERNETES_SERVICE_PORT": str(server.port),
            "PYDANTIC_DISABLE_PLUGINS": "__all__",  # as in the image
        }
        return [sys.executable, "-c", AS_A_POD, self._account, "run"], env

    def _command(self, args: tuple[str, ...]) -> Command:
        entry, where = self._entry()
        run = [
            *entry,
            f"--metrics-bind-address=127.0.0.1:{self.metrics_port}",
            f"--health-probe-bind-address=127.0.0.1:{self.probe_port}",
            *args,
        ]
        env = {
            "HOME": str(self.directory),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "OPERATOR_NAMESPACE": self.setting.identity.namespace,
            **where,
            **self.setting.env,
        }
        return Command(self.setting.name, run, self.directory / "operator.log", cwd=self.directory, env=env)
