"""The manifests as `manifests/README.md` says to use them: applied to real servers, worked under, and taken away again.

The scenarios are one story on servers of their own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.conformance import readme
from tests.conformance.chart_readme import snippet
from tests.conformance.contract import COMPONENT
from tests.conformance.install import shipped
from tests.conformance.installer import NAME, README, Installer
from tests.conformance.stage import MANIFESTS, OPERATOR_NAMESPACE, Team
from tests.conformance.statuses import judged
from tests.testbed.bed import KubeError, eventually
from tests.testbed.gitops import kustomize
from tests.testbed.real import RealBed

pytestmark = [
    pytest.mark.real,
    pytest.mark.only_in("full", because="it is about what is shipped or asked, whatever an operator may do"),
]
LASTS = 50

OF_PROMETHEUS = ("ServiceMonitor", "PrometheusRule")


@pytest.fixture(scope="module")
def installer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installer]:
    """Somebody with new servers."""
    with RealBed(tmp_path_factory.mktemp("installer")) as bed, judged(request.node, bed):
        installer = Installer(bed, tmp_path_factory.mktemp("folder"))
        yield installer
        installer.stop_operator()


def test_the_kustomize_inside_kubectl_builds_the_same(installer: Installer) -> None:
    for folder in ("install/write-only", "example/overlays/prod"):
        by_kubectl = yaml.safe_load_all(installer.bed.kubectl("kustomize", str(MANIFESTS / folder)))
        assert list(by_kubectl) == kustomize(MANIFESTS / folder)


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
    installer.bed.kubectl("apply", "-n", "argocd", "-f", str(installer.folder.path / "argocd/install.yaml"))
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
