"""The manifests as `manifests/README.md` says to use them, built by the real kustomize; nothing is applied."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from tests.conformance import readme
from tests.conformance.contract import flux_kustomizations
from tests.conformance.install import moved, shipped
from tests.conformance.installer import NAME, README, Folder, named
from tests.conformance.stage import GROUP, MANIFESTS, ROOT, Json, documents
from tests.testbed.gitops import kustomize
from vso.api.crds import crd
from vso.api.name_references import rules
from vso.app import rbac
from vso.app.settings import from_args
from vso.core.keys import Kind

pytestmark = [
    pytest.mark.real,
    pytest.mark.only_in("full", because="it is about what is shipped or asked, whatever an operator may do"),
]
LASTS = 30
BASE = MANIFESTS / "base"

KUSTOMIZATIONS = [path for path in readme.files(README) if path.endswith("kustomization.yaml")]
RIGHTS = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The folder of somebody who follows the README."""
    return Folder(tmp_path_factory.mktemp("folder"))


def rights(objects: list[Json]) -> list[Json]:
    return sorted((obj for obj in objects if obj["kind"] in RIGHTS), key=str)


@pytest.mark.parametrize("path", KUSTOMIZATIONS)
def test_every_kustomization_of_the_readme_builds(folder: Folder, path: str) -> None:
    assert folder.build(str(Path(path).parent))


@pytest.mark.parametrize(
    "path", sorted(str(p.parent.relative_to(MANIFESTS)) for p in MANIFESTS.rglob("kustomization.yaml"))
)
def test_every_kustomization_that_is_shipped_builds(path: str, tmp_path: Path) -> None:
    (found,) = documents(MANIFESTS / path / "kustomization.yaml")
    if found["kind"] == "Kustomization":
        assert kustomize(MANIFESTS / path)
    else:  # a component needs what it changes
        (tmp_path / "shipped").symlink_to(MANIFESTS)
        resources = ["shipped/install/argocd" if path.endswith("argocd") else "shipped/base"]
        whole = {"resources": resources, "components": [f"shipped/{path}"]}
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(whole))
        assert kustomize(tmp_path)


def bearing(kind: str, path: str, value: str) -> Json:
    """The least object of a kind that has a value at a path, with lists where its CRD has them."""
    schema = crd(Kind(kind))["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    lists = []
    for part in path.split("/"):
        schema = schema["properties"][part]
        lists.append(schema["type"] == "array")
        schema = schema.get("items", schema)
    found: object = value
    for part, many in reversed(list(zip(path.split("/"), lists, strict=True))):
        found = {part: [found] if many else found}
    assert isinstance(found, dict)
    return {"apiVersion": GROUP, "kind": kind, **found}


def test_every_rule_renames_the_field_that_it_names(tmp_path: Path) -> None:
    versions = {"": "v1", "apps": "apps/v1", "argoproj.io": "argoproj.io/v1alpha1", GROUP.partition("/")[0]: GROUP}
    named, bearers = [], []
    for rule in rules():
        name = f"the-{rule['kind'].lower()}"
        named.append({"apiVersion": versions[rule.get("group", "")], "kind": rule["kind"], "metadata": {"name": name}})
        bearers += [bearing(spec["kind"], spec["path"], name) for spec in rule["fieldSpecs"]]
    for number, bearer in enumerate(bearers):
        bearer["metadata"] = {"name": f"bearer-{number}"}
    (tmp_path / "shipped").symlink_to(MANIFESTS)
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all([*named, *bearers]))
    whole = {"namePrefix": "prod-", "resources": ["all.yaml"], "components": ["shipped/name-reference"]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(whole))
    built = {(obj["kind"], obj["metadata"]["name"]): obj["spec"] for obj in kustomize(tmp_path) if "spec" in obj}
    for bearer in bearers:
        spec = built[bearer["kind"], f"prod-{bearer['metadata']['name']}"]
        assert yaml.safe_dump(spec) == yaml.safe_dump(bearer["spec"]).replace("the-", "prod-the-")


def test_the_rights_of_an_install_are_the_files_of_its_mode() -> None:
    for mode in ("full", "write-only"):
        assert rights(kustomize(MANIFESTS / "install" / mode)) == sorted(shipped(mode), key=str)


def test_an_install_may_name_the_service_accounts_whose_tokens_are_requested(tmp_path: Path) -> None:
    """The component's example, and names of one's own by a patch after it."""
    base, component = (os.path.relpath(MANIFESTS / path, tmp_path) for path in ("base", "components/service-accounts"))
    overlay: Json = {"resources": [base], "components": [component]}
    change = yaml.safe_dump([{"op": "replace", "path": "/rules/4/resourceNames", "value": ["a", "b"]}])
    patches = [{"target": {"kind": "ClusterRole", "name": NAME}, "patch": change}]
    for added, names in (({}, ["app-sa"]), ({"patches": patches}, ["a", "b"])):
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({**overlay, **added}))
        expected = rbac.objects(full=True, service_accounts=names)
        assert rights(kustomize(tmp_path)) == sorted(expected, key=str)


def test_a_second_operator_leaves_the_rights_of_the_first_alone(folder: Folder) -> None:
    built = folder.build("operator-blue")
    assert rights(built) == sorted((moved(document, "vso-blue") for document in shipped("full")), key=str)
    placed = {
        (obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"])
        for objects in (built, kustomize(BASE))
        for obj in objects
        if obj["kind"] != "CustomResourceDefinition"
    }
    assert len(placed) == 2 * len(built)
    (deployment,) = [obj for obj in built if obj["kind"] == "Deployment"]
    settings = from_args(deployment["spec"]["template"]["spec"]["containers"][0]["args"], {}, lambda _path: None)
    assert settings.operator_class == "blue"


def test_a_second_operator_is_removed_by_a_job_of_its_own_class_under_its_own_service_account(folder: Folder) -> None:
    built = folder.build("operator-blue/uninstall")
    assert {obj["metadata"]["namespace"] for obj in built} == {"vso-blue"}
    (binding,) = [obj for obj in built if obj["kind"] == "RoleBinding"]
    (job,) = [obj for obj in built if obj["kind"] == "Job"]
    pod = job["spec"]["template"]["spec"]
    account = {"kind": "ServiceAccount", "name": pod["serviceAccountName"], "namespace": job["metadata"]["namespace"]}
    assert binding["subjects"] == [account]
    settings = from_args(pod["containers"][0]["args"], {}, lambda _path: None)
    (deployment,) = [obj for obj in folder.build("operator-blue") if obj["kind"] == "Deployment"]
    assert settings.operator_class == "blue"
    assert settings.uninstall
    assert settings.uninstall_deployment == deployment["metadata"]["name"]


def test_what_is_deleted_of_a_second_operator_leaves_the_crds_and_the_first_operators_rights(folder: Folder) -> None:
    (commands,) = [block.text for block in readme.marked(README) if "-k operator-blue/uninstall" in block.text]
    (deleted,) = [line.rpartition(" ")[2] for line in commands.splitlines() if line.startswith("kubectl delete")]
    built = folder.build(deleted)
    assert {obj["kind"] for obj in built if "namespace" not in obj["metadata"]} == {
        "Namespace",
        "ClusterRole",
        "ClusterRoleBinding",
    }
    first = {(obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"]) for obj in kustomize(BASE)}
    assert [
        obj for obj in built if (obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"]) in first
    ] == []
    assert {obj["metadata"]["namespace"] for obj in built if "namespace" in obj["metadata"]} == {"vso-blue"}


def test_an_overlay_changes_the_operator(folder: Folder) -> None:
    built = folder.build("operator")
    (deployment,) = [obj for obj in built if obj["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.com/vault-secrets-operator:0.1.0"
    assert "--secrets-access=write-only" in container["args"]
    for kind in ("NetworkPolicy", "ServiceMonitor", "PrometheusRule"):
        assert named(built, kind) == [NAME]


def test_an_overlay_guards_the_metrics_from_the_pod_to_the_scrape(folder: Folder) -> None:
    built = {(obj["kind"], obj["metadata"]["name"]): obj for obj in folder.build("operator")}
    (container,) = built["Deployment", NAME]["spec"]["template"]["spec"]["containers"]
    settings = from_args(container["args"], {}, lambda _path: None)
    assert (settings.metrics_secure, settings.metrics_auth) == (True, True)
    assert settings.metrics_bind_address is not None
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    (served,) = built["Service", f"{NAME}-metrics"]["spec"]["ports"]
    assert ports["metrics"] == served["port"] == settings.metrics_bind_address.port == 8443
    (scrape,) = built["ServiceMonitor", NAME]["spec"]["endpoints"]
    assert (scrape["port"], scrape["scheme"]) == (served["name"], "https")
    assert scrape["bearerTokenFile"] == "/var/run/secrets/kubernetes.io/serviceaccount/token"
    assert scrape["tlsConfig"] == {"insecureSkipVerify": True}
    rights = documents(MANIFESTS / "rbac/metrics-auth/role.yaml") + documents(
        MANIFESTS / "rbac/metrics-auth/reader.yaml"
    )
    assert [built[obj["kind"], obj["metadata"]["name"]] for obj in rights] == rights
    shown = built["ConfigMap", f"{NAME}-dashboard"]
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert list(shown["data"]) == ["vault-secrets-operator.json"]


def test_every_flux_kustomization_of_a_build_waits(folder: Folder) -> None:
    built = [obj for obj in folder.build("flux") if obj["kind"] == "Kustomization"]
    shipped = {obj["metadata"]["name"]: obj for obj in flux_kustomizations()}
    assert {obj["metadata"]["name"] for obj in built} == {*shipped, "more"}
    for obj in built:
        assert obj["spec"]["wait"] is True
        assert len(obj["spec"]["healthCheckExprs"]) == 10
        assert all(kustomize(ROOT / obj["spec"]["path"]))
