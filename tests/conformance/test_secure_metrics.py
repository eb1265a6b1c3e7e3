"""Metrics over TLS, for those alone whom the API server lets: who gets in, who does not, and whose certificate is shown."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conformance.install import shipped
from tests.conformance.stage import OPERATOR_USER, Json, Stage
from tests.testbed.bed import Bed, eventually
from tests.testbed.faults import Status
from tests.testbed.operator import Setting
from tests.testbed.pki import Authority, KeyPair
from tests.testbed.proxy import Proxy, path_has

LASTS = 60
pytestmark = pytest.mark.only_in(
    "full", "write-only", because="whose a token is can be asked for the whole cluster only"
)
RIGHTS = shipped("metrics-auth")
READER = "vault-secrets-operator-metrics-reader"
RBAC = "rbac.authorization.k8s.io"
MONITORING = "monitoring"


class Monitoring:
    """A namespace with ServiceAccounts, of which `prometheus` may scrape."""

    def __init__(self, stage: Stage, port: int, authority: Authority) -> None:
        self.bed, self.operator = stage.bed, stage.operator
        self.url = f"https://localhost:{port}/metrics"
        self.trusting = ssl.create_default_context(cafile=str(authority.certificate))

    def account(self, name: str) -> Json:
        """A ServiceAccount."""
        return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": MONITORING}}

    def token(self, name: str, *audiences: str) -> str:
        """A fresh token of a ServiceAccount, which is made where it is not there yet."""
        self.bed.kube.apply(self.account(name))
        return self.bed.token_for(MONITORING, name, audiences)

    def may_scrape(self, name: str) -> Json:
        """The binding that lets a ServiceAccount scrape."""
        meta = {"name": f"{MONITORING}-{name}"}
        role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": READER}
        subject = {"kind": "ServiceAccount", "name": name, "namespace": MONITORING}
        return {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRoleBinding", "metadata": meta, "roleRef": role,
                "subjects": [subject]}  # fmt: skip

    def scrape(self, token: str | None = None) -> httpx.Response:
        """What is answered to a scraper that verifies the certificate."""
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        return httpx.get(self.url, headers=headers, verify=self.trusting, trust_env=False, timeout=15)


def put(folder: Path, pair: KeyPair) -> None:
    """Mount a certificate as kubelet does, in one step for both files."""
    version = folder / pair.certificate.stem
    version.mkdir()
    for name, text in pair.entries.items():
        (version / name).write_text(text)
    link = folder / "..new"
    link.symlink_to(version.name)
    link.rename(folder / "..data")
    for name in pair.entries:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority of the operator's certificate."""
    return Authority(tmp_path_factory.mktemp("metrics"), "metrics-ca")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Path:
    """A mounted TLS Secret."""
    folder = tmp_path_factory.mktemp("metrics-tls")
    put(folder, authority.serving("first"))
    return folder


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest, prepared: Bed, kube_proxy: Proxy, folder: Path) -> Iterator[Stage]:
    """The bed with an operator that guards its metrics."""
    stage = Stage.of(request, prepared, additions=["metrics-auth"])
    args = ("--metrics-secure", "--metrics-auth", f"--metrics-cert-dir={folder}")
    stage.start_operator(*args, setting=Setting(name="guarded", server=kube_proxy.url))
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def monitoring(stage: Stage, authority: Authority) -> Iterator[Monitoring]:
    """Whoever scrapes."""
    found = Monitoring(stage, stage.operator.metrics_port, authority)
    kube = stage.bed.kube
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": MONITORING}})
    kube.apply(found.may_scrape("prometheus"))
    yield found
    kube.remove(found.may_scrape("prometheus"))
    kube.remove({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": MONITORING}})


def test_a_service_account_with_the_right_scrapes_over_tls(monitoring: Monitoring) -> None:
    token = monitoring.token("prometheus")
    answer = eventually(lambda: found if (found := monitoring.scrape(token)).is_success else None)
    assert "vso_build_info{" in answer.text
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_one_without_the_right_is_refused(monitoring: Monitoring) -> None:
    answer = monitoring.scrape(monitoring.token("stranger"))
    assert (answer.status_code, answer.text) == (403, "the right to get /metrics is missing\n")


@pytest.mark.parametrize("token", [None, "nonsense", "a.b.c"])
def test_without_a_valid_token_nobody_is_known(monitoring: Monitoring, token: str | None) -> None:
    answer = monitoring.scrape(token)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "vso_" not in answer.text


def test_a_token_for_somebody_else_than_the_api_server_is_none(monitoring: Monitoring) -> None:
    assert monitoring.scrape(monitoring.token("prometheus", "vault")).status_code == 401


@pytest.mark.long
def test_the_token_of_a_deleted_service_account_is_refused_soon(monitoring: Monitoring) -> None:
    kube = monitoring.bed.kube
    token = monitoring.token("leaver")
    kube.apply(monitoring.may_scrape("leaver"))
    eventually(lambda: monitoring.scrape(token).is_success, message="it may scrape")
    kube.remove(monitoring.account("leaver"))
    # Ten seconds of ours, and ten for which the API server itself remembers a token.
    eventually(lambda: monitoring.scrape(token).status_code == 401, timeout=35, message="it is refused", interval=1)
    kube.remove(monitoring.may_scrape("leaver"))


def test_one_scrape_after_the_other_asks_the_api_server_once(monitoring: Monitoring) -> None:
    token = monitoring.token("prometheus")
    monitoring.scrape(token)
    mark = monitoring.bed.mark()
    assert {monitoring.scrape(token).status_code for _ in range(5)} == {200}
    asked = [call.resource for call in monitoring.bed.kube_audit(mark) if call.user == OPERATOR_USER]
    assert not {"tokenreviews", "subjectaccessreviews"} & set(asked)


@pytest.mark.parametrize("review", ["tokenreviews", "subjectaccessreviews"])
def test_while_the_api_server_is_away_nobody_gets_in(monitoring: Monitoring, kube_proxy: Proxy, review: str) -> None:
    token = monitoring.token("prometheus")
    fault = kube_proxy.fault(Status(503), path_has(review))
    answer = monitoring.scrape(token)
    assert (answer.status_code, answer.text) == (503, "the API server does not answer\n")
    kube_proxy.lift(fault)
    assert monitoring.scrape(token).status_code == 200


@pytest.mark.refused("create tokenreviews")
def test_an_operator_that_may_not_ask_says_so_in_its_log(monitoring: Monitoring) -> None:
    kube = monitoring.bed.kube
    (binding,) = [d for d in RIGHTS if d["kind"] == "ClusterRoleBinding"]
    kube.remove(binding)

    def refused() -> httpx.Response | None:
        answer = monitoring.scrape(monitoring.token("prometheus"))
        return answer if answer.status_code == 500 else None

    assert "log says why" in eventually(refused, message="it may not ask").text
    log = monitoring.operator.log_text(since_start=True)
    assert "scrapes cannot be let in" in log
    assert 'resources: [\\"tokenreviews\\"], verbs: [\\"create\\"]' in log
    kube.apply(binding)
    eventually(lambda: monitoring.scrape(monitoring.token("prometheus")).is_success, message="it may ask again")


def test_a_certificate_is_rotated_without_a_restart(monitoring: Monitoring, authority: Authority, folder: Path) -> None:
    token = monitoring.token("prometheus")

    def shown() -> str:
        pem = ssl.get_server_certificate(("127.0.0.1", monitoring.operator.metrics_port))
        return "".join(pem.split())

    second = authority.serving("second")
    assert shown() != "".join(second.certificate.read_text().split())
    put(folder, second)
    assert shown() == "".join(second.certificate.read_text().split())
    assert monitoring.scrape(token).status_code == 200
    assert "the metrics certificate is another" in monitoring.operator.log_text(since_start=True)


def test_the_probes_stay_in_the_clear_and_the_metrics_do_not(monitoring: Monitoring) -> None:
    assert monitoring.operator.probe("/healthz") == 200
    assert monitoring.operator.probe("/readyz") == 200
    with pytest.raises(httpx.TransportError):
        monitoring.operator.metrics()


def test_no_token_is_in_the_log(monitoring: Monitoring) -> None:
    tokens = [monitoring.token("prometheus"), monitoring.token("stranger"), "canary-of-a-guess"]
    assert [monitoring.scrape(token).status_code for token in tokens] == [200, 403, 401]
    log = monitoring.operator.log_text()
    assert not [token for token in tokens if token in log]


def test_an_operator_without_a_certificate_makes_one_and_writes_it_nowhere(stage: Stage) -> None:
    setting = Setting(name="of-its-own", env={"TMPDIR": "/proc"})  # where nobody can write
    operator = stage.other("--metrics-secure", setting=setting)
    operator.start()
    try:
        operator.wait_ready()
        answer = httpx.get(f"https://localhost:{operator.metrics_port}/metrics", verify=False, trust_env=False)
        assert "vso_build_info{" in answer.text
    finally:
        operator.stop()
    assert "Traceback" not in operator.log_text()
