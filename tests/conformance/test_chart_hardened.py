"""The chart where all is narrow: write-only, TLS both ways from mounted files, and a hook that fails first.

The scenarios are one story in a cluster of their own.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.conformance.chart_cases import CHART, ROOT
from tests.conformance.chart_readme import run, snippet
from tests.conformance.stage import AUDIENCE, MANIFESTS, OPERATOR_NAMESPACE, OPERATOR_USER, Json, Stage, Team, documents
from tests.testbed.bed import Mark, eventually
from tests.testbed.cluster import Cluster
from tests.testbed.helm import HelmError
from tests.testbed.pki import Authority

pytestmark = pytest.mark.real
LASTS = 90

NAME = "vault-secrets-operator"
HOOK = f"upgrade-crds-{NAME}"
CRD = "vaultauths.secrets.hashicorp.com"
LOGIN = "defaultAuthMethod"


@pytest.fixture(scope="module")
def cluster(cluster: Cluster) -> Cluster:
    """One that has what the release mounts."""
    keep(cluster, "ConfigMap", "vault-ca", data={"ca.crt": cluster.bed.authority.certificate.read_text()})
    keep(cluster, "Secret", "vault-client", stringData=dict(cluster.bed.authority.client("vso").entries))
    return cluster


def keep(cluster: Cluster, kind: str, name: str, **content: Json) -> None:
    """Keep an object in the operator's namespace, which is made where it is missing."""
    kube = cluster.bed.kube
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OPERATOR_NAMESPACE}})
    kube.apply(
        {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": OPERATOR_NAMESPACE}, **content}
    )


def install(cluster: Cluster, *args: str) -> str:
    """Install or upgrade the release: write-only, with TLS both ways and defaults for the team `app`."""
    return cluster.helm(
        "upgrade", "--install", NAME, CHART, "--namespace", OPERATOR_NAMESPACE, "--wait",
        "--set", "rbac.mode=write-only,crds.annotations.example\\.com/team=platform",
        "--set", "vault.tls.caConfigMap=vault-ca,vault.tls.clientCertSecret=vault-client",
        "--set", f"defaultVaultConnection.enabled=true,defaultVaultConnection.address={cluster.bed.vault_mutual_tls_url}",
        "--set", f"{LOGIN}.enabled=true,{LOGIN}.allowedNamespaces={{app}},{LOGIN}.kubernetes.role=app",
        "--set", f"{LOGIN}.kubernetes.serviceAccount=app,{LOGIN}.kubernetes.tokenAudiences={{{AUDIENCE}}}",
        "--set", "argocd.healthChecks.create=true,argocd.actions.create=true",
        *args,
    )  # fmt: skip


def operators_pod(cluster: Cluster) -> Json:
    """The operator's one pod."""
    found = cluster.bed.kube.list("Pod", OPERATOR_NAMESPACE, labelSelector="app.kubernetes.io/component=controller")
    (pod,) = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
    return pod


@pytest.fixture(scope="module")
def failed(cluster: Cluster) -> str:
    """What helm says of an install whose hook has too little time; the CRDs are there already, one with a word of another."""
    for path in sorted((MANIFESTS / "crds").glob("*.yaml")):
        (crd,) = documents(path)
        del crd["metadata"]["annotations"]
        cluster.bed.kube.create(crd)
    cluster.bed.kube.patch(
        "CustomResourceDefinition", None, CRD, {"metadata": {"annotations": {"example.com/x": "mine"}}}
    )
    with pytest.raises(HelmError) as told:
        install(cluster, "--set", "hooks.upgradeCRDs.executionTimeout=1ms,hooks.upgradeCRDs.backoffLimit=0")
    return str(told.value)


@pytest.fixture(scope="module")
def released(cluster: Cluster, failed: str) -> Mark:
    """The moment before the release that came through after all."""
    assert failed
    mark = cluster.bed.mark()
    install(cluster)
    return mark


@pytest.fixture(scope="module")
def team(cluster: Cluster, released: Mark) -> Team:
    """A team that names no access of its own."""
    team = Stage(cluster.bed).team("app")
    team.put("app", {"password": "v1"})
    team.apply("VaultStaticSecret", "app", {k: v for k, v in team.secret_spec().items() if k != "vaultAuthRef"})
    return team


def test_a_hook_that_fails_leaves_nothing_that_has_a_right_and_says_why(cluster: Cluster, failed: str) -> None:
    assert "not done within 0.001 s" in failed
    kube = cluster.bed.kube
    for kind in ("ClusterRole", "ClusterRoleBinding", "ServiceAccount"):
        assert [o["metadata"]["name"] for o in kube.list(kind) if HOOK in o["metadata"]["name"]] == []
    (command,) = snippet("why")
    assert "not done within 0.001 s: waited for" in run(cluster, command)
    job = kube.find("Job", OPERATOR_NAMESPACE, HOOK)
    assert job["spec"]["ttlSecondsAfterFinished"] == 3600


@pytest.mark.usefixtures("released")
def test_the_next_try_comes_through_and_takes_the_failed_job_away(cluster: Cluster) -> None:
    assert cluster.bed.kube.list("Job", OPERATOR_NAMESPACE) == []
    assert operators_pod(cluster)["spec"]["volumes"][0]["name"] == "vault-tls"


@pytest.mark.usefixtures("released")
def test_crds_that_were_there_have_our_annotations_and_keep_those_of_others(cluster: Cluster) -> None:
    ours = {"kustomize.toolkit.fluxcd.io/prune": "disabled", "example.com/team": "platform"}
    found = cluster.bed.kube.list("CustomResourceDefinition")
    assert [ours.items() <= crd["metadata"]["annotations"].items() for crd in found] == [True] * 10
    assert (
        cluster.bed.kube.find("CustomResourceDefinition", None, CRD)["metadata"]["annotations"]["example.com/x"]
        == "mine"
    )


def test_a_secret_is_synced_over_tls_both_ways_without_a_right_to_read_either_certificate(
    cluster: Cluster, team: Team, released: Mark
) -> None:
    team.wait_ready()
    assert team.the_data()["password"] == "v1"
    calls = [call for call in cluster.bed.kube_audit(released) if call.user == OPERATOR_USER]
    assert [call.uri for call in calls if call.code == 403] == []
    assert [call.uri for call in calls if "vault-ca" in call.uri or "vault-client" in call.uri] == []
    assert {call.verb for call in calls if call.resource == "secrets" and call.namespace == "app"} <= {
        "create",
        "patch",
    }


def test_a_new_authority_in_the_configmap_is_trusted_by_the_pod_that_runs(
    cluster: Cluster, team: Team, tmp_path: Path
) -> None:
    team.wait_ready()
    before = operators_pod(cluster)
    successor = Authority(tmp_path / "successor", "successor-ca")
    both = "".join(authority.certificate.read_text() for authority in (cluster.bed.authority, successor))
    keep(cluster, "ConfigMap", "vault-ca", data={"ca.crt": both})
    cluster.bed.show_certificate(successor.serving("vault"))
    cluster.bed.stop_server("vault")  # no connection outlives it: each has to look at the certificate anew
    cluster.bed.start_server("vault")
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2", timeout=60)
    after = operators_pod(cluster)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert [status["restartCount"] for status in after["status"]["containerStatuses"]] == [0]


@pytest.mark.usefixtures("released")
def test_argo_cd_takes_the_charts_patch_and_keeps_its_own_keys(cluster: Cluster) -> None:
    cluster.bed.kubectl("create", "namespace", "argocd")
    cluster.bed.kubectl("create", "configmap", "argocd-cm", "-n", "argocd", "--from-literal=url=https://argocd")
    (command,) = snippet("argocd")
    run(cluster, command)
    data = cluster.bed.kube.find("ConfigMap", "argocd", "argocd-cm")["data"]
    assert data["url"] == "https://argocd"
    health = (ROOT / "manifests/components/argocd/health.lua").read_text()
    assert len([key for key, text in data.items() if text == health]) == 10
    actions = yaml.safe_load(data["resource.customizations.actions.secrets.hashicorp.com_VaultPKISecret"])
    assert {action["name"] for action in actions["definitions"]} >= {"refresh", "suspend", "resume"}


def test_an_uninstall_takes_the_defaults_and_leaves_what_the_chart_did_not_make(cluster: Cluster, team: Team) -> None:
    cluster.helm("uninstall", NAME, "--namespace", OPERATOR_NAMESPACE, "--wait")
    kube = cluster.bed.kube
    assert not kube.exists("VaultConnection", OPERATOR_NAMESPACE, "default")
    assert kube.exists("ConfigMap", OPERATOR_NAMESPACE, "vault-ca")
    assert kube.exists("Secret", OPERATOR_NAMESPACE, "vault-client")
    assert team.the_data()["password"] == "v2"
    eventually(lambda: kube.list("Pod", OPERATOR_NAMESPACE) == [], message="the operator's pods are gone")
