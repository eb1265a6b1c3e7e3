"""Reading objects: what is understood, what is named, and what is never repeated."""

from __future__ import annotations

import orjson
import pytest

from tests.unit.api.objects import NOON, SPEC, body
from vso.api.access import VaultAuth, VaultConnection, VaultConnectionStatus
from vso.api.legacy import HCPVaultSecretsApp
from vso.api.meta import ObjectMeta
from vso.api.scheme import MODELS, dump_status, parse, parse_status
from vso.api.secrets import VaultDynamicSecret, VaultStaticSecret, VaultStaticSecretStatus
from vso.core.errors import ConfigError, Reason
from vso.core.keys import Kind


def static(**changes: object) -> VaultStaticSecret:
    parsed = parse(Kind.VAULT_STATIC_SECRET, body(SPEC | changes))
    assert isinstance(parsed, VaultStaticSecret)
    return parsed


def test_every_kind_has_a_model() -> None:
    assert set(MODELS) == set(Kind)
    assert {kind: model.__name__ for kind, model in MODELS.items()} == {kind: kind.value for kind in Kind}


def test_a_whole_object_is_read() -> None:
    raw = {
        "apiVersion": "secrets.hashicorp.com/v1beta1",
        "kind": "VaultStaticSecret",
        "metadata": {
            "name": "app",
            "namespace": "team",
            "uid": "u1",
            "resourceVersion": "7",
            "generation": 3,
            "labels": {"a": "b"},
            "creationTimestamp": "2026-05-01T12:00:00Z",
            "finalizers": ["x/y"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u2"}],
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": SPEC
        | {
            "vaultAuthRef": "ns/va",
            "refreshAfter": "1m",
            "hmacSecretData": False,
            "syncConfig": {"instantUpdates": True},
            "rolloutRestartTargets": [{"kind": "Deployment", "name": "web"}],
            "data": [{"secretKey": "a", "remoteRef": {"key": "b", "property": "c.0", "version": 4}}],
            "destination": {"name": "app", "create": True, "labels": {"l": "1"}, "onDelete": "Retain"},
        },
        "status": {"observedGeneration": 2, "lastGeneration": 2, "secretMAC": "bWFj"},
    }
    found = parse(Kind.VAULT_STATIC_SECRET, orjson.dumps(raw))
    assert isinstance(found, VaultStaticSecret)
    assert found.metadata.generation == 3
    assert found.metadata.creation_timestamp == NOON.replace(microsecond=0)
    assert found.metadata.owner_references[0].uid == "u2"
    assert dict(found.metadata.labels) == {"a": "b"}
    assert found.spec.destination.on_delete == "Retain"
    assert found.spec.data[0].remote_ref.property == "c.0"
    assert found.spec.data[0].remote_ref.version == 4
    assert found.spec.data[0].remote_ref.decoding_strategy == "None"
    assert found.spec.rollout_restart_targets[0].kind == "Deployment"
    assert found.status.secret_mac == "bWFj"


def test_what_is_not_known_is_ignored() -> None:
    assert static(tomorrow={"a": 1}) == static()


def test_an_object_without_status_has_not_been_seen() -> None:
    assert static().status == VaultStaticSecretStatus()
    assert static().status.observed_generation == -1


@pytest.mark.parametrize(("written", "read"), [("approle", "appRole"), ("appRole", "appRole"), ("jwt", "jwt")])
def test_both_spellings_of_approle_are_one_method(written: str, read: str) -> None:
    found = parse(Kind.VAULT_AUTH, body({"method": written}))
    assert isinstance(found, VaultAuth)
    assert found.spec.method == read


def test_nested_parameters_keep_their_values() -> None:
    nested = {"a": [1, 2.5, None, True, {"b": 12345678901234567890}]}
    found = parse(Kind.VAULT_DYNAMIC_SECRET, body({**SPEC, "paramsJSON": nested}))
    assert isinstance(found, VaultDynamicSecret)
    assert dict(found.spec.params_json or {}) == nested


def test_an_unset_list_of_namespaces_differs_from_an_empty_one() -> None:
    unset = parse(Kind.VAULT_CONNECTION, body({"address": "http://vault"}))
    empty = parse(Kind.VAULT_CONNECTION, body({"address": "http://vault", "allowedNamespaces": []}))
    assert isinstance(unset, VaultConnection)
    assert isinstance(empty, VaultConnection)
    assert unset.spec.allowed_namespaces is None
    assert empty.spec.allowed_namespaces == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mount": None}, "spec.mount: must be a valid string"),
        ({"type": "kv"}, "spec.type: must be 'kv-v1' or 'kv-v2'"),
        ({"destination": {}}, "spec.destination.name: is required"),
        ({"refreshAfter": "1h30m"}, "spec.refreshAfter: must be a duration of one number and one unit"),
        ({"version": -1}, "spec.version: must be greater than or equal to 0"),
        ({"version": "1"}, "spec.version: must be a valid integer"),
        ({"data": [{"secretKey": "a"}]}, "spec.data[0].remoteRef: is required"),
        (
            {"data": [{"secretKey": "a b", "remoteRef": {"key": "k"}}]},
            "spec.data[0].secretKey: must match ^[-._a-zA-Z0-9]+$",
        ),
        ({"mount": 1, "path": 1, "type": 1, "namespace": 1}, "; and 1 more"),
    ],
)
def test_a_bad_field_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        static(**changes)
    assert caught.value.reason is Reason.INVALID_SPEC
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("raw", "message"),
    [(b"{", "object: is not JSON"), (b"[]", "object: must be an object"), (b"{}", "spec: is required")],
)
def test_what_is_no_object_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(Kind.VAULT_STATIC_SECRET, raw)


def test_an_error_repeats_no_value() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Kind.VAULT_DYNAMIC_SECRET, body({**SPEC, "params": {"password": ["hunter2"]}}))
    assert "spec.params.password" in caught.value.message
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("status", "left"),
    [
        pytest.param({"lastGeneration": "two"}, {}, id="a-field-of-another-type"),
        pytest.param({"conditions": [{"type": "Ready", "status": "Maybe"}]}, {}, id="a-condition-of-no-known-status"),
        pytest.param({"lastSyncTime": "soon", "history": 7}, {}, id="several"),
        pytest.param({"destination": {"name": 1}, "secretMAC": "bWFj"}, {"secret_mac": "bWFj"}, id="the-rest-stays"),
        pytest.param("fine", {}, id="no-object"),
    ],
)
def test_a_status_that_cannot_be_understood_counts_as_not_said_and_refuses_no_object(
    status: object, left: dict[str, object]
) -> None:
    whole = body(SPEC, status=status)
    found = parse(Kind.VAULT_STATIC_SECRET, whole)
    assert isinstance(found, VaultStaticSecret)
    assert found.spec == static().spec
    assert found.status == parse_status(VaultStaticSecret, whole) == VaultStaticSecretStatus.model_validate(left)


def test_the_status_of_a_refused_object_is_read_alone() -> None:
    whole = body({**SPEC, "type": "kv"}, status={"lastGeneration": 3, "observedGeneration": "x"})
    assert parse_status(VaultStaticSecret, whole) == VaultStaticSecretStatus(last_generation=3)
    with pytest.raises(ConfigError) as caught:
        parse(Kind.VAULT_STATIC_SECRET, whole)
    assert caught.value.message == "spec.type: must be 'kv-v1' or 'kv-v2'"


def test_no_status_is_an_empty_one() -> None:
    assert parse_status(VaultConnection, body({})) == VaultConnectionStatus()


def test_an_object_of_the_reference_operator_is_read() -> None:
    status = {
        "lastRenewalTime": 1700000000,
        "lastGeneration": 2,
        "secretLease": {"id": "database/creds/x/1", "duration": 60, "renewable": True, "requestID": "r"},
        "staticCredsMetaData": {"lastVaultRotation": 1, "rotationPeriod": 2, "ttl": 3},
        "lastRuntimePodUID": "pod",
        "vaultClientMeta": {"cacheKey": "c", "id": "i"},
    }
    found = parse(Kind.VAULT_DYNAMIC_SECRET, body(SPEC, status=status))
    assert isinstance(found, VaultDynamicSecret)
    assert found.status.secret_lease.request_id == "r"
    assert dump_status(found.status) == {"observedGeneration": -1, **status}


def test_a_retired_kind_is_still_read() -> None:
    found = parse(Kind.HCP_VAULT_SECRETS_APP, body({"appName": "a", "destination": {"name": "d"}}))
    assert isinstance(found, HCPVaultSecretsApp)
    assert found.spec.refresh_after == "600s"


def test_models_cannot_be_written_to() -> None:
    meta = ObjectMeta(labels={"a": "b"})
    with pytest.raises(ValueError, match="frozen"):
        meta.name = "x"  # type: ignore[misc]  # the point of the test
    with pytest.raises(TypeError):
        meta.labels["a"] = "c"  # type: ignore[index]  # the point of the test
    assert hash(meta) == hash(ObjectMeta(labels={"a": "b"}))
