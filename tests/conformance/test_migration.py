"""From the reference operator to this one and back: what a running application notices, which is nothing.

The reference is scaled to nothing with its objects in order: a static secret, credentials of a database with a live
lease, a static database role, workloads that use them. The database itself says which users live.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conformance import reference
from tests.conformance.stage import AUDIENCE, GROUP, OPERATOR_NAMESPACE, OPERATOR_USER, Json, Stage, Team
from tests.conformance.workloads import deployment
from tests.testbed.bed import Bed, Mark, always, eventually
from tests.testbed.database import AnyDatabase
from tests.testbed.operator import Operator
from tests.testbed.real import RealBed
from tests.testbed.rollouts import Workload

LASTS = 60
pytestmark = pytest.mark.long

DYNAMIC, STATIC = "VaultDynamicSecret", "VaultStaticSecret"
SECRETS = {"app": STATIC, "db": DYNAMIC, "turning": DYNAMIC}
TARGETS = [{"kind": "Deployment", "name": "app"}]
PLAIN = {"excludeRaw": True}


@dataclass
class Scene:
    """A team, its database roles, and everything of theirs at the moment of the change."""

    team: Team
    database: AnyDatabase
    operator: Operator
    before: Json = field(default_factory=dict)
    mark: Mark | None = None

    def role(self, name: str) -> str:
        return f"{self.team.ns}-{name}"

    def everything(self) -> Json:
        """What no change of operators may touch: Secrets, workload, pods; leases and users."""
        kube, ns = self.team.bed.kube, self.team.ns
        leases = [lease for name in ("db", "brief") for lease in self.database.leases(self.role(name))]
        return {
            "secrets": {name: kube.find("Secret", ns, name) for name in SECRETS},
            "workload": kube.find("Deployment", ns, "app"),
            "pods": {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in kube.list("Pod", ns)},
            "leases": leases,
            "users": [user for user in self.database.users() if user.startswith(ns)],
            "key": kube.find("Secret", OPERATOR_NAMESPACE, reference.KEY_NAME),
            "kept token": kube.find("Secret", OPERATOR_NAMESPACE, f"vso-cc-{reference.cache_key(self.team)}"),
        }

    def spec(self, path: str, name: str, **changes: Any) -> Json:
        destination = {"name": name, "create": True, "transformation": PLAIN}
        return {"vaultAuthRef": "auth", "mount": self.database.mount, "path": path, "destination": destination,
                "rolloutRestartTargets": TARGETS, **changes}  # fmt: skip


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest, prepared: Bed) -> Iterator[Stage]:
    """The Roles of the operator, which is not started yet."""
    stage = Stage.of(request, prepared, "moved")
    stage.use_roles()
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def scene(stage: Stage) -> Iterator[Scene]:
    """Everything as the reference operator leaves it; then ours starts, and waits until that one's Lease has run out."""
    team = stage.team("moved")
    scene = Scene(team, stage.bed.database(), stage.other())
    scene.database.role(scene.role("db"), default_ttl="1h")
    scene.database.static_role(scene.role("turning"))
    mount = scene.database.mount
    team.policy(
        f'path "kv/data/{team.ns}/*" {{ capabilities = ["read"] }}\n'
        f'path "{mount}/creds/{team.ns}-*" {{ capabilities = ["read"] }}\n'
        f'path "{mount}/static-creds/{team.ns}-*" {{ capabilities = ["read"] }}\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n'
    )
    team.role(token_ttl="8h")
    team.access()
    leave_behind(scene)
    run_workload(team)
    scene.before, scene.mark = scene.everything(), stage.bed.mark()
    stage.put_on(scene.operator)
    eventually(lambda: all(adopted(team, kind, name) for name, kind in SECRETS.items()), 40, "all is taken over")
    yield scene
    team.disband()


def leave_behind(scene: Scene) -> None:
    """What the reference operator has written for the team's objects."""
    team, bed = scene.team, scene.team.bed
    reference.put_key(bed)
    for kind, name in (("VaultConnection", "vault"), ("VaultAuth", "auth")):
        reference.leave(team, kind, name, {"valid": True})
    leave_static(team)
    leave_leased(scene, "db")
    leave_turning(scene)
    reference.put_client_cache(team)
    reference.put_leader_lease(bed)


def told(team: Team, kind: str, name: str, **more: Any) -> Json:
    """A secret's status."""
    generation = team.get(kind, name)["metadata"]["generation"]
    return {"lastGeneration": generation, "vaultClientMeta": reference.client_meta(team), **more}


def leave_static(team: Team) -> None:
    """A static secret in order."""
    team.put("app", {"password": "v1"})
    team.static(refreshAfter="1h", rolloutRestartTargets=TARGETS)
    answer = team.bed.vault.read(f"kv/data/{team.ns}/app")["data"]
    data = reference.whole_data(answer, answer["data"])
    reference.leave_secret(team, STATIC, "app", data)
    reference.leave(team, STATIC, "app", told(team, STATIC, "app", secretMAC=reference.mac(data)))


def leave_leased(scene: Scene, name: str) -> str:
    """Credentials whose lease hangs on a token that the reference operator has logged in for; the user's name."""
    team = scene.team
    login = team.bed.vault.login("kubernetes", team.ns, team.bed.token_for(team.ns, "app", [AUDIENCE]))
    answer = team.bed.vault.read(f"{scene.database.mount}/creds/{scene.role(name)}", token=login["client_token"])
    data = {key: reference.coded(value.encode()) for key, value in answer["data"].items()}
    body = team.manifest(DYNAMIC, name, {**scene.spec(f"creds/{scene.role(name)}", name), "overlap": "3s"})
    team.bed.kube.apply(body)
    reference.leave_secret(team, DYNAMIC, name, data)
    lease = {
        "id": answer["lease_id"],
        "duration": answer["lease_duration"],
        "renewable": answer["renewable"],
        "requestID": answer["request_id"],
    }
    issued = int(datetime.now(UTC).timestamp())
    pod = "11111111-2222-3333-4444-555555555555"
    status = told(team, DYNAMIC, name, lastRenewalTime=issued, secretLease=lease, lastRuntimePodUID=pod)
    reference.leave(team, DYNAMIC, name, status)
    return str(answer["data"]["username"])


def leave_turning(scene: Scene) -> None:
    """A static database role; its Secret counts down in `ttl`, as it was read."""
    team, role = scene.team, scene.role("turning")
    answer = team.bed.vault.read(f"{scene.database.mount}/static-creds/{role}")
    values = answer["data"]
    data = {
        key: reference.coded((value if isinstance(value, str) else reference.go_json(value)).encode())
        for key, value in values.items()
    }
    team.apply(DYNAMIC, "turning", scene.spec(f"static-creds/{role}", "turning", allowStaticCreds=True))
    reference.leave_secret(team, DYNAMIC, "turning", data)
    rotated = int(datetime.fromisoformat(values["last_vault_rotation"]).timestamp())
    turns = {"lastVaultRotation": rotated, "rotationPeriod": values["rotation_period"], "ttl": values["ttl"]}
    lease = {"id": "", "duration": 0, "renewable": False, "requestID": answer["request_id"]}
    status = told(
        team, DYNAMIC, "turning", secretLease=lease, staticCredsMetaData=turns,
        lastRenewalTime=int(datetime.now(UTC).timestamp()), secretMAC=reference.mac(reference.lasting(data)),
    )  # fmt: skip
    reference.leave(team, DYNAMIC, "turning", status)


def run_workload(team: Team) -> None:
    """A Deployment that uses the Secrets; its pods run where there are nodes."""
    if isinstance(team.bed, RealBed):
        team.bed.rollouts().apply(Workload(team.ns, "app", replicas=2, secret="db"))
    else:
        team.bed.kube.apply(deployment(team.ns))


def adopted(team: Team, kind: str, name: str) -> bool:
    """Whether our operator has had the object in order."""
    found = team.get(kind, name)
    return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])


def asked_by_us(scene: Scene) -> list[str]:
    """What the operator has asked of Vault about credentials and leases since the change."""
    calls = scene.team.bed.vault_audit(scene.mark)
    ours = [c for c in calls if c.operation != "list"]  # which is how the leases are counted here
    return [f"{c.operation} {c.path}" for c in ours if c.path.startswith((scene.database.mount, "sys/leases"))]


def test_no_secret_lease_user_or_pod_is_touched(scene: Scene) -> None:
    always(lambda: scene.everything() == scene.before, during=3)
    assert len(scene.before["leases"]) == 1
    if isinstance(scene.team.bed, RealBed):
        assert len(scene.before["pods"]) == 2


def test_no_credential_is_asked_for_renewed_or_given_back(scene: Scene) -> None:
    assert asked_by_us(scene) == ["update sys/leases/lookup"], "whether it is there, which touches nothing"


def test_nothing_but_the_status_and_finalizers_of_the_objects_is_written(scene: Scene) -> None:
    calls = [c for c in scene.team.bed.kube_audit(scene.mark) if c.user == OPERATOR_USER and c.writes]
    real = [c for c in calls if "dryRun" not in c.query and c.subresource != "token" and c.code < 300]
    written = {c.resource for c in real} - {"events", "leases"}
    # Values are never read: that the data of a static secret is right is found out by writing it again.
    assert written <= {"vaultconnections", "vaultauths", "vaultstaticsecrets", "vaultdynamicsecrets", "secrets"}
    assert {c.name for c in real if c.resource == "secrets"} <= {"app"}


def test_every_object_is_in_order_and_keeps_what_the_reference_said_of_it(scene: Scene) -> None:
    team = scene.team
    for name, kind in {"vault": "VaultConnection", "auth": "VaultAuth", **SECRETS}.items():
        team.wait_ready(name, kind)
    status = team.get(DYNAMIC, "db")["status"]
    (lease,) = scene.before["leases"]
    assert status["secretLease"]["id"] == lease
    assert status["vaultClientMeta"]["cacheKey"] == reference.cache_key(team)
    assert {c["lastTransitionTime"] for c in status["conditions"] if c["type"] in {"Ready", "Healthy"}} == {
        reference.LONG_AGO
    }
    assert team.get(DYNAMIC, "db")["metadata"]["finalizers"] == [reference.finalizer(DYNAMIC)]


def test_a_change_in_vault_is_followed_from_then_on(scene: Scene) -> None:
    team = scene.team
    team.put("app", {"password": "v2"})
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}})
    team.wait_data(lambda data: data["password"] == "v2")


def test_the_lease_is_replaced_once_before_its_token_can_end_and_given_back(scene: Scene) -> None:
    team, database = scene.team, scene.database
    database.role(scene.role("brief"), default_ttl="1h")
    team.role(token_ttl="40s")
    scene.operator.stop()
    user = leave_leased(scene, "brief")
    scene.operator.start()
    scene.operator.wait_ready()
    eventually(lambda: adopted(team, DYNAMIC, "brief"), 20, "the lease is taken over")
    team.wait_data(lambda data: data["username"] != user, name="brief", timeout=12)
    eventually(lambda: user not in database.users(scene.role("brief")), 20, "the old user is gone")
    (entry,) = team.get(DYNAMIC, "brief")["status"]["history"]
    assert entry["reason"] == "VaultTokenRotated"
    team.role()


# The way back.


def test_what_we_write_is_what_the_reference_takes_for_its_own(scene: Scene) -> None:
    """It compares labels and owner deeply, and the MAC of the data with that of the status."""
    team = scene.team
    team.wait_ready()
    secret, found = team.the_secret(), team.get()
    meta, uid = secret["metadata"], found["metadata"]["uid"]
    assert meta["labels"] == reference.owner_labels(uid)
    assert meta["ownerReferences"] == [{"apiVersion": GROUP, "kind": STATIC, "name": "app", "uid": uid}]
    assert found["status"]["secretMAC"] == reference.mac(secret["data"])
    assert found["status"]["lastGeneration"] == found["metadata"]["generation"]
    assert secret["type"] == "Opaque"


def test_credentials_that_we_have_issued_can_be_renewed_by_the_reference(stage: Stage, scene: Scene) -> None:
    """It renews the lease that the status names, for as long as the status says, by any token of the role."""
    team, name = scene.team, "db"
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}}, DYNAMIC, name)
    eventually(lambda: team.get(DYNAMIC, name)["status"].get("lastHandledResync") == "1", 20, "new credentials")
    scene.operator.kill()
    status = team.get(DYNAMIC, name)["status"]
    lease = status["secretLease"]
    assert status["lastRenewalTime"] > 0
    assert {"id", "duration", "renewable", "requestID"} <= lease.keys()
    login = team.bed.vault.login("kubernetes", team.ns, team.bed.token_for(team.ns, "app", [AUDIENCE]))
    body = {"lease_id": lease["id"], "increment": lease["duration"]}
    renewed = team.bed.vault.write("sys/leases/renew", body, token=login["client_token"])
    assert renewed["lease_duration"] == lease["duration"]
    username = base64.b64decode(team.the_secret(name)["data"]["username"]).decode()
    assert username in scene.database.users(scene.role(name))
