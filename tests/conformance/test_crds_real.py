"""The CRDs on a real API server: it takes them, and it says clearly what is wrong with an object."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conformance.crd_cases import CHECKS, MINIMAL, RULES, VA, VC, VDS, VPS, VSS, VST, Case, Json, changed
from tests.conformance.crd_reference import REFERENCE
from tests.testbed.bed import Bed, KubectlError, KubeError
from vso.api.access import VaultAuthStatus, VaultConnectionStatus
from vso.api.meta import Condition, Status
from vso.api.rules import ALL_RULES
from vso.api.scheme import dump_status
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
from vso.core.keys import API_VERSION, GROUP, Kind
from vso.kube.errors import Asked, ForbiddenError, error_for
from vso.kube.paths import schema_path, target_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.only_in("full", because="it is about what is shipped or asked, whatever an operator may do"),
]

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests" / "crds"
NAMESPACE = "crd-rules"
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def bed(real_bed: Bed) -> Iterator[Bed]:
    """The real servers with the CRDs, and a namespace for objects that nobody looks at."""
    real_bed.kubectl("apply", "-f", str(MANIFESTS))
    names = [f"crd/{kind.plural}.{GROUP}" for kind in Kind]
    real_bed.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    real_bed.kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    yield real_bed
    real_bed.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def manifest(kind: Kind, spec: Json, name: str = "") -> Json:
    metadata = {"name": name or f"object-{next(_numbers)}", "namespace": NAMESPACE}
    return {"apiVersion": API_VERSION, "kind": str(kind), "metadata": metadata, "spec": spec}


def test_the_table_has_a_case_for_every_rule() -> None:
    assert {case.message for case in RULES} == {rule.message for rules in ALL_RULES.values() for rule in rules}


@pytest.mark.parametrize("case", [pytest.param(c, id=f"{c.kind}-{n}") for n, c in enumerate(RULES + CHECKS)])
def test_the_api_server_admits_the_good_and_explains_the_bad(bed: Bed, case: Case) -> None:
    bed.kube.create(manifest(case.kind, changed(case.kind, case.good)))
    with pytest.raises(KubeError) as caught:
        bed.kube.create(manifest(case.kind, changed(case.kind, case.bad)))
    assert caught.value.status == 422
    assert case.message in caught.value.message


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind) for kind in Kind])
def test_a_minimal_manifest_is_applied_and_reads_as_not_seen_yet(bed: Bed, kind: Kind) -> None:
    name = f"minimal-{kind.lower()}"
    text = json.dumps(manifest(kind, MINIMAL[kind], name))
    bed.kubectl("apply", "--validate=strict", "-f", "-", stdin=text)
    found = json.loads(bed.kubectl("get", kind.plural, name, "-n", NAMESPACE, "-o", "json"))
    assert found["status"] == {"observedGeneration": -1}
    assert "unchanged" in bed.kubectl("apply", "--validate=strict", "-f", "-", stdin=text)


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind) for kind in Kind])
def test_every_field_of_the_reference_operator_is_taken_as_it_is(bed: Bed, kind: Kind) -> None:
    name = f"reference-{kind.lower()}"
    bed.kubectl("apply", "--validate=strict", "-f", "-", stdin=json.dumps(manifest(kind, REFERENCE[kind], name)))
    found = json.loads(bed.kubectl("get", kind.plural, name, "-n", NAMESPACE, "-o", "json"))
    assert contains(found["spec"], REFERENCE[kind])


def contains(whole: object, part: object) -> bool:
    """Whether every field of `part` is in `whole` with the same value; defaults may come on top."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and contains(whole[name], value) for name, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return whole == part


def test_two_sources_that_the_reference_operator_admits_are_admitted(bed: Bed) -> None:
    bed.kube.create(manifest(VC, changed(VC, {"caCertSecretRef": "ca", "caCertPath": "/ca"})))


CONDITION = Condition(type="Ready", status="True", reason="Ready", observed_generation=1, last_transition_time=NOON)
SYNCED: Json = {
    "observed_generation": 1,
    "conditions": (CONDITION,),
    "last_generation": 1,
    "secret_mac": "bWFj",
    "last_sync_time": NOON,
    "destination": DestinationStatus(name="app", uid="u", resource_version="9"),
    "rolled_out_digest": "d",
    "last_handled_resync": "r",
    "last_handled_restart": "r",
    "history": (HistoryEntry(time=NOON, version="4", lease="l", reason="SourceChanged", restart="Triggered"),),
}
CLIENT = VaultClientMeta(cache_key="c", id="i")
STATUSES: list[tuple[Kind, Status]] = [
    (VSS, VaultStaticSecretStatus(**SYNCED, source_version="4", vault_client_meta=CLIENT)),
    (
        VDS,
        VaultDynamicSecretStatus(
            **SYNCED,
            last_renewal_time=1_800_000_000,
            secret_lease=SecretLease(id="l", duration=60, renewable=True, request_id="q", token_expire_time=NOON),
            static_creds_meta_data=StaticCredsMetaData(last_vault_rotation=1, rotation_period=2, ttl=3),
            last_runtime_pod_uid="pod",
            vault_client_meta=CLIENT,
            expires=NOON,
            pending_lease=PendingLease(id="p", not_after=NOON, token_expire_time=NOON),
            retired_leases=(LeaseRef(id="o", not_after=NOON),),
        ),
    ),
    (
        VPS,
        VaultPKISecretStatus(
            **SYNCED,
            serial_number="0a",
            expiration=1,
            expires=NOON,
            last_rotation=1,
            valid=True,
            retired_serials=("0b",),
        ),
    ),
    (VC, VaultConnectionStatus(observed_generation=1, valid=True, version="1.21.0", sealed=False, last_probe=NOON)),
    (VA, VaultAuthStatus(valid=False, error="e", spec_hash="h", identity_count=2, token_type="batch", warnings=("w",))),
    (VST, SecretTransformationStatus(valid=True, referrers=3)),
]


@pytest.mark.parametrize(("kind", "status"), [pytest.param(k, s, id=k) for k, s in STATUSES])
def test_the_api_server_keeps_every_field_of_a_status(bed: Bed, kind: Kind, status: Status) -> None:
    created = manifest(kind, MINIMAL[kind])
    bed.kube.create(created)
    name = created["metadata"]["name"]
    patch = json.dumps({"status": dump_status(status)})
    bed.kubectl("patch", kind.plural, name, "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p", patch)
    found = json.loads(bed.kubectl("get", kind.plural, name, "-n", NAMESPACE, "-o", "json"))
    assert found["status"] == dump_status(status)


def test_who_may_not_read_the_schemas_is_told_so_in_the_words_that_the_operator_knows(bed: Bed) -> None:
    words = f'forbidden: User "system:anonymous" cannot get path "{schema_path()}"'
    with pytest.raises(KubectlError, match=re.escape(words)):
        bed.kubectl("get", "--raw", schema_path(), "--as=system:anonymous")
    asked = Asked("get", target_of(schema_path()))
    assert isinstance(error_for(403, {"message": words}, asked), ForbiddenError)


def test_kubectl_shows_columns_and_explains_fields(bed: Bed) -> None:
    created = manifest(VPS, MINIMAL[VPS])
    bed.kube.create(created)
    name = created["metadata"]["name"]
    patch = json.dumps({"status": dump_status(STATUSES[2][1])})
    bed.kubectl("patch", "vps", name, "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p", patch)
    lines = bed.kubectl("get", "vps", name, "-n", NAMESPACE).splitlines()
    assert lines[0].split() == ["NAME", "READY", "REASON", "SYNCED", "EXPIRES", "AGE"]
    assert lines[1].split()[1:3] == ["True", "Ready"]
    assert "2026-05-01T12:00:00Z" in lines[1]
    assert "Key of the Secret." in bed.kubectl("explain", "vss.spec.data.secretKey")
    assert name in bed.kubectl("get", "vault", "-n", NAMESPACE, "-o", "name")
