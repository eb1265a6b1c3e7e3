"""Both overlays of the example application in one cluster: built by the real kustomize and applied as they stand.

Only the address of Vault is another than the shipped one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import yaml

from tests.conformance.installer import NAME, Installer, named
from tests.conformance.stage import AUDIENCE, OPERATOR_USER, Json, Stage, Team
from tests.testbed.bed import eventually
from tests.testbed.gitops import kustomize
from tests.testbed.real import RealBed

ENVIRONMENTS = ("dev", "prod")
RESTARTED_AT = "vso.secrets.hashicorp.com/restartedAt"
pytestmark = [
    pytest.mark.real,
    pytest.mark.only_in("full", because="it is about what is shipped or asked, whatever an operator may do"),
]


@pytest.fixture(scope="module")
def installer(stage: Stage, real_bed: RealBed, tmp_path_factory: pytest.TempPathFactory) -> Installer:
    """Somebody with a folder of their own, in a cluster where the operator runs."""
    assert stage.operator.running
    return Installer(real_bed, tmp_path_factory.mktemp("folder"))


@pytest.fixture(scope="module")
def teams(installer: Installer) -> Iterator[dict[str, Team]]:
    """Who works in the namespaces of the overlays; Vault's role is for both of their ServiceAccounts."""
    found = {name: installer.team(f"app-{name}", f"{name}-app-sa") for name in ENVIRONMENTS}
    every = ",".join(team.ns for team in found.values())
    accounts = ",".join(f"{name}-app-sa" for name in ENVIRONMENTS)
    bound = {"bound_service_account_names": accounts, "bound_service_account_namespaces": every}
    installer.bed.vault.write("auth/kubernetes/role/app", {**bound, "audience": AUDIENCE, "token_policies": every})
    yield found
    for team in found.values():
        team.leave()


def built(installer: Installer, name: str) -> list[Json]:
    """What kustomize makes of an overlay, with the address of the Vault that is there."""
    (folder := installer.folder.path / name).mkdir(exist_ok=True)
    change = [{"op": "replace", "path": "/spec/address", "value": installer.bed.vault.url}]
    patch = {"target": {"kind": "VaultConnection"}, "patch": yaml.safe_dump(change)}
    whole = {"resources": [f"../{NAME}/manifests/example/overlays/{name}"], "patches": [patch]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(whole))
    return kustomize(folder)


def test_dev_and_prod_live_beside_each_other_each_under_its_prefix_and_its_own_identity(
    installer: Installer, teams: dict[str, Team]
) -> None:
    mark = installer.bed.mark()
    for name in teams:
        installer.apply(built(installer, name))
    for name, team in teams.items():
        team.wait_ready(f"{name}-app-config")
        assert team.the_data("app-config") == {"DB_USERNAME": "ada", "DB_PASSWORD": "v1"}
        (owner,) = team.the_secret("app-config")["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"]) == ("VaultStaticSecret", f"{name}-app-config")
    asked = [call for call in installer.bed.kube_audit(mark) if call.user == OPERATOR_USER]
    tokens = {call.uri for call in asked if call.resource == "serviceaccounts"}
    assert {re.sub(r".*/namespaces/(.*)/token.*", r"\1", uri) for uri in tokens} == {
        f"app-{name}/serviceaccounts/{name}-app-sa" for name in teams
    }


def test_what_they_hold_differs_by_namespace_and_prefix_alone(installer: Installer) -> None:
    dev, prod = (yaml.safe_dump(built(installer, name)) for name in ENVIRONMENTS)
    assert "app-dev" in dev
    assert dev.replace("app-dev", "app-prod").replace("dev-", "prod-") == prod


def test_a_rotation_restarts_the_deployment_of_each(installer: Installer, teams: dict[str, Team]) -> None:
    installer.bed.vault.kv2_put("kv", "app/config", {"db_username": "ada", "db_password": "v2"})
    for name, team in teams.items():
        assert named(built(installer, name), "Deployment") == [f"{name}-app"]
        team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}}, name=f"{name}-app-config")
        team.wait_data(lambda data: data["DB_PASSWORD"] == "v2", name="app-config")
        place = ("Deployment", team.ns, f"{name}-app")

        def restarted(place: tuple[str, str, str] = place) -> bool:
            template = installer.bed.kube.find(*place)["spec"]["template"]
            return RESTARTED_AT in template["metadata"].get("annotations", {})

        eventually(restarted, message=f"{place} is restarted")
