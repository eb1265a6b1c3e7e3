"""The other kinds: connections and auths in order or not, and kinds that are not acted on say so."""

from __future__ import annotations

import base64
import json

import pytest

from tests.conformance.stage import Json, Team
from tests.testbed.bed import KubeError, always, eventually
from tests.testbed.real import RealBed

DESTINATION: Json = {"name": "x", "create": True}
NOT_YET: dict[str, Json] = {
    "VaultPKISecret": {"mount": "pki", "role": "x", "destination": DESTINATION},
    "SecretTransformation": {"includes": [".*"]},
}
NEVER: dict[str, Json] = {
    "HCPAuth": {"organizationID": "o", "projectID": "p", "servicePrincipal": {"secretRef": "s"}},
    "HCPVaultSecretsApp": {"appName": "a", "destination": DESTINATION},
    "CSISecrets": {
        "accessControl": {"serviceAccountPattern": ".*"},
        "secrets": {"vaultStaticSecrets": [{"mount": "kv", "path": "x", "type": "kv-v2"}]},
    },
}


@pytest.mark.parametrize("kind", sorted(NOT_YET))
def test_a_kind_without_a_controller_yet_is_stalled_not_implemented(team: Team, kind: str) -> None:
    team.apply(kind, "x", NOT_YET[kind])
    team.wait_condition("Stalled", reason="NotImplemented", kind=kind, name="x")


@pytest.mark.parametrize("kind", sorted(NEVER))
def test_a_kind_that_never_will_have_one_is_stalled_unsupported(team: Team, kind: str) -> None:
    team.apply(kind, "x", NEVER[kind])
    team.wait_condition("Stalled", reason="Unsupported", kind=kind, name="x")


@pytest.mark.parametrize(
    ("kind", "name"), [("VaultPKISecret", "vaultpkisecrets"), ("HCPVaultSecretsApp", "hcpvaultsecretsapp")]
)
def test_one_that_the_reference_holds_by_a_finalizer_can_be_deleted(team: Team, kind: str, name: str) -> None:
    finalizers = [f"{name}.secrets.hashicorp.com/finalizer"]
    team.apply(kind, "x", (NOT_YET | NEVER)[kind], finalizers=finalizers)
    team.wait_condition("Stalled", kind=kind, name="x")
    assert team.get(kind, "x")["metadata"]["finalizers"] == finalizers
    team.bed.kube.delete(kind, team.ns, "x")
    eventually(lambda: not team.bed.kube.exists(kind, team.ns, "x"), message="it goes")


def test_a_connection_in_order_tells_the_version_of_vault(team: Team) -> None:
    team.access()
    team.wait_ready("vault", "VaultConnection")
    status = team.get("VaultConnection", "vault")["status"]
    assert status["valid"] is True
    assert status["version"] == team.bed.vault.health()["version"]
    assert status["sealed"] is False


def test_a_connection_to_nowhere_is_not_ready_and_says_where(team: Team) -> None:
    team.apply("VaultConnection", "vault", {"address": "http://127.0.0.1:9"})
    condition = team.wait_condition("Ready", "False", "VaultUnavailable", kind="VaultConnection", name="vault")
    assert "127.0.0.1:9" in condition["message"]


@pytest.mark.refused("get secrets")
def test_a_connection_with_a_missing_ca_secret_names_it(team: Team) -> None:
    team.apply("VaultConnection", "vault", {"address": "https://127.0.0.1:9", "caCertSecretRef": "no-ca"})
    condition = team.wait_condition("Ready", "False", kind="VaultConnection", name="vault")
    assert "no-ca" in condition["message"]


def test_a_reserved_header_is_refused(team: Team) -> None:
    team.apply("VaultConnection", "vault", {"address": team.bed.vault.url, "headers": {"x-vault-namespace": "ns1"}})
    condition = team.wait_condition("Stalled", reason="InvalidSpec", kind="VaultConnection", name="vault")
    assert "x-vault-namespace" in condition["message"].lower()


def test_a_ca_path_outside_the_allowed_prefixes_is_refused(team: Team) -> None:
    team.apply("VaultConnection", "vault", {"address": "https://127.0.0.1:9", "caCertPath": "/etc/passwd"})
    condition = team.wait_condition("Stalled", reason="InvalidSpec", kind="VaultConnection", name="vault")
    assert "allowed-file-prefixes" in condition["message"]


def test_a_ca_bundle_that_is_no_certificate_is_refused(team: Team) -> None:
    bundle = base64.b64encode(b"nonsense").decode()
    team.apply("VaultConnection", "vault", {"address": "https://127.0.0.1:9", "caBundle": bundle})
    team.wait_condition("Stalled", reason="InvalidSpec", kind="VaultConnection", name="vault")


def test_an_auth_in_order_is_valid_without_a_login(team: Team) -> None:
    mark = team.bed.mark()
    team.access()
    team.wait_ready("auth", "VaultAuth")
    assert team.get("VaultAuth", "auth")["status"]["valid"] is True
    assert [c for c in team.bed.vault_audit(mark) if c.path.endswith("/login")] == []


def test_an_auth_without_its_connection_recovers_when_it_comes(team: Team) -> None:
    team.apply("VaultAuth", "auth", team.auth_spec())
    team.wait_condition("Ready", "False", "ReferenceNotFound", kind="VaultAuth", name="auth")
    team.apply("VaultConnection", "vault", {"address": team.bed.vault.url})
    team.wait_ready("auth", "VaultAuth")


def test_a_connection_that_cannot_be_used_is_not_valid_until_it_is_mended(team: Team) -> None:
    team.access()
    team.wait_ready("vault", "VaultConnection")
    assert team.get("VaultConnection", "vault")["status"]["valid"] is True
    bundle = base64.b64encode(b"nonsense").decode()
    team.patch({"spec": {"caBundle": bundle}}, "VaultConnection", "vault")
    team.wait_condition("Ready", "False", "InvalidSpec", kind="VaultConnection", name="vault")
    assert team.get("VaultConnection", "vault")["status"]["valid"] is False
    team.patch({"spec": {"caBundle": None}}, "VaultConnection", "vault")
    team.wait_ready("vault", "VaultConnection")
    assert team.get("VaultConnection", "vault")["status"]["valid"] is True


def test_an_auth_that_cannot_be_used_is_not_valid_and_says_why_until_it_is_mended(team: Team) -> None:
    team.access()
    team.wait_ready("auth", "VaultAuth")
    team.patch({"spec": {"vaultConnectionRef": "nowhere"}}, "VaultAuth", "auth")
    team.wait_condition("Ready", "False", "ReferenceNotFound", kind="VaultAuth", name="auth")
    status = team.get("VaultAuth", "auth")["status"]
    assert status["valid"] is False
    assert f"{team.ns}/nowhere" in status["error"]
    team.patch({"spec": {"vaultConnectionRef": "vault"}}, "VaultAuth", "auth")
    team.wait_ready("auth", "VaultAuth")
    status = team.get("VaultAuth", "auth")["status"]
    assert status["valid"] is True
    assert "error" not in status


def taken(team: Team, change: Json) -> bool:
    """Whether the API server takes a change of the static secret."""
    try:
        team.patch(change)
    except KubeError:
        return False
    return True


@pytest.mark.real
def test_an_object_of_an_older_schema_is_stalled_with_the_field_and_keeps_its_secret(
    team: Team, real_bed: RealBed
) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.static()
    team.wait_ready()
    operator = team.stage.operator
    operator.stop()
    field = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/type/enum"
    crd = ("patch", "crd", "vaultstaticsecrets.secrets.hashicorp.com", "--type=json", "-p")
    real_bed.kubectl(*crd, json.dumps([{"op": "remove", "path": field}]))
    try:
        eventually(lambda: taken(team, {"spec": {"type": "kv-v9"}}), message="the looser schema is in place")
    finally:
        real_bed.kubectl(*crd, json.dumps([{"op": "add", "path": field, "value": ["kv-v1", "kv-v2"]}]))
    mark = real_bed.mark()
    operator.start()
    operator.wait_ready()
    condition = team.wait_condition("Stalled", reason="InvalidSpec")
    assert "spec.type: must be 'kv-v1' or 'kv-v2'" in condition["message"]
    assert team.the_data()["password"] == "v1"
    assert [
        c for c in real_bed.kube_audit(mark) if c.resource == "secrets" and c.writes and c.namespace == team.ns
    ] == []
    team.patch({"spec": {"type": "kv-v2"}})
    team.wait_ready()


def test_idle_connections_and_auths_are_not_written(team: Team) -> None:
    team.access()
    team.wait_ready("auth", "VaultAuth")
    team.wait_ready("vault", "VaultConnection")
    versions = eventually(
        lambda: [
            team.get(k, n)["metadata"]["resourceVersion"]
            for k, n in (("VaultAuth", "auth"), ("VaultConnection", "vault"))
        ]
    )
    always(
        lambda: (
            [
                team.get(k, n)["metadata"]["resourceVersion"]
                for k, n in (("VaultAuth", "auth"), ("VaultConnection", "vault"))
            ]
            == versions
        ),
        during=3,
    )
