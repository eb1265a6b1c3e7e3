"""The chart as rendered by the real helm: every switch against its golden, and against a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from tests.conformance.chart_cases import (
    CASES,
    CHART,
    GOLDENS,
    LABELS,
    NAMESPACE,
    Json,
    goldens,
    of_kind,
    operator_of,
    render,
    rules,
    values_of,
)
from tests.conformance.install import shipped
from tests.conformance.stage import MANIFESTS, Stage, documents
from tests.testbed.helm import Helm
from tests.testbed.real import RealBed
from vso.app import rbac
from vso.app.flags import texts
from vso.app.settings import from_args

pytestmark = [
    pytest.mark.real,
    pytest.mark.only_in("full", because="it is about what is shipped or asked, whatever an operator may do"),
]
LASTS = 40

RESTRICTED = "restricted"
# What these ask for is not restricted, or of this cluster.
UNRESTRICTED = {"host-network", "sidecars", "scheduling"}
# The cases that name the operator, and how.
NAMES = {"names": ("vault", "vso-blue"), "name": (NAMESPACE, "vso-green")}
MONITORING_CRDS = [
    {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.lower()}s.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": f"{kind.lower()}s"},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                }
            ],
        },
    }
    for kind in ("ServiceMonitor", "PrometheusRule")
]


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def rendered(helm: Helm) -> dict[str, list[Json]]:
    return {case: render(helm, case) for case in CASES}


@pytest.fixture(scope="module")
def cluster(real_bed: RealBed) -> Iterator[RealBed]:
    """An API server that knows every kind and namespace of the cases, and a namespace for restricted pods."""
    Stage(real_bed).set_up()
    for definition in MONITORING_CRDS:
        real_bed.kube.apply(definition)
    for name in ("team-a", "team-b", "vault"):
        real_bed.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    real_bed.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RESTRICTED, "labels": labels}})
    yield real_bed
    for name in ("team-a", "team-b", "vault", RESTRICTED):
        real_bed.kube.remove({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for definition in MONITORING_CRDS:
        real_bed.kube.remove(definition)


@pytest.mark.parametrize("case", CASES)
def test_helm_finds_nothing_to_say_against_the_chart(helm: Helm, case: str) -> None:
    said = helm("lint", "--strict", CHART, *values_of(case))
    assert "0 chart(s) failed" in said


def test_every_switch_changes_what_its_golden_shows(rendered: dict[str, list[Json]]) -> None:
    kept = {path.name: path.read_text() for path in GOLDENS.iterdir()}
    made = goldens(rendered)
    assert sorted(kept) == sorted(made)
    assert {name: text for name, text in made.items() if kept[name] != text} == {}, (
        "make chart writes them anew: look at the difference"
    )


@pytest.mark.parametrize("case", CASES)
def test_the_api_server_takes_every_object(cluster: RealBed, rendered: dict[str, list[Json]], case: str) -> None:
    manifest = yaml.safe_dump_all(rendered[case])
    cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=manifest)


@pytest.mark.parametrize("case", sorted(set(CASES) - UNRESTRICTED))
def test_pod_security_restricted_admits_every_pod(cluster: RealBed, rendered: dict[str, list[Json]], case: str) -> None:
    for owner in of_kind(rendered[case], "Deployment", "Job"):
        assert try_pod(cluster, owner["spec"]["template"]["spec"]) is None


def test_pod_security_restricted_refuses_a_pod_that_is_less_hardened(
    cluster: RealBed, rendered: dict[str, list[Json]]
) -> None:
    (deployment,) = of_kind(rendered["default"], "Deployment")
    spec = deepcopy(deployment["spec"]["template"]["spec"])
    del spec["containers"][0]["securityContext"]["capabilities"]
    assert "unrestricted capabilities" in str(try_pod(cluster, spec))


def try_pod(cluster: RealBed, spec: Json) -> str | None:
    """What the API server has against a pod."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "try"}, "spec": spec}
    response = cluster.kube.raw("POST", f"/api/v1/namespaces/{RESTRICTED}/pods", params={"dryRun": "All"}, json=pod)
    return None if response.is_success else str(response.json()["message"])


@pytest.mark.parametrize("case", CASES)
def test_every_hook_ends_before_helm_gives_up_waiting(rendered: dict[str, list[Json]], case: str) -> None:
    for job in of_kind(rendered[case], "Job"):
        assert 0 < job["spec"].get("activeDeadlineSeconds", 0) < 300, job["metadata"]["name"]


@pytest.mark.parametrize("mode", ["full", "write-only"])
def test_the_rights_are_those_of_the_manifests(rendered: dict[str, list[Json]], mode: str) -> None:
    objects = rendered["default" if mode == "full" else "write-only"]
    given = {d["kind"]: d for d in shipped(mode) if "rules" in d and not d["metadata"]["name"].endswith("-restarts")}
    name = f"vault-secrets-operator-{NAMESPACE}"
    assert rules(objects, "ClusterRole", name) == given["ClusterRole"]["rules"]
    assert rules(objects, "Role", "vault-secrets-operator", NAMESPACE) == given["Role"]["rules"]
    (restarts,) = [d for d in documents(MANIFESTS / "rbac" / mode / "restarts.yaml") if "rules" in d]
    assert rules(objects, "ClusterRole", f"{name}-restarts") == restarts["rules"]


def test_an_install_for_namespaces_has_the_manifests_rights_in_each_and_no_cluster_role(
    rendered: dict[str, list[Json]],
) -> None:
    objects = rendered["namespaces"]
    assert of_kind(objects, "ClusterRole", "ClusterRoleBinding") == []
    (role,) = [d for d in documents(MANIFESTS / "rbac/namespaced/write-only/role.yaml") if "rules" in d]
    for rule in role["rules"]:
        if rule["resources"] == ["serviceaccounts/token"]:
            rule["resourceNames"] = ["app"]
    for namespace in ("team-a", "team-b"):
        assert rules(objects, "Role", f"vault-secrets-operator-{NAMESPACE}", namespace) == role["rules"]


def test_the_rights_of_kept_tokens_and_of_credentials_are_the_manifests(rendered: dict[str, list[Json]]) -> None:
    (cache,) = [d for d in documents(MANIFESTS / "rbac/client-cache/role.yaml") if "rules" in d]
    assert rules(rendered["cache-accessor"], "Role", "vault-secrets-operator-client-cache", NAMESPACE) == cache["rules"]
    made = {d["metadata"]["name"] for d in of_kind(rendered["cache-accessor"], "Secret")}
    assert made == set(rbac.CLIENT_CACHE)
    (example,) = [d for d in documents(MANIFESTS / "rbac/credentials/role.yaml") if "rules" in d]
    shape = [(rule["resources"], rule["verbs"]) for rule in example["rules"]]
    found = rules(rendered["credentials"], "Role", f"vault-secrets-operator-{NAMESPACE}-credentials", "team-a")
    assert [(rule["resources"], rule["verbs"]) for rule in found] == shape


@pytest.mark.parametrize("case", CASES)
def test_the_operator_understands_its_flags(rendered: dict[str, list[Json]], case: str) -> None:
    container = operator_of(rendered[case])
    settings = from_args(container["args"], {}, lambda _path: None)
    assert settings.warnings == ()
    for job in of_kind(rendered[case], "Job"):
        (hook,) = job["spec"]["template"]["spec"]["containers"]
        if "command" not in hook:
            assert texts(hook["args"])["uninstall"] == "true"


def test_the_pod_is_that_of_the_manifests(rendered: dict[str, list[Json]]) -> None:
    (manifest,) = documents(MANIFESTS / "operator/deployment.yaml")
    (chart,) = of_kind(rendered["default"], "Deployment")
    theirs, ours = (deepcopy(found["spec"]["template"]["spec"]) for found in (manifest, chart))
    (of_manifest,), (of_chart,) = theirs.pop("containers"), ours.pop("containers")
    assert ours == theirs
    told, meant = (from_args(container.pop("args"), {}, lambda _path: None) for container in (of_chart, of_manifest))
    assert told == meant
    # The chart names its namespace, and is asked whether it is ready a little more often.
    of_chart["env"] = [entry for entry in of_chart["env"] if entry["name"] != "OPERATOR_NAMESPACE"]
    of_chart["readinessProbe"]["periodSeconds"] = of_manifest["readinessProbe"]["periodSeconds"]
    assert of_chart == of_manifest


@pytest.mark.parametrize("case", CASES)
def test_names_are_constant_and_every_subject_is_there(rendered: dict[str, list[Json]], case: str) -> None:
    objects = rendered[case]
    (deployment,) = of_kind(objects, "Deployment")
    meta = deployment["metadata"]
    assert (meta["namespace"], meta["name"]) == NAMES.get(case, (NAMESPACE, "vault-secrets-operator"))
    accounts = {(a["metadata"]["namespace"], a["metadata"]["name"]) for a in of_kind(objects, "ServiceAccount")}
    roles = {
        (r["kind"], r["metadata"].get("namespace"), r["metadata"]["name"])
        for r in of_kind(objects, "Role", "ClusterRole")
    }
    for binding in of_kind(objects, "RoleBinding", "ClusterRoleBinding"):
        (subject,) = binding["subjects"]
        assert (subject["namespace"], subject["name"]) in accounts
        assert (binding["roleRef"]["kind"], binding["metadata"].get("namespace"), binding["roleRef"]["name"]) in roles
    for found in of_kind(objects, "ClusterRole", "ClusterRoleBinding"):
        assert found["metadata"]["name"].count(meta["namespace"]) == 1


@pytest.mark.parametrize("case", sorted(set(CASES) - {"extra-objects"}))
def test_every_object_has_the_labels_that_helms_users_look_for(rendered: dict[str, list[Json]], case: str) -> None:
    for found in rendered[case]:
        assert found["metadata"]["labels"].items() >= LABELS.items()


@pytest.mark.parametrize("case", CASES)
def test_what_selects_pods_selects_the_operators_and_no_hooks(rendered: dict[str, list[Json]], case: str) -> None:
    objects = rendered[case]
    (deployment,) = of_kind(objects, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    selectors = [deployment["spec"]["selector"]["matchLabels"]]
    selectors += [found["spec"]["selector"] for found in of_kind(objects, "Service")]
    selectors += [found["spec"]["selector"]["matchLabels"] for found in of_kind(objects, "PodDisruptionBudget")]
    selectors += [found["spec"]["podSelector"]["matchLabels"] for found in of_kind(objects, "NetworkPolicy")]
    for selector in selectors:
        assert selector.items() <= labels
        for job in of_kind(objects, "Job"):
            assert not selector.items() <= job["spec"]["template"]["metadata"]["labels"].items()


def test_keys_without_meaning_are_taken_and_told(cluster: RealBed, tmp_path: Path) -> None:
    helm = Helm(tmp_path, cluster.admin_kubeconfig)
    install = ("install", "vso", CHART, "--dry-run=client", "--namespace", "team-a")
    said = helm(*install, *values_of("reference")).partition("NOTES:")[2]
    warned = {line.split()[1].rstrip(":") for line in said.splitlines() if "WARNING:" in line}
    assert warned == {
        "controller.kubeRbacProxy",
        "controller.manager.logging.timeEncoding",
        "controller.manager.backoffOnSecretSourceError.maxElapsedTime",
        "controller.manager.clientCache.cacheSize",
        "controller.manager.clientCache.numLocks",
        "controller.manager.kubeClient.qps",
        "controller.manager.kubeClient.burst",
        "controller.controllerConfigMapYaml",
        "controller.kubernetesClusterDomain",
        "telemetry.serviceMonitor.scheme",
        "csi",
        "tests",
    }
    assert "WARNING" not in helm(*install)


def test_a_scrape_that_is_asked_for_otherwise_than_metrics_are_served_is_told(cluster: RealBed, tmp_path: Path) -> None:
    helm = Helm(tmp_path, cluster.admin_kubeconfig)
    asked = {"enabled": True, "scheme": "https", "bearerTokenFile": "/t"}
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"telemetry": {"serviceMonitor": asked}}))
    install = ("install", "vso", CHART, "--dry-run=client", "--namespace", "team-a", "-f", values)
    said = helm(*install).partition("NOTES:")[2]
    for key in ("scheme", "bearerTokenFile"):
        assert f"WARNING: telemetry.serviceMonitor.{key}: metrics are served over" in said
    guarded = helm(*install, "--set", "metrics.secure=true", "--set", "metrics.auth=true")
    assert "WARNING" not in guarded
    assert "--clusterrole=vault-secrets-operator-team-a-metrics-reader" in guarded.partition("NOTES:")[2]
