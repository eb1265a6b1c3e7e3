"""The write protocol on a real API server, with the rights that it asks for and no others."""

from __future__ import annotations

import base64
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.conformance.adapter_stage import VALUE, Place, a_place, client_of, install
from tests.testbed.bed import eventually
from tests.testbed.real import RealBed
from vso.core.clock import SystemClock
from vso.core.errors import ConfigError, Reason, TerminalError, VsoError
from vso.core.keys import API_VERSION
from vso.core.sensitive import Sensitive
from vso.kube.client import KubeClient, PatchType
from vso.kube.errors import ForbiddenError, InvalidError
from vso.kube.labels import owner_labels
from vso.kube.paths import secret_path
from vso.kube.secrets import Recorded, SecretWriter

pytestmark = [
    pytest.mark.real,
    pytest.mark.only_in("full", because="it is about what is shipped or asked, whatever an operator may do"),
]


@pytest.fixture(scope="module")
def accounts(real_bed: RealBed) -> RealBed:
    install(real_bed)
    return real_bed


@pytest.fixture
def place(accounts: RealBed) -> Iterator[Place]:
    with a_place(accounts) as place:
        yield place


@pytest.fixture
async def writing(accounts: RealBed) -> AsyncIterator[KubeClient]:
    async with client_of(accounts, "writer") as client:
        yield client


@pytest.fixture
def writer(writing: KubeClient) -> SecretWriter:
    return SecretWriter(writing, delete_allowed=False)


@pytest.fixture
async def deleter(accounts: RealBed) -> AsyncIterator[SecretWriter]:
    async with client_of(accounts, "deleter") as client:
        yield SecretWriter(client, delete_allowed=True)


async def test_the_life_of_a_secret_needs_create_and_patch_alone(place: Place, writer: SecretWriter) -> None:
    mark = place.bed.mark()
    plan = place.plan()
    first = await writer.put(plan, recorded=None, metadata_changed=True)
    recorded = Recorded(first.uid, first.resource_version)
    same = await writer.put(plan, recorded=recorded, metadata_changed=True)
    changed = await writer.put(
        replace(plan, data={"other": Sensitive.of("v2")}), recorded=recorded, metadata_changed=False
    )
    assert (first.outcome, same.outcome, same.resource_version) == ("created", "patched", first.resource_version)
    assert int(changed.resource_version) > int(first.resource_version)
    secret = place.secret()
    assert secret["data"] == {"other": base64.b64encode(b"v2").decode()}
    assert secret["metadata"]["labels"] == {"team": "a", **owner_labels(place.owner.uid)}
    assert secret["metadata"]["ownerReferences"] == [
        {"apiVersion": API_VERSION, "kind": "VaultStaticSecret", "name": "db", "uid": place.owner.uid}
    ]
    calls = eventually(lambda: calls if len(calls := place.calls("writer", mark)) >= 3 else None)
    assert calls == [("create", "secrets", 201), ("patch", "secrets", 200), ("patch", "secrets", 200)]


async def test_the_time_of_a_write_moves_only_when_something_is_given_a_value(
    place: Place, writer: SecretWriter
) -> None:
    async def put(labels: dict[str, str] | None = None, **data: str) -> datetime | None:
        """Write, in another second than before."""
        second = datetime.now(UTC).replace(microsecond=0)
        eventually(lambda: datetime.now(UTC).replace(microsecond=0) > second, message="another second")
        plan = place.plan(
            data={key: Sensitive.of(value) for key, value in data.items()}, labels={"team": "a"} | (labels or {})
        )
        return (await writer.put(plan, recorded=recorded, metadata_changed=labels is not None)).set_at

    first = await writer.put(place.plan(data={"a": Sensitive.of("1")}), recorded=None, metadata_changed=True)
    recorded = Recorded(first.uid, "")
    assert first.set_at is not None
    assert await put(a="1") == first.set_at
    changed = await put(a="2", b="1")
    assert changed is not None
    assert changed > first.set_at
    assert await put(a="2", b="1") == changed
    assert await put(a="2") == changed  # a key less gives nothing a value
    labelled = await put({"tier": "db"}, a="2")
    assert labelled is not None
    assert labelled > changed  # one entry for data and labels
    assert await put({"tier": "db"}, a="2") == labelled


async def test_a_foreign_write_shows_in_the_version(place: Place, writer: SecretWriter) -> None:
    first = await writer.put(place.plan(), recorded=None, metadata_changed=True)
    place.bed.kube.patch("Secret", place.namespace, "creds", {"data": {"password": None, "x": "eA=="}})
    again = await writer.put(place.plan(), recorded=Recorded(first.uid, ""), metadata_changed=False)
    assert int(again.resource_version) > int(first.resource_version) + 1
    assert place.secret()["data"].keys() == {"password"}


async def test_own_metadata_follows_the_plan_and_foreign_metadata_stays(place: Place, writer: SecretWriter) -> None:
    first = await writer.put(place.plan(), recorded=None, metadata_changed=True)
    foreign = {"labels": {"argo": "x"}, "annotations": {"seen": "y"}}
    place.bed.kube.patch("Secret", place.namespace, "creds", {"metadata": foreign})
    plan = place.plan(labels={"tier": "b"}, annotations={}, owner=None)
    await writer.put(plan, recorded=Recorded(first.uid, ""), metadata_changed=True)
    meta = place.secret()["metadata"]
    assert meta["labels"] == {"argo": "x", "tier": "b", **owner_labels(place.owner.uid)}
    assert meta["annotations"] == {"seen": "y"}
    assert "ownerReferences" not in meta
    await writer.put(place.plan(), recorded=Recorded(first.uid, ""), metadata_changed=True)
    assert place.secret()["metadata"]["ownerReferences"][0]["uid"] == place.owner.uid


async def test_ours_is_adopted_with_nothing_changed(place: Place, writer: SecretWriter) -> None:
    first = await writer.put(place.plan(), recorded=None, metadata_changed=True)
    again = await writer.put(place.plan(), recorded=None, metadata_changed=True)
    assert again == replace(first, outcome="adopted")


async def test_a_retained_secret_is_adopted_by_its_label_and_by_a_successor(place: Place, writing: KubeClient) -> None:
    living = {place.owner.uid}
    writer = SecretWriter(
        writing, delete_allowed=False, owner_of=lambda _, uid: "another object" if uid in living else None
    )
    plan = place.plan(owner=None)
    first = await writer.put(plan, recorded=None, metadata_changed=True)
    assert (await writer.put(plan, recorded=None, metadata_changed=True)).outcome == "adopted"
    successor = place.plan(owner=None, owner_uid="a-later-uid")
    with pytest.raises(ConfigError, match="belongs to another object"):
        await writer.put(successor, recorded=None, metadata_changed=True)
    living.clear()
    adopted = await writer.put(successor, recorded=None, metadata_changed=True)
    assert (adopted.outcome, adopted.uid) == ("adopted", first.uid)
    assert place.secret()["metadata"]["labels"] == {"team": "a", **owner_labels("a-later-uid")}


async def test_a_foreign_secret_stays_as_it_is_without_overwrite(place: Place, writer: SecretWriter) -> None:
    before = place.put_foreign()
    with pytest.raises(ConfigError) as caught:
        await writer.put(place.plan(), recorded=None, metadata_changed=True)
    assert caught.value.reason is Reason.DESTINATION_CONFLICT
    assert place.secret() == before


async def test_a_foreign_secret_is_taken_over_with_overwrite(place: Place, writer: SecretWriter) -> None:
    place.put_foreign(labels={"app": "web"})
    written = await writer.put(place.plan(overwrite=True), recorded=None, metadata_changed=True)
    secret = place.secret()
    assert (written.outcome, written.resource_version) == ("taken-over", secret["metadata"]["resourceVersion"])
    assert secret["data"].keys() == {"password"}
    assert secret["metadata"]["labels"] == {"app": "web", "team": "a", **owner_labels(place.owner.uid)}


async def test_another_object_s_secret_is_never_taken_over(place: Place, writer: SecretWriter) -> None:
    await writer.put(place.plan(), recorded=None, metadata_changed=True)
    before = place.secret()
    other = place.make_owner("second")
    with pytest.raises(ConfigError) as caught:
        await writer.put(
            place.plan(owner=other, owner_uid=other.uid, overwrite=True), recorded=None, metadata_changed=True
        )
    assert caught.value.reason is Reason.DESTINATION_CONFLICT
    assert place.secret() == before


async def test_a_deleted_secret_is_created_and_a_recreated_one_is_judged(place: Place, writer: SecretWriter) -> None:
    first = await writer.put(place.plan(), recorded=None, metadata_changed=True)
    recorded = Recorded(first.uid, first.resource_version)
    place.bed.kube.delete("Secret", place.namespace, "creds")
    again = await writer.put(place.plan(), recorded=recorded, metadata_changed=False)
    assert again.outcome == "created"
    assert again.uid != first.uid
    place.bed.kube.delete("Secret", place.namespace, "creds")
    place.put_foreign()
    with pytest.raises(ConfigError) as caught:
        await writer.put(place.plan(), recorded=Recorded(again.uid, ""), metadata_changed=False)
    assert caught.value.reason is Reason.DESTINATION_CONFLICT
    assert place.secret()["data"].keys() == {"theirs"}


async def test_without_create_only_the_data_is_ours(place: Place, writer: SecretWriter) -> None:
    plan = place.plan(own=False)
    with pytest.raises(ConfigError) as caught:
        await writer.put(plan, recorded=None, metadata_changed=True)
    assert caught.value.reason is Reason.DESTINATION_MISSING
    before = place.put_foreign(labels={"app": "web"})
    written = await writer.put(plan, recorded=None, metadata_changed=True)
    secret = place.secret()
    assert (written.outcome, written.uid) == ("patched", before["metadata"]["uid"])
    assert secret["data"].keys() == {"password"}
    assert secret["metadata"]["labels"] == {"app": "web"}


async def test_another_type_is_refused_or_created_anew(
    place: Place, writer: SecretWriter, deleter: SecretWriter
) -> None:
    first = await writer.put(place.plan(), recorded=None, metadata_changed=True)
    plan, recorded = place.plan(type="example.com/other"), Recorded(first.uid, first.resource_version)
    with pytest.raises(ConfigError) as caught:
        await writer.put(plan, recorded=recorded, metadata_changed=True)
    assert caught.value.reason is Reason.TYPE_IMMUTABLE
    written = await deleter.put(plan, recorded=recorded, metadata_changed=True)
    assert (written.outcome, place.secret()["type"]) == ("created", "example.com/other")


async def test_an_immutable_secret_is_refused(place: Place, writer: SecretWriter) -> None:
    first = await writer.put(place.plan(), recorded=None, metadata_changed=True)
    place.bed.kube.patch("Secret", place.namespace, "creds", {"immutable": True})
    recorded = Recorded(first.uid, "")
    await writer.put(place.plan(), recorded=recorded, metadata_changed=False)
    with pytest.raises(ConfigError) as caught:
        await writer.put(place.plan(data={"a": Sensitive.of("b")}), recorded=recorded, metadata_changed=False)
    assert caught.value.reason is Reason.TYPE_IMMUTABLE


async def test_orphans_are_emptied_or_deleted(place: Place, writer: SecretWriter, deleter: SecretWriter) -> None:
    pair = {"tls.crt": Sensitive(b"c"), "tls.key": Sensitive(b"k")}
    tls = await writer.put(place.plan(type="kubernetes.io/tls", data=pair), recorded=None, metadata_changed=True)
    assert await writer.empty(place.plan(), "another-uid") == "gone"
    assert await writer.empty(place.plan(), tls.uid) == "emptied"
    assert place.secret()["data"] == {"tls.crt": "", "tls.key": ""}
    plain = await writer.put(place.plan("plain"), recorded=None, metadata_changed=True)
    assert await writer.empty(place.plan("plain"), plain.uid) == "emptied"
    assert not place.secret("plain").get("data")
    assert await deleter.delete(place.plan("plain"), "another-uid") == "gone"
    assert await deleter.delete(place.plan("plain"), plain.uid) == "deleted"
    assert await deleter.delete(place.plan("plain"), plain.uid) == "gone"


async def test_a_merge_patch_for_another_uid_changes_nothing(place: Place, writing: KubeClient) -> None:
    before = place.put_foreign()
    body = {"metadata": {"uid": "another", "labels": {"a": "b"}}}
    path = secret_path(place.namespace, "creds")
    with pytest.raises(InvalidError) as caught:
        await writing.patch(path, body, content_type=PatchType.MERGE, metadata_only=True)
    assert any(cause.field == "metadata.uid" for cause in caught.value.causes)
    assert place.secret() == before


async def test_answers_hold_no_values(place: Place, writing: KubeClient, writer: SecretWriter) -> None:
    await writer.put(place.plan(), recorded=None, metadata_changed=True)
    path = secret_path(place.namespace, "creds")
    answer = await writing.patch(path, {}, content_type=PatchType.MERGE, metadata_only=True, dry_run=True)
    assert answer["kind"] == "PartialObjectMetadata"
    assert "data" not in answer
    with pytest.raises(InvalidError) as caught:
        await writing.patch(path, {"data": {"a": f"{VALUE}!!"}}, content_type=PatchType.MERGE, metadata_only=True)
    assert VALUE not in str(caught.value)


async def test_a_terminating_and_a_missing_namespace_are_told_apart_from_rights(
    place: Place, writer: SecretWriter
) -> None:
    holder = {"name": "holder", "namespace": place.namespace, "finalizers": ["example.com/hold"]}
    place.bed.kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": holder})
    place.bed.kubectl("delete", "namespace", place.namespace, "--wait=false")
    try:
        with pytest.raises(TerminalError) as caught:
            await writer.put(place.plan(), recorded=None, metadata_changed=True)
        assert caught.value.reason is Reason.NAMESPACE_TERMINATING
    finally:
        place.bed.kube.patch("ConfigMap", place.namespace, "holder", {"metadata": {"finalizers": None}})
    with pytest.raises(TerminalError) as missing:
        await writer.put(place.plan(namespace="no-such-namespace"), recorded=None, metadata_changed=True)
    assert missing.value.reason is Reason.NAMESPACE_TERMINATING


async def test_a_quota_is_told_apart_from_rights(place: Place, writer: SecretWriter) -> None:
    meta = {"name": "none", "namespace": place.namespace}
    place.bed.kube.create(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": {"count/secrets": "0"}}}
    )
    eventually(lambda: place.bed.kube.find("ResourceQuota", place.namespace, "none").get("status", {}).get("hard"))
    with pytest.raises(ConfigError) as caught:
        await writer.put(place.plan(), recorded=None, metadata_changed=True)
    assert caught.value.reason is Reason.QUOTA_EXCEEDED
    assert "none" in caught.value.message


async def test_a_missing_right_is_named_as_a_rule(place: Place, accounts: RealBed) -> None:
    async with client_of(accounts, "nobody") as client:
        with pytest.raises(ForbiddenError) as caught:
            await SecretWriter(client, delete_allowed=False).put(place.plan(), recorded=None, metadata_changed=True)
    assert 'apiGroups: [""], resources: ["secrets"], verbs: ["create"]' in caught.value.message
    assert place.namespace in caught.value.message


async def test_an_admission_policy_is_told_apart_from_rights(place: Place, writer: SecretWriter) -> None:
    name = f"policy-{place.namespace}"
    group = "admissionregistration.k8s.io/v1"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}
    check = {"expression": "'owner' in object.metadata.labels", "message": "label owner is missing"}
    leak = {"expression": "!('leak' in object.metadata.labels)", "messageExpression": "string(object.data.password)"}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [check, leak]}
    place.bed.kube.create(
        {"apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": spec}
    )
    matching = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place.namespace}}}
    bound = {"policyName": name, "validationActions": ["Deny"], "matchResources": matching}
    binding = {"kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": bound}
    place.bed.kube.create({"apiVersion": group, **binding})
    try:
        refused = await _until_refused(writer, place)
        assert refused.reason is Reason.ADMISSION_DENIED
        assert "label owner is missing" in refused.message
        plan = place.plan("quoted", labels={"owner": "a", "leak": "1"})
        with pytest.raises(ConfigError) as caught:
            await writer.put(plan, recorded=None, metadata_changed=True)
        assert caught.value.reason is Reason.ADMISSION_DENIED
        assert base64.b64encode(VALUE.encode()).decode() not in str(caught.value)
        assert VALUE not in str(caught.value)
    finally:
        place.bed.kube.delete("ValidatingAdmissionPolicyBinding", None, name)
        place.bed.kube.delete("ValidatingAdmissionPolicy", None, name)


async def _until_refused(writer: SecretWriter, place: Place) -> VsoError:
    # The API server takes a moment to see a new policy.
    for number in itertools.count():
        try:
            await writer.put(place.plan(f"probe-{number}"), recorded=None, metadata_changed=True)
        except VsoError as error:
            return error
        if number > 200:
            break
        await SystemClock().sleep(0.05)
    raise AssertionError("the policy never took effect")
