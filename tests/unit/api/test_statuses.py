"""Writing statuses: their names, what the reference operator requires of them, and patches of what changed."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

import pytest

from tests.unit.api.objects import NOON, SPEC, body
from vso.api.access import VaultConnectionStatus
from vso.api.meta import Condition, Resource, Status
from vso.api.scheme import dump_status, parse, status_patch
from vso.api.secrets import (
    LeaseRef,
    PendingLease,
    SecretLease,
    StaticCredsMetaData,
    VaultDynamicSecretStatus,
    VaultPKISecretStatus,
    VaultStaticSecretStatus,
)
from vso.api.shared import DestinationStatus, HistoryEntry, VaultClientMeta
from vso.api.transformation import SecretTransformationStatus
from vso.core.keys import Kind

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
