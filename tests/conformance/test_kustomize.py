"""The manifests as `manifests/README.md` says to use them: built by the real kustomize, applied, and worked under.

The scenarios are one story on servers of their own, for they install the operator and take it away again.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conformance import readme
from tests.conformance.chart_readme import snippet
from tests.conformance.contract import COMPONENT, flux_kustomizations
from tests.conformance.install import shipped
from tests.conformance.stage import (
    AUDIENCE,
    GROUP,
    MANIFESTS,
    OPERATOR_NAMESPACE,
    ROOT,
    Json,
    Stage,
    Team,
    documents,
)
from tests.testbed.bed import KubeError, Mark, eventually
from tests.testbed.gitops import kustomize
from tests.testbed.operator import Operator
from tests.testbed.real import RealBed
from vso.api.crds import crd
from vso.api.name_references import rules
from vso.app import rbac
from vso.app.settings import from_args
from vso.core.keys import Kind

pytestmark = [
    pytest.mark.real,
    pytest.mark.only_in("full", because="it is about what is shipped or asked, whatever an operator may do"),
]

README = MANIFESTS / "README.md"
NAME = "vault-secrets-operator"
PLACEHOLDER = "https://vault.example.com:8200"
KUSTOMIZATIONS = [path for path in readme.files(README) if path.endswith("kustomization.yaml")]
OF_PROMETHEUS = ("ServiceMonitor", "PrometheusRule")
RIGHTS = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


class Installer:
    """Somebody who follows the README: their folder beside a clone of the repository, their cluster, their Vault."""

    def __init__(self, bed: RealBed, folder: Path) -> None:
        self.bed = bed
        self.folder = folder
        self.stage = Stage(bed)
        self.typed: set[str] = set()

    def prepare(self) -> None:
        """Write the files of the README, and those that it takes for granted."""
        (self.folder / NAME).symlink_to(ROOT)
        files = readme.files(README)
        for path, text in files.items():
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace(PLACEHOLDER, self.bed.vault.url))
        meta = {"name": "argocd-cm", "labels": {"app.kubernetes.io/part-of": "argocd"}}
        theirs: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"url": "https://argocd"}}
        (self.folder / "argocd/install.yaml").write_text(yaml.safe_dump(theirs))
        (self.folder / "flux/more.yaml").write_text(
            (MANIFESTS / "example/flux/access.yaml").read_text().replace("name: app-access", "name: more")
        )

    def type(self, end: str) -> str:
        """Type the one command of the README that ends so."""
        (command,) = [line for line in readme.commands(README) if line.endswith(end)]
        self.typed.add(command)
        said = ""
        for stage in command.split(" | "):
            program, *arguments = shlex.split(stage)
            assert program == "kubectl"
            said = self.bed.kubectl(*arguments, stdin=said, cwd=ROOT)
        return said

    def build(self, folder: str) -> list[Json]:
        """What kustomize builds from a folder of the README."""
        return kustomize(self.folder / folder)

    def apply(self, objects: list[Json]) -> None:
        """Apply what was built, as a GitOps tool does."""
        self.bed.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def run_operator(self) -> Mark:
        """Run the operator as the Deployment in the cluster says, under the rights in the cluster; the moment before."""
        deployment = self.bed.kube.find("Deployment", OPERATOR_NAMESPACE, NAME)
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        args = [arg for arg in container["args"] if "bind-address" not in arg]
        self.stop_operator()
        mark = self.bed.mark()
        self.stage.put_on(Operator(self.bed, *args))
        return mark

    def stop_operator(self) -> None:
        """Stop the operator, if it runs; a crash or a bug in its log fails the scenario."""
        self.stage.close()

    def team(self, namespace: str, account: str) -> Team:
        """A team whose ServiceAccount may read the example's secret in Vault."""
        team = Team(self.stage, namespace)
        self.bed.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        self.bed.vault.policy(namespace, (MANIFESTS / "example/vault-policy.hcl").read_text())
        self.bed.vault.kv2_put("kv", "app/config", {"db_username": "ada", "db_password": "v1"})
        bound = {"bound_service_account_names": account, "bound_service_account_namespaces": namespace}
        role = {**bound, "audience": AUDIENCE, "token_policies": namespace, "token_ttl": "20m"}
        self.bed.vault.write("auth/kubernetes/role/app", role)
        return team


@pytest.fixture(scope="module")
def installer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installer]:
    """Somebody with new servers."""
    with RealBed(tmp_path_factory.mktemp("installer")) as bed:
        installer = Installer(bed, tmp_path_factory.mktemp("folder"))
        installer.prepare()
        yield installer
        installer.stop_operator()


def named(objects: list[Json], kind: str) -> list[str]:
    return [obj["metadata"]["name"] for obj in objects if obj["kind"] == kind]


def rights(objects: list[Json]) -> list[Json]:
    return sorted((obj for obj in objects if obj["kind"] in RIGHTS), key=str)


@pytest.mark.parametrize("path", KUSTOMIZATIONS)
def test_every_kustomization_of_the_readme_builds(installer: Installer, path: str) -> None:
    assert installer.build(str(Path(path).parent))


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


def test_the_kustomize_inside_kubectl_builds_the_same(installer: Installer) -> None:
    for folder in ("install/write-only", "example/overlays/prod"):
        by_kubectl = yaml.safe_load_all(installer.bed.kubectl("kustomize", str(MANIFESTS / folder)))
        assert list(by_kubectl) == kustomize(MANIFESTS / folder)


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


def test_an_overlay_changes_the_operator(installer: Installer) -> None:
    built = installer.build("operator")
    (deployment,) = [obj for obj in built if obj["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.com/vault-secrets-operator:0.1.0"
    assert "--secrets-access=write-only" in container["args"]
    for kind in ("NetworkPolicy", "ServiceMonitor", "PrometheusRule"):
        assert named(built, kind) == [NAME]


def test_an_overlay_guards_the_metrics_from_the_pod_to_the_scrape(installer: Installer) -> None:
    built = {(obj["kind"], obj["metadata"]["name"]): obj for obj in installer.build("operator")}
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


def test_the_install_comes_up_by_one_command(installer: Installer) -> None:
    installer.type("manifests/install/full")
    installer.stage.wait_for_crds()
    kept = {
        "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
        "kustomize.toolkit.fluxcd.io/prune": "disabled",
    }
    crds = [crd["metadata"]["annotations"] for crd in installer.bed.kube.list("CustomResourceDefinition")]
    assert [kept.items() <= annotations.items() for annotations in crds] == [True] * 10
    assert NAME in installer.type(f"get deployment/{NAME}")
    installer.run_operator()


def test_the_prod_overlay_is_synced_under_its_prefix(installer: Installer) -> None:
    team = installer.team("app-prod", "prod-app-sa")
    installer.apply(installer.build("app-prod"))
    team.wait_ready("prod-app-config")
    assert team.the_data("app-config") == {"DB_USERNAME": "ada", "DB_PASSWORD": "v1"}
    (owner,) = team.the_secret("app-config")["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("VaultStaticSecret", "prod-app-config")


def test_write_only_takes_over_in_place(installer: Installer) -> None:
    installer.apply([obj for obj in installer.build("operator") if obj["kind"] not in OF_PROMETHEUS])
    role = installer.bed.kube.find("ClusterRole", None, NAME)
    assert role["rules"] == next(d for d in shipped("write-only") if d["kind"] == "ClusterRole")["rules"]
    mark = installer.run_operator()
    team = Team(installer.stage, "app-prod")
    installer.bed.vault.kv2_put("kv", "app/config", {"db_username": "ada", "db_password": "v2"})
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}}, name="prod-app-config")
    team.wait_data(lambda data: data["DB_PASSWORD"] == "v2", name="app-config")
    calls = [call for call in installer.bed.kube_audit(mark) if call.user.endswith(f":{NAME}")]
    assert {call.verb for call in calls if call.resource == "secrets" and call.namespace == "app-prod"} <= {
        "create",
        "patch",
    }
    assert [call.uri for call in calls if call.code == 403] == []


def test_a_tool_that_applies_the_same_again_undoes_nothing(installer: Installer) -> None:
    team = Team(installer.stage, "app-prod")
    team.wait_condition("RolloutRestart", name="prod-app-config")
    built = installer.build("app-prod")

    def versions() -> list[str]:
        found = [installer.bed.kube.find(obj["kind"], "app-prod", obj["metadata"]["name"]) for obj in built]
        return [obj["metadata"]["resourceVersion"] for obj in (*found, team.the_secret("app-config"))]

    template = installer.bed.kube.find("Deployment", "app-prod", "prod-app")["spec"]["template"]
    assert "vso.secrets.hashicorp.com/restartedAt" in template["metadata"]["annotations"]
    before = versions()
    installer.apply(built)
    assert versions() == before


def test_chosen_namespaces_need_no_cluster_role(installer: Installer) -> None:
    for kind in ("ClusterRole", "ClusterRoleBinding"):
        installer.bed.kubectl("delete", kind.lower(), "-l", f"app.kubernetes.io/name={NAME}")
    team = installer.team("team-a", "app-sa")
    built = installer.build("operator-of-teams")
    assert not {obj["kind"] for obj in built} & {"ClusterRole", "ClusterRoleBinding"}
    installer.apply(built)
    installer.run_operator()
    objects = kustomize(MANIFESTS / "example/base")
    for obj in objects:
        obj["metadata"]["namespace"] = "team-a"
        if obj["kind"] == "VaultConnection":
            obj["spec"]["address"] = installer.bed.vault.url
    installer.apply(objects)
    team.wait_ready("app-config")
    assert team.the_data("app-config")["DB_USERNAME"] == "ada"


def test_argo_cd_is_given_keys_and_keeps_its_own(installer: Installer) -> None:
    installer.bed.kubectl("create", "namespace", "argocd")
    installer.bed.kubectl("apply", "-n", "argocd", "-f", str(installer.folder / "argocd/install.yaml"))
    installer.type("--patch-file /dev/stdin")
    data = installer.bed.kube.find("ConfigMap", "argocd", "argocd-cm")["data"]
    (built,) = installer.build("argocd")
    assert built["metadata"]["namespace"] == "argocd"
    assert data == built["data"]
    assert data["url"] == "https://argocd"
    health = (COMPONENT / "health.lua").read_text()
    assert len([key for key, value in data.items() if value == health]) == 10


def test_argo_cds_applications_are_built(installer: Installer) -> None:
    assert "ignoreDifferences" in installer.type("example/argocd/application")
    built = list(yaml.safe_load_all(installer.type("example/argocd/applications")))
    waves = {
        obj["metadata"]["name"]: int(obj["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])
        for obj in built
        if obj["kind"] == "Application"
    }
    assert waves == {NAME: -3, "app-access": -2, "app-secrets": -1, "app-workload": 0}


def test_every_flux_kustomization_of_a_build_waits(installer: Installer) -> None:
    built = [obj for obj in installer.build("flux") if obj["kind"] == "Kustomization"]
    shipped = {obj["metadata"]["name"]: obj for obj in flux_kustomizations()}
    assert {obj["metadata"]["name"] for obj in built} == {*shipped, "more"}
    for obj in built:
        assert obj["spec"]["wait"] is True
        assert len(obj["spec"]["healthCheckExprs"]) == 10
        assert all(kustomize(ROOT / obj["spec"]["path"]))


def test_removing_the_operator_leaves_everybodys_secrets(installer: Installer) -> None:
    team = Team(installer.stage, "app-prod")
    installer.stop_operator()
    installer.apply(kustomize(MANIFESTS / "operator"))  # as it was before the namespaces were chosen
    installer.type("manifests/operator")

    def gone() -> bool:
        try:
            installer.bed.kube.find("Deployment", OPERATOR_NAMESPACE, NAME)
        except KubeError as error:
            return error.status == 404
        return False

    eventually(gone, timeout=30, message="the operator is gone")
    assert team.get(name="prod-app-config")["spec"]
    assert team.the_data("app-config")["DB_PASSWORD"] == "v2"
    installer.stage.wait_for_crds()


def test_every_command_of_the_readme_was_typed(installer: Installer) -> None:
    elsewhere = set(snippet("uninstall", README.read_text()))  # in a cluster whose pods run
    assert installer.typed | elsewhere == set(readme.commands(README))
