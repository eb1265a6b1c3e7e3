"""What a change of operators takes where objects refer to Secrets: the rights that `vso rbac` prints, given beforehand.

The reference reads any Secret; this operator those that it is let, by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import yaml

from tests.conformance import reference
from tests.conformance.minimal import CA, CREDENTIAL, connection, keep_ca, login_by_secret, printed
from tests.conformance.stage import GROUP, OPERATOR_USER, Json, Stage, Team
from tests.testbed.bed import Bed, Mark, always, eventually
from tests.testbed.pki import Authority
from tests.testbed.proxy import Proxy
from vso.app import rbac

LASTS = 30

STATIC = "VaultStaticSecret"
PLURALS = ("vaultconnections", "vaultauths", "vaultauthglobals", "vaultstaticsecrets", "vaultdynamicsecrets")


@dataclass
class Scene:
    """A team of the reference's, whose operator rests, and the rights that its objects need."""

    team: Team
    credentials: list[Json] = field(default_factory=list)
    before: Json = field(default_factory=dict)
    mark: Mark | None = None

    def leave_behind(self, address: str) -> None:
        """What the reference operator has written."""
        team = self.team
        objects = (connection(team, address), login_by_secret(team, "auth"))
        for found in objects:
            team.bed.kube.apply(found)
            reference.leave(team, found["kind"], found["metadata"]["name"], {"valid": True})
        team.put("app", {"password": "v1"})
        team.static(refreshAfter="1h")
        answer = team.bed.vault.read(f"kv/data/{team.ns}/app")["data"]
        data = reference.whole_data(answer, answer["data"])
        reference.leave_secret(team, STATIC, "app", data)
        status = {"lastGeneration": 1, "secretMAC": reference.mac(data), "vaultClientMeta": reference.client_meta(team)}
        reference.leave(team, STATIC, "app", status)

    def give_rights(self) -> None:
        """Those of what `kubectl get` shows of the team, as the chart makes a Role of each entry."""
        kube, inside = self.team.bed.kube, f"/apis/{GROUP}/namespaces/{self.team.ns}"
        items = [item for plural in PLURALS for item in kube.get(f"{inside}/{plural}")["items"]]
        text = printed([{"apiVersion": "v1", "kind": "List", "items": items}], "-o", "helm")
        self.credentials = yaml.safe_load(text)["rbac"]["credentials"]
        for entry in self.credentials:
            rules = [rbac.credential_rule(kind.lower(), *names) for kind, names in entry.items() if kind != "namespace"]
            for document in rbac.bound("Role", rbac.CREDENTIAL_ROLE, rules, entry["namespace"]):
                kube.apply(document)


@pytest.fixture(scope="module")
def scene(request: pytest.FixtureRequest, prepared: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The operator has taken everything over."""
    authority = Authority(tmp_path_factory.mktemp("vault"), "vault-ca")
    stage = Stage.of(request, prepared, "kept")
    with Proxy(prepared.vault.url, serving=authority.serving("vault")) as vault:
        stage.use_roles()
        scene = Scene(stage.team("kept"))
        keep_ca(scene.team, authority)
        reference.put_key(prepared)
        scene.leave_behind(vault.url)
        scene.give_rights()
        scene.before, scene.mark = scene.team.the_secret(), prepared.mark()
        stage.start_operator()
        yield scene
        scene.team.disband()
        stage.close()


def test_the_printed_credentials_are_those_that_the_objects_name(scene: Scene) -> None:
    assert scene.credentials == [{"namespace": scene.team.ns, "secrets": [CREDENTIAL, CA]}]


def test_every_object_is_in_order_no_request_is_refused_and_the_secret_is_as_it_was(scene: Scene) -> None:
    team = scene.team
    for kind, name in (("VaultConnection", "vault"), ("VaultAuth", "auth"), (STATIC, "app")):
        team.wait_ready(name, kind)
    eventually(lambda: team.get()["status"].get("destination", {}).get("uid"), message="it is taken over")
    always(lambda: team.the_secret() == scene.before, during=2)
    calls = [call for call in team.bed.kube_audit(scene.mark) if call.user == OPERATOR_USER]
    assert [call.uri for call in calls if call.forbidden] == []


def test_a_changed_value_arrives_by_the_same_login(scene: Scene) -> None:
    team = scene.team
    team.put("app", {"password": "v2"})
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}})
    team.wait_data(lambda data: data["password"] == "v2")
    read = {call.name for call in team.bed.kube_audit(scene.mark) if (call.verb, call.resource) == ("get", "secrets")}
    assert read >= {CA, CREDENTIAL}
