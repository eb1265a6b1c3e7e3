"""The real servers: they start, answer, tell what they were asked, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.testbed.bed import KubectlError, KubeError, VaultError, eventually
from tests.testbed.proxy import Freeze, path_has
from tests.testbed.real import RealBed

pytestmark = pytest.mark.real

TEAM = "smoke"


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBed]:
    """A bed of this module's own: its servers are stopped and killed here."""
    with RealBed(tmp_path_factory.mktemp("bed")) as bed:
        bed.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM}})
        bed.kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "app", "namespace": TEAM}})
        bed.vault.policy(TEAM, 'path "kv/data/smoke/*" { capabilities = ["read"] }')
        role = {
            "bound_service_account_names": "app",
            "bound_service_account_namespaces": TEAM,
            "audience": "vault",
            "token_policies": TEAM,
        }
        bed.vault.write(f"auth/kubernetes/role/{TEAM}", role)
        bed.vault.kv2_put("kv", f"{TEAM}/x", {"password": "first"})
        yield bed


def test_the_administrator_reads_and_writes_objects(bed: RealBed) -> None:
    assert {"default", TEAM} <= {ns["metadata"]["name"] for ns in bed.kube.list("Namespace")}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": TEAM, "labels": {"a": "1", "b": "2"}},
        "stringData": {"k": "v"},
    }
    bed.kube.apply(secret)
    applied = bed.kube.apply({**secret, "metadata": {"name": "s", "namespace": TEAM, "labels": {"a": "1"}}})
    assert applied["metadata"]["labels"] == {"a": "1"}, "what was said before and is said no more goes"
    bed.kube.patch("Secret", TEAM, "s", [{"op": "remove", "path": "/data/k"}], type_="json")
    assert not bed.kube.find("Secret", TEAM, "s").get("data")
    with pytest.raises(KubeError, match="AlreadyExists") as refusal:
        bed.kube.create(secret)
    assert refusal.value.status == 409
    bed.kube.remove(secret)
    bed.kube.remove(secret)
    assert not bed.kube.exists("Secret", TEAM, "s")


def test_kubectl_is_the_real_one(bed: RealBed) -> None:
    assert "Server Version: v1.36.3" in bed.kubectl("version")
    manifest = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}'
    assert bed.kubectl("-n", TEAM, "apply", "-f", "-", stdin=manifest) == "configmap/c created\n"
    with pytest.raises(KubectlError, match="Forbidden"):
        bed.kubectl("-n", TEAM, "get", "configmaps", token=bed.token_for(TEAM, "app"))


def test_both_audit_logs_tell_who_asked_what(bed: RealBed) -> None:
    mark = bed.mark()
    login = bed.vault.login("kubernetes", TEAM, bed.token_for(TEAM, "app", ["vault"]))
    read = bed.vault.read(f"kv/data/{TEAM}/x", token=login["client_token"])
    assert read["data"]["data"] == {"password": "first"}
    with pytest.raises(VaultError, match="permission denied"):
        bed.vault.read("kv/data/other", token=login["client_token"])
    calls = [(call.operation, call.path, call.display_name, call.ok) for call in bed.vault_audit(mark)]
    assert calls == [
        ("update", "auth/kubernetes/login", f"kubernetes-{TEAM}-app", True),
        ("read", f"kv/data/{TEAM}/x", f"kubernetes-{TEAM}-app", True),
        ("read", "kv/data/other", f"kubernetes-{TEAM}-app", False),
    ]
    requests = [
        (call.user, call.verb, call.resource, call.subresource, call.name, call.code) for call in bed.kube_audit(mark)
    ]
    assert ("testbed-admin", "create", "serviceaccounts", "token", "app", 201) in requests
    reviewer = "system:serviceaccount:kube-system:vault-token-reviewer"
    assert [r for r in requests if r[0] == reviewer] == [(reviewer, "create", "tokenreviews", "", "", 201)]
    assert "first" not in (bed.directory / "vault-audit.log").read_text()


def test_garbage_is_collected_and_namespaces_go(bed: RealBed) -> None:
    owner = bed.kube.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner", "namespace": TEAM}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    owned = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "owned", "namespace": TEAM, "ownerReferences": [reference]},
    }
    bed.kube.apply(owned)
    bed.kube.delete("ConfigMap", TEAM, "owner")
    eventually(lambda: not bed.kube.exists("Secret", TEAM, "owned"))
    bed.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "brief"}})
    bed.kube.delete("Namespace", None, "brief")
    eventually(lambda: not bed.kube.exists("Namespace", None, "brief"))


def test_vault_is_sealed_and_unsealed(bed: RealBed) -> None:
    bed.vault.seal()
    assert bed.vault.health()["sealed"] is True
    with pytest.raises(VaultError, match="Vault is sealed"):
        bed.vault.read(f"kv/data/{TEAM}/x")
    bed.vault.unseal()
    eventually(lambda: bed.vault.active)
    assert bed.vault.read(f"kv/data/{TEAM}/x")["data"]["data"] == {"password": "first"}


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_servers_come_back_with_their_data(bed: RealBed, end: str) -> None:
    for name in ("vault", "kube-apiserver"):
        bed.stop_server(name) if end == "stop" else bed.kill_server(name)
        with pytest.raises(httpx.TransportError):
            bed.vault.health() if name == "vault" else bed.kube.list("Namespace")
        bed.start_server(name)
    assert bed.vault.read(f"kv/data/{TEAM}/x")["data"]["data"] == {"password": "first"}
    assert bed.kube.exists("ServiceAccount", TEAM, "app")
    assert bed.process("kube-controller-manager").running


def test_the_api_server_through_the_proxy(bed: RealBed) -> None:
    with bed.kube_proxy() as proxy:
        config = bed.kubeconfig(bed.directory / "proxied.yaml", bed.token_for(TEAM, "app"), proxy.url)
        assert f"system:serviceaccount:{TEAM}:app" in bed.kubectl("--kubeconfig", str(config), "auth", "whoami")
        frozen = proxy.fault(Freeze(), path_has("selfsubjectreviews"))
        with pytest.raises(KubectlError, match=r"Timeout|deadline"):
            bed.kubectl("--kubeconfig", str(config), "--request-timeout=1s", "auth", "whoami")
        assert frozen.hits >= 1


def test_nothing_is_left_after_the_stop(tmp_path_factory: pytest.TempPathFactory) -> None:
    before = set(psutil.Process().children(recursive=True))
    with RealBed(tmp_path_factory.mktemp("gone")) as bed:
        running = set(psutil.Process().children(recursive=True)) - before
        assert len(running) == 4, "no database and no nodes, unless a scenario asks"
        assert bed.vault.active
        bed.database()
        bed.rollouts()
        running = set(psutil.Process().children(recursive=True)) - before
        assert {"kwok", "kube-scheduler", "postgres"} <= {process.name() for process in running}
    assert not any(process.is_running() for process in running)
