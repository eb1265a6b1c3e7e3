"""`vso rbac`: an operator that has exactly the Roles that are printed for its objects does all its work, and needs each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests import rights
from tests.conformance.install import Json
from tests.conformance.minimal import CA, CREDENTIAL, Printed, connection, keep_ca, login_by_secret, printed
from tests.conformance.restarting import restarted, target
from tests.conformance.stage import OPERATOR_NAMESPACE, OPERATOR_USER, Stage, Team
from tests.conformance.workloads import deployment
from tests.testbed.bed import Bed, Mark, eventually
from tests.testbed.pki import Authority
from tests.testbed.proxy import Proxy

LASTS = 40
pytestmark = pytest.mark.only_in("full", because="it brings its own roles")

SETTINGS = ("--backoff-initial-interval=200ms", "--backoff-max-interval=400ms", "--config-recheck-interval=500ms")


class Scene:
    """A team whose objects are known before the operator is, and the operator under the roles that are printed."""

    def __init__(self, bed: Bed, mode: str, vault: Proxy, authority: Authority) -> None:
        namespace = f"printed-{mode}"
        self.team = Team(Stage(bed), namespace)
        self.team.found()
        keep_ca(self.team, authority)
        self.objects = self._objects(vault.url)
        found = printed(self.objects, f"--secrets-access={mode}", f"--operator-namespace={OPERATOR_NAMESPACE}")
        self.roles: tuple[Json, ...] = tuple(yaml.safe_load_all(found))
        self.mark: Mark = bed.mark()
        self.stage = Stage(bed, Printed(mode == "full", namespaced=True, documents=self.roles), [namespace])
        self.team = Team(self.stage, namespace)
        self.stage.start_operator(*SETTINGS)

    def _objects(self, address: str) -> list[Json]:
        team, plain = self.team, {"excludeRaw": True}
        restarting = team.secret_spec(rolloutRestartTargets=[target()], destination={"transformation": plain})
        by_secret = team.secret_spec(name="by-secret", vaultAuthRef="by-secret")
        return [
            connection(team, address),
            team.manifest("VaultAuth", "auth", team.auth_spec()),
            login_by_secret(team, "by-secret"),
            team.manifest("VaultStaticSecret", "app", restarting),
            team.manifest("VaultStaticSecret", "by-secret", by_secret),
        ]

    def apply_roles_without(self, resource: str, name: str) -> int:
        """Apply the printed roles but for one name; how many rules had it."""
        had = 0
        for document in self.roles:
            rules: list[Json] = []
            for rule in document.get("rules", ()):
                names = [one for one in rule.get("resourceNames", ()) if one != name]
                lacks = rule["resources"] == [resource] and name in rule.get("resourceNames", ())
                had += lacks
                if not lacks or names:  # a rule without a name would be one for all
                    rules.append({**rule, "resourceNames": names} if lacks else rule)
            self.team.bed.kube.apply({**document, "rules": rules} if rules else document)
        return had


@pytest.fixture(scope="module", params=["full", "write-only"])
def scene(prepared: Bed, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The operator is up, and the objects are not there yet."""
    folder: Path = tmp_path_factory.mktemp("vault")
    authority = Authority(folder, "vault-ca")
    with Proxy(prepared.vault.url, serving=authority.serving("vault")) as vault:
        scene = Scene(prepared, request.param, vault, authority)
        yield scene
        scene.stage.close()
    scene.team.leave()


def in_order(team: Team) -> None:
    for name in ("app", "by-secret"):
        team.wait_ready(name)


def test_the_objects_sync_and_the_workload_restarts_under_the_printed_roles(scene: Scene) -> None:
    team = scene.team
    team.bed.kube.apply(deployment(team.ns))
    team.put("app", {"password": "v1"})
    for found in scene.objects:
        team.bed.kube.apply(found)
    in_order(team)
    team.put("app", {"password": "v2"})
    for name in ("app", "by-secret"):
        team.wait_data(lambda data: data["password"] == "v2", name=name)
    eventually(lambda: restarted(team), message="the Deployment is restarted")


def test_no_request_was_refused_and_every_name_that_is_printed_was_asked_for(scene: Scene) -> None:
    calls = [call for call in scene.team.bed.kube_audit(scene.mark) if call.user == OPERATOR_USER]
    assert [call.uri for call in calls if call.forbidden] == []
    team = scene.team.ns
    inside = [document for document in scene.roles if document["metadata"]["namespace"] == team]
    rules = [rule for document in inside for rule in document.get("rules", ()) if "resourceNames" in rule]
    granted = {right for rule in rules for right in rights._rights(rule)}
    asked = {rights._right(call) for call in calls if call.code < 400 and call.namespace == team}
    assert granted == {
        ("secrets", "get", CA),
        ("secrets", "get", CREDENTIAL),
        ("serviceaccounts/token", "create", "app"),
    }
    assert granted - asked == set()


@pytest.mark.refused("get secrets", "create serviceaccounts/token")
@pytest.mark.parametrize(
    ("resource", "name", "kind", "told"),
    [
        ("secrets", CA, "VaultConnection", "vault"),
        ("secrets", CREDENTIAL, "VaultStaticSecret", "by-secret"),
        ("serviceaccounts/token", "app", "VaultStaticSecret", "app"),
    ],
)
def test_without_one_of_the_names_the_status_spells_out_that_very_rule(
    scene: Scene, resource: str, name: str, kind: str, told: str
) -> None:
    scene.stage.operator.stop()
    assert scene.apply_roles_without(resource, name) == 1
    scene.stage.operator.start()
    scene.stage.operator.wait_ready()
    message = scene.team.wait_condition("Ready", "False", "KubernetesForbidden", kind=kind, name=told)["message"]
    verb = "create" if resource.endswith("/token") else "get"
    assert f'resources: ["{resource}"], verbs: ["{verb}"], resourceNames: ["{name}"]' in message
    for document in scene.roles:
        scene.team.bed.kube.apply(document)
    in_order(scene.team)
    scene.team.wait_ready("vault", "VaultConnection")
