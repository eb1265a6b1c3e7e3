"""Taking over from the reference operator: nothing that it left is written again, and nothing restarts."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.conformance import reference
from tests.conformance.stage import OPERATOR_NAMESPACE, OPERATOR_USER, Json, Stage, Team
from tests.testbed.bed import Bed, Mark, eventually
from tests.testbed.operator import Operator

RESTARTED_AT = "vso.secrets.hashicorp.com/restartedAt"
KINDS = {"VaultConnection": "vault", "VaultAuth": "auth", "VaultStaticSecret": "app"}
FOREIGN_FINALIZER = "example.com/theirs"


@dataclass(frozen=True)
class Left:
    """What the reference operator left behind, and the moment of the change."""

    team: Team
    operator: Operator
    mark: Mark
    secret: Json
    status: Json
    key: Json
    deployment: Json


@pytest.fixture(scope="module")
def stage(prepared: Bed, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The Roles of the operator, which is not started yet."""
    stage = Stage.of(request, prepared, "adopted")
    stage.use_roles()
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def left(stage: Stage) -> Iterator[Left]:
    """Objects exactly as the reference operator leaves them; then our operator starts."""
    team = stage.team("adopted")
    kube = stage.bed.kube
    reference.put_key(stage.bed)
    team.access()
    team.put("app", {"user": "ada", "number": 1.5, "markup": "<a&b>", "deep": {"b": [1, None], "a": True}})
    deploy(team)
    team.static(refreshAfter="1h", rolloutRestartTargets=[{"kind": "Deployment", "name": "app"}])
    answer = stage.bed.vault.read(f"kv/data/{team.ns}/app")["data"]
    data = reference.whole_data(answer, answer["data"])
    reference.leave_secret(team, "VaultStaticSecret", "app", data)
    for kind, name in KINDS.items():
        theirs = [FOREIGN_FINALIZER] if kind == "VaultAuth" else []
        reference.leave(team, kind, name, left_status(team, kind, data), *theirs)
    before = Left(
        team,
        stage.other(),
        stage.bed.mark(),
        kube.find("Secret", team.ns, "app"),
        team.get()["status"],
        kube.find("Secret", OPERATOR_NAMESPACE, reference.KEY_NAME),
        kube.find("Deployment", team.ns, "app"),
    )
    stage.put_on(before.operator)
    eventually(lambda: team.get()["status"].get("destination"), message="the Secret is adopted")
    eventually(lambda: not any(finalizers(team, kind) for kind in KINDS), message="the finalizers go")
    yield before
    for kind, name in KINDS.items():
        team.patch({"metadata": {"finalizers": None}}, kind, name)
    team.disband()


def deploy(team: Team) -> None:
    """A Deployment that uses the Secret."""
    labels = {"app": "app"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    meta = {"name": "app", "namespace": team.ns}
    team.bed.kube.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})


def left_status(team: Team, kind: str, data: dict[str, str]) -> Json:
    """What the reference operator says of an object in order, besides conditions."""
    if kind != "VaultStaticSecret":
        return {"valid": True}
    generation = team.get()["metadata"]["generation"]
    meta = reference.client_meta(team)
    return {"lastGeneration": generation, "secretMAC": reference.mac(data), "vaultClientMeta": meta}


def finalizers(team: Team, kind: str) -> list[str]:
    """The finalizers of ours that an object has."""
    found = team.get(kind, KINDS[kind])["metadata"].get("finalizers", [])
    return [name for name in found if name != FOREIGN_FINALIZER]


def test_the_secret_keeps_every_byte_its_uid_and_its_version(left: Left) -> None:
    now = left.team.secret()
    assert now is not None
    assert now["data"] == left.secret["data"]
    for field in ("uid", "resourceVersion", "labels", "ownerReferences"):
        assert now["metadata"][field] == left.secret["metadata"][field]


def test_nothing_restarts(left: Left) -> None:
    now = left.team.bed.kube.find("Deployment", left.team.ns, "app")
    assert now["spec"] == left.deployment["spec"]
    patched = [
        c for c in left.team.bed.kube_audit(left.mark) if c.user == OPERATOR_USER and c.resource.endswith("ments")
    ]
    assert patched == []


def test_the_mac_key_is_used_and_not_touched(left: Left) -> None:
    assert left.team.bed.kube.find("Secret", OPERATOR_NAMESPACE, reference.KEY_NAME) == left.key
    writes = [
        c
        for c in left.team.bed.kube_audit(left.mark)
        if c.writes and c.name == reference.KEY_NAME and c.user == OPERATOR_USER
    ]
    assert writes == []


def test_the_fields_of_the_reference_keep_their_values(left: Left) -> None:
    now = left.team.get()["status"]
    assert now["secretMAC"] == left.status["secretMAC"]
    assert now["lastGeneration"] == left.status["lastGeneration"]
    assert now["vaultClientMeta"]["cacheKey"] == left.status["vaultClientMeta"]["cacheKey"]
    before = {c["type"]: c["lastTransitionTime"] for c in left.status["conditions"]}
    assert {c["type"]: c["lastTransitionTime"] for c in now["conditions"] if c["type"] in before} == before


def test_the_status_gains_our_fields(left: Left) -> None:
    now = left.team.get()["status"]
    meta = left.secret["metadata"]
    assert now["observedGeneration"] == left.team.get()["metadata"]["generation"]
    assert now["destination"] == {"name": "app", "uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
    assert now["rolledOutDigest"] == now["secretMAC"]
    assert now["sourceVersion"] == "1"


def test_the_finalizers_of_the_reference_go_and_those_of_others_stay(left: Left) -> None:
    for kind, name in KINDS.items():
        expected = [FOREIGN_FINALIZER] if kind == "VaultAuth" else []
        assert left.team.get(kind, name)["metadata"].get("finalizers", []) == expected


def test_every_object_is_ready_for_those_who_wait(left: Left) -> None:
    for kind, name in KINDS.items():
        left.team.wait_ready(name, kind)


def test_a_later_change_is_written_and_restarts_once(left: Left) -> None:
    team = left.team
    team.put("app", {"user": "bob"})
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}})
    team.wait_data(lambda data: data["user"] == "bob")
    team.wait_condition("RolloutRestart")
    template = team.bed.kube.find("Deployment", team.ns, "app")["spec"]["template"]
    assert template["metadata"]["annotations"][RESTARTED_AT]


def test_a_lost_mac_key_is_made_anew_and_neither_writes_nor_restarts(left: Left) -> None:
    team, kube = left.team, left.team.bed.kube
    team.wait_ready()
    before, secret = team.get()["status"], team.secret()
    generation = kube.find("Deployment", team.ns, "app")["metadata"]["generation"]
    left.operator.stop()
    kube.delete("Secret", OPERATOR_NAMESPACE, reference.KEY_NAME)
    left.operator.start()
    left.operator.wait_ready()
    made = kube.find("Secret", OPERATOR_NAMESPACE, reference.KEY_NAME)
    assert made["metadata"]["labels"] == reference.KEY_LABELS
    assert made["immutable"] is True
    assert list(made["data"]) == ["key"]
    assert len(base64.b64decode(made["data"]["key"])) == 16
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "2"}}})
    eventually(lambda: team.get()["status"].get("lastHandledResync") == "2", message="a look with the new key")
    now = team.get()["status"]
    assert now["secretMAC"] != before["secretMAC"]
    assert now["rolledOutDigest"] == now["secretMAC"]
    assert now["history"] == before["history"]
    assert team.secret() == secret
    assert kube.find("Deployment", team.ns, "app")["metadata"]["generation"] == generation
