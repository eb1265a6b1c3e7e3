"""Reading objects and writing statuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest

from vso.api.access import VaultAuth, VaultConnection, VaultConnectionStatus
from vso.api.legacy import HCPVaultSecretsApp
from vso.api.meta import Condition, ObjectMeta, Resource, Status
from vso.api.scheme import MODELS, dump_status, parse, parse_status, status_patch
from vso.api.secrets import (
    LeaseRef,
    PendingLease,
    SecretLease,
    StaticCredsMetaData,
    VaultDynamicSecret,
    VaultDynamicSecretStatus,
    VaultPKISecretStatus,
    VaultStaticSecret,
    VaultStaticSecretStatus,
)
from vso.api.shared import DestinationStatus, HistoryEntry, VaultClientMeta
from vso.api.transformation import SecretTransformationStatus
from vso.core.errors import ConfigError, Reason
from vso.core.keys import Kind

NOON = datetime(2026, 5, 1, 12, 0, 0, 987654, tzinfo=UTC)
SPEC: dict[str, Any] = {"mount": "kv", "path": "app/config", "type": "kv-v2", "destination": {"name": "app"}}


def body(spec: object, **more: object) -> bytes:
    return orjson.dumps({"metadata": {"name": "app", "namespace": "team"}, "spec": spec, **more})


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


FULL_STATIC = VaultStaticSecretStatus(
    observed_generation=3,
    conditions=(
        Condition(type="Ready", status="True", reason="Ready", observed_generation=3, last_transition_time=NOON),
    ),
    last_generation=3,
    secret_mac="bWFj",
    last_sync_time=NOON,
    source_version="4",
    destination=DestinationStatus(name="app", uid="u", resource_version="9"),
    rolled_out_digest="d",
    last_handled_resync="r1",
    last_handled_restart="r2",
    history=(HistoryEntry(time=NOON, version="4", reason="SourceChanged", restart="Triggered"),),
    vault_client_meta=VaultClientMeta(cache_key="kubernetes-1", id="i"),
)


def test_a_static_secrets_status_has_exactly_these_names() -> None:
    moment = "2026-05-01T12:00:00Z"
    assert dump_status(FULL_STATIC) == {
        "observedGeneration": 3,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Ready",
                "message": "",
                "observedGeneration": 3,
                "lastTransitionTime": moment,
            }
        ],
        "lastGeneration": 3,
        "secretMAC": "bWFj",
        "lastSyncTime": moment,
        "sourceVersion": "4",
        "destination": {"name": "app", "uid": "u", "resourceVersion": "9"},
        "rolledOutDigest": "d",
        "lastHandledResync": "r1",
        "lastHandledRestart": "r2",
        "history": [{"time": moment, "version": "4", "reason": "SourceChanged", "restart": "Triggered"}],
        "vaultClientMeta": {"cacheKey": "kubernetes-1", "id": "i"},
    }


@pytest.mark.parametrize(
    ("status", "written"),
    [
        pytest.param(VaultStaticSecretStatus(), {"lastGeneration": 0}, id="static"),
        pytest.param(
            VaultDynamicSecretStatus(),
            {
                "lastGeneration": 0,
                "lastRenewalTime": 0,
                "secretLease": {"id": "", "duration": 0, "renewable": False, "requestID": ""},
            },
            id="dynamic",
        ),
        pytest.param(
            VaultPKISecretStatus(), {"lastGeneration": 0, "lastRotation": 0, "valid": False, "error": ""}, id="pki"
        ),
        pytest.param(SecretTransformationStatus(), {"valid": False, "error": ""}, id="transformation"),
        pytest.param(VaultConnectionStatus(valid=False), {"valid": False}, id="connection"),
        pytest.param(VaultConnectionStatus(), {}, id="connection-not-looked-at"),
    ],
)
def test_the_reference_operators_required_fields_are_always_written(status: Status, written: dict[str, Any]) -> None:
    assert dump_status(status) == {"observedGeneration": -1, **written}


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (Kind.VAULT_STATIC_SECRET, FULL_STATIC),
        (
            Kind.VAULT_DYNAMIC_SECRET,
            VaultDynamicSecretStatus(
                secret_lease=SecretLease(id="l", duration=60, renewable=True, request_id="q", token_expire_time=NOON),
                pending_lease=PendingLease(id="p"),
                retired_leases=(LeaseRef(id="o", not_after=NOON),),
                expires=NOON,
                last_runtime_pod_uid="pod",
            ),
        ),
        (Kind.VAULT_PKI_SECRET, VaultPKISecretStatus(serial_number="0a", expiration=5, retired_serials=("0b",))),
    ],
)
def test_a_status_reads_as_it_was_written(kind: Kind, status: Status) -> None:
    spec = SPEC | {"role": "r"}
    found = parse(kind, body(spec, status=dump_status(status)))
    assert found.model_dump()["status"] == status.model_dump()
    assert status_of(found) == status


def status_of(resource: Resource) -> Status:
    status = getattr(resource, "status")  # noqa: B009  the base has none
    assert isinstance(status, Status)
    return status


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


@pytest.mark.parametrize(
    ("changes", "patch"),
    [
        pytest.param({}, {}, id="nothing-changed"),
        pytest.param({"secret_mac": "x"}, {"secretMAC": "x"}, id="changed"),
        pytest.param({"source_version": ""}, {"sourceVersion": None}, id="gone"),
        pytest.param(
            {"destination": DestinationStatus(name="app", uid="v", resource_version="9")},
            {"destination": {"uid": "v"}},
            id="inside",
        ),
        pytest.param({"conditions": ()}, {"conditions": None}, id="list-gone"),
    ],
)
def test_a_status_patch_says_what_changed_and_what_went(changes: dict[str, Any], patch: dict[str, Any]) -> None:
    assert status_patch(FULL_STATIC, FULL_STATIC.model_copy(update=changes)) == patch


LEASELESS: dict[str, Any] = {"id": "", "duration": 0, "renewable": False, "requestID": ""}
REQUIRED: dict[str, Any] = {"lastGeneration": 0, "lastRenewalTime": 0, "secretLease": LEASELESS}


@pytest.mark.parametrize(
    ("there", "changes", "patch"),
    [
        pytest.param({}, {"observed_generation": 1}, {"observedGeneration": 1, **REQUIRED}, id="the-first-failure"),
        pytest.param(
            {},
            {"last_generation": 1, "last_renewal_time": 5, "secret_lease": SecretLease(request_id="r")},
            {"lastGeneration": 1, "lastRenewalTime": 5, "secretLease": {**LEASELESS, "requestID": "r"}}
            | {"observedGeneration": -1},
            id="static-credentials",
        ),
        pytest.param(
            {"observedGeneration": 1, "lastGeneration": 0, "lastRenewalTime": 0, "secretLease": {"requestID": "r"}},
            {"secret_lease": SecretLease(request_id="s")},
            {"secretLease": {**LEASELESS, "requestID": "s"}},
            id="what-an-older-write-left-out",
        ),
        pytest.param(
            {"observedGeneration": 1, **REQUIRED},
            {"secret_lease": SecretLease(request_id="s")},
            {"secretLease": {"requestID": "s"}},
            id="all-there-already",
        ),
        pytest.param(
            {"observedGeneration": 1, **REQUIRED, "retiredLeases": [{"id": "a"}]},
            {"static_creds_meta_data": StaticCredsMetaData(ttl=3)},
            {"staticCredsMetaData": {"lastVaultRotation": 0, "rotationPeriod": 0, "ttl": 3}},
            id="an-object-that-was-not-there",
        ),
        pytest.param({}, {}, {}, id="nothing-else-to-say"),
        pytest.param({"secretLease": {}}, {"secret_lease": SecretLease()}, {}, id="the-same-said-otherwise"),
    ],
)
def test_a_status_that_is_written_at_all_has_every_field_that_the_reference_operator_requires(
    there: dict[str, Any], changes: dict[str, Any], patch: dict[str, Any]
) -> None:
    old = status_of(parse(Kind.VAULT_DYNAMIC_SECRET, body(SPEC, status=there)))
    new = old.model_copy(update=changes)
    assert status_patch(old, new) == patch
    assert status_patch(new, new.model_copy()) == {}


def test_times_are_whole_seconds_in_utc() -> None:
    east = NOON.astimezone(timezone(timedelta(hours=2)))
    condition = Condition(type="Ready", status="True", reason="Ready", last_transition_time=east)
    assert condition.last_transition_time == NOON.replace(microsecond=0)


def test_models_cannot_be_written_to() -> None:
    meta = ObjectMeta(labels={"a": "b"})
    with pytest.raises(ValueError, match="frozen"):
        meta.name = "x"  # type: ignore[misc]  # the point of the test
    with pytest.raises(TypeError):
        meta.labels["a"] = "c"  # type: ignore[index]  # the point of the test
    assert hash(meta) == hash(ObjectMeta(labels={"a": "b"}))
