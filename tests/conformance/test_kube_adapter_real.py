"""The adapter on a real API server: each promise about writes, watches and tokens, seen from both sides."""

from __future__ import annotations

import base64
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.testbed.bed import Json, eventually
from tests.testbed.real import RealBed
from vso.core.clock import SystemClock
from vso.core.errors import ConfigError, ExpiredError, Reason, TerminalError, TransientError, VsoError
from vso.core.keys import API_VERSION, GROUP, Kind, ObjectKey, OwnerRef
from vso.core.records import Record
from vso.core.sensitive import Sensitive
from vso.kube.client import KubeClient, PatchType
from vso.kube.config import from_kubeconfig
from vso.kube.errors import ConflictError, ForbiddenError, InvalidError
from vso.kube.event_recorder import EventRecorder
from vso.kube.labels import OWNED_SELECTOR, owner_labels
from vso.kube.leases import KubeLeaseLock
from vso.kube.list_watch import ResourceListWatch, decode_record, decode_secret_metadata
from vso.kube.paths import cr_path, secret_path
from vso.kube.secrets import Recorded, SecretPlan, SecretWriter
from vso.kube.tokens import TokenMinter
from vso.kube.workloads import RESTARTED_AT, SECRET_DIGEST, restart
from vso.runtime.events import Applied, Bookmark, Deleted, WatchEvent
from vso.runtime.leader_election import LeaseRecord

pytestmark = pytest.mark.real

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests" / "crds"
SYSTEM = "adapter-system"
VALUE = "canary-hunter2"
_numbers = itertools.count(1)

RULES: dict[str, list[Json]] = {
    "writer": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch"]}],
    "deleter": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch", "delete"]}],
    "reader": [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "watch"]},
        {"apiGroups": [GROUP], "resources": ["*"], "verbs": ["get", "list", "watch"]},
    ],
    "worker": [
        {
            "apiGroups": [""],
            "resources": ["serviceaccounts/token"],
            "verbs": ["create"],
            "resourceNames": ["app", "no"],
        },
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "patch"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"]},
    ],
    "nobody": [],
}


@dataclass(frozen=True)
class Place:
    """A namespace with an owner for Secrets, and the clients that work in it."""

    bed: RealBed
    namespace: str
    owner: OwnerRef

    def plan(self, name: str = "creds", **changes: object) -> SecretPlan:
        plan = SecretPlan(
            namespace=self.namespace,
            name=name,
            type="Opaque",
            data={"password": Sensitive.of(VALUE)},
            labels={"team": "a"},
            annotations={"note": "x"},
            owner=self.owner,
            owner_uid=self.owner.uid,
            own=True,
            overwrite=False,
        )
        return replace(plan, **changes)  # type: ignore[arg-type]

    def secret(self, name: str = "creds") -> Json:
        return self.bed.kube.find("Secret", self.namespace, name)

    def put_foreign(self, name: str = "creds", **metadata: object) -> Json:
        meta = {"name": name, "namespace": self.namespace, **metadata}
        data = {"theirs": base64.b64encode(b"value").decode()}
        return self.bed.kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})

    def make_owner(self, name: str) -> OwnerRef:
        spec = {"mount": "kv", "path": "app", "type": "kv-v2", "vaultAuthRef": "va", "destination": {"name": "creds"}}
        meta = {"name": name, "namespace": self.namespace}
        made = self.bed.kube.create(
            {"apiVersion": API_VERSION, "kind": "VaultStaticSecret", "metadata": meta, "spec": spec}
        )
        return OwnerRef("VaultStaticSecret", name, made["metadata"]["uid"])

    def calls(self, who: str, mark: object) -> list[tuple[str, str, int]]:
        user = f"system:serviceaccount:{SYSTEM}:{who}"
        calls = self.bed.kube_audit(mark)  # type: ignore[arg-type]
        return [(call.verb, call.resource, call.code) for call in calls if call.user == user]


@pytest.fixture(scope="module")
def accounts(real_bed: RealBed) -> Iterator[RealBed]:
    """The CRDs, and a ServiceAccount for each set of rights."""
    bed = real_bed
    bed.kubectl("apply", "-f", str(MANIFESTS))
    bed.kubectl(
        "wait", "--for=condition=Established", "--timeout=30s", f"crd/{Kind.VAULT_STATIC_SECRET.plural}.{GROUP}"
    )
    bed.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})
    rbac = "rbac.authorization.k8s.io"
    for name, rules in RULES.items():
        bed.kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": SYSTEM}})
        role = {"kind": "ClusterRole", "metadata": {"name": f"adapter-{name}"}}
        bed.kube.apply({"apiVersion": f"{rbac}/v1", **role, "rules": rules})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": SYSTEM}
        reference = {"apiGroup": rbac, "kind": "ClusterRole", "name": f"adapter-{name}"}
        binding = {"kind": "ClusterRoleBinding", "metadata": {"name": f"adapter-{name}"}}
        bed.kube.apply({"apiVersion": f"{rbac}/v1", **binding, "roleRef": reference, "subjects": [subject]})
    yield bed
    bed.kubectl("delete", "namespace", SYSTEM, "--wait=false")


@pytest.fixture
def place(accounts: RealBed) -> Iterator[Place]:
    namespace = f"adapter-{next(_numbers)}"
    accounts.kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    empty = Place(accounts, namespace, OwnerRef("VaultStaticSecret", "db", ""))
    yield replace(empty, owner=empty.make_owner("db"))
    accounts.kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")


async def _client(bed: RealBed, who: str) -> AsyncIterator[KubeClient]:
    config = bed.kubeconfig(bed.directory / f"adapter-{who}.yaml", bed.token_for(SYSTEM, who))
    async with KubeClient(await from_kubeconfig(str(config)), SystemClock(), user_agent="adapter-test") as client:
        yield client


@pytest.fixture
async def writing(accounts: RealBed) -> AsyncIterator[KubeClient]:
    async for client in _client(accounts, "writer"):
        yield client


@pytest.fixture
async def reading(accounts: RealBed) -> AsyncIterator[KubeClient]:
    async for client in _client(accounts, "reader"):
        yield client


@pytest.fixture
async def working(accounts: RealBed) -> AsyncIterator[KubeClient]:
    async for client in _client(accounts, "worker"):
        yield client


@pytest.fixture
def writer(writing: KubeClient) -> SecretWriter:
    return SecretWriter(writing, delete_allowed=False)


@pytest.fixture
async def deleter(accounts: RealBed) -> AsyncIterator[SecretWriter]:
    async for client in _client(accounts, "deleter"):
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
    assert await writer.empty(place.namespace, "creds", "another-uid") == "gone"
    assert await writer.empty(place.namespace, "creds", tls.uid) == "emptied"
    assert place.secret()["data"] == {"tls.crt": "", "tls.key": ""}
    plain = await writer.put(place.plan("plain"), recorded=None, metadata_changed=True)
    assert await writer.empty(place.namespace, "plain", plain.uid) == "emptied"
    assert not place.secret("plain").get("data")
    assert await deleter.delete(place.namespace, "plain", "another-uid") == "gone"
    assert await deleter.delete(place.namespace, "plain", plain.uid) == "deleted"
    assert await deleter.delete(place.namespace, "plain", plain.uid) == "gone"


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
    async for client in _client(accounts, "nobody"):
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


async def test_a_list_comes_in_pages_and_the_watch_goes_on_from_there(place: Place, reading: KubeClient) -> None:
    for number in range(5):
        place.make_owner(f"cr-{number}")
    source = ResourceListWatch(reading, cr_path(Kind.VAULT_STATIC_SECRET, place.namespace), decode_record, page_size=2)
    pages = [page async for page in source.list()]
    assert [len(page.records) for page in pages] == [2, 2, 2]
    names = [record.key.name for page in pages for record in page.records]
    assert names == ["cr-0", "cr-1", "cr-2", "cr-3", "cr-4", "db"]
    version = pages[-1].resource_version
    place.bed.kube.patch("VaultStaticSecret", place.namespace, "db", {"metadata": {"labels": {"a": "b"}}})
    place.bed.kube.delete("VaultStaticSecret", place.namespace, "cr-0")
    seen: list[WatchEvent[Record]] = []
    async with aclosing(source.watch(version)) as events:
        async for event in events:
            seen.append(event)
            if len(seen) == 2:
                break
    applied, deleted = seen
    assert isinstance(applied, Applied)
    assert isinstance(deleted, Deleted)
    assert (applied.record.key, deleted.record.key.name) == (ObjectKey(place.namespace, "db"), "cr-0")
    listed = next(record for page in pages for record in page.records if record.key.name == "db")
    assert applied.record.look != listed.look
    assert applied.record.generation == listed.generation
    assert b"managedFields" not in applied.record.body


async def test_secrets_are_watched_without_their_values(
    place: Place, reading: KubeClient, writer: SecretWriter
) -> None:
    path = secret_path(place.namespace)
    source = ResourceListWatch(reading, path, decode_secret_metadata, label_selector=OWNED_SELECTOR, metadata_only=True)
    place.put_foreign("foreign")
    written = await writer.put(place.plan(), recorded=None, metadata_changed=True)
    pages = [page async for page in source.list()]
    (record,) = pages[0].records
    assert (record.uid, record.owner_uid, record.body) == (written.uid, place.owner.uid, b"")
    params = {"watch": "1", "resourceVersion": "0", "labelSelector": OWNED_SELECTOR, "timeoutSeconds": "5"}
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    async with aclosing(reading.stream(path, params, accept=accept)) as lines:
        line = await anext(lines)
    assert base64.b64encode(VALUE.encode()) not in line


async def test_a_watch_brings_bookmarks(place: Place, reading: KubeClient) -> None:
    # A watch that ends soon gets its last bookmark two seconds before its end.
    params = {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": "0", "timeoutSeconds": "4"}
    source = ResourceListWatch(reading, cr_path(Kind.VAULT_STATIC_SECRET, place.namespace), decode_record)
    lines = [line async for line in reading.stream(cr_path(Kind.VAULT_STATIC_SECRET, place.namespace), params)]
    events = [source.event(line) for line in lines]
    assert any(isinstance(event, Bookmark) and event.resource_version for event in events)


async def test_a_token_is_minted_for_a_consumer(place: Place, working: KubeClient) -> None:
    meta = {"name": "app", "namespace": place.namespace}
    made = place.bed.kube.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    minter = TokenMinter(working)
    token = await minter.mint(place.namespace, "app", ("vault",), 600)
    assert token.uid == made["metadata"]["uid"]
    assert timedelta(minutes=9) < token.expires - datetime.now(UTC) <= timedelta(minutes=10, seconds=5)
    with pytest.raises(ConfigError) as missing:
        await minter.mint(place.namespace, "no", (), 600)
    assert missing.value.reason is Reason.SERVICE_ACCOUNT_NOT_FOUND
    with pytest.raises(ForbiddenError) as forbidden:
        await minter.mint(place.namespace, "default", (), 600)
    assert 'resources: ["serviceaccounts/token"]' in forbidden.value.message
    assert 'resourceNames: ["default"]' in forbidden.value.message


async def test_the_lease_is_written_over_the_version_that_was_read(place: Place, working: KubeClient) -> None:
    lock = KubeLeaseLock(working, place.namespace, "b0d477c0.hashicorp.com")
    assert await lock.get() is None
    now = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
    made = await lock.create(LeaseRecord("one", 15, now, now))
    assert await lock.get() == made
    with pytest.raises(ConflictError):
        await lock.create(LeaseRecord("two", 15, now, now))
    released = await lock.update(replace(made, holder=""))
    assert (released.holder, released.acquire_time) == ("", now)
    with pytest.raises(ConflictError):
        await lock.update(replace(made, holder="two"))


async def test_equal_events_are_one_that_counts(place: Place, working: KubeClient) -> None:
    recorder = EventRecorder(working, SystemClock(), "VaultStaticSecret", instance="pod-1")
    key = ObjectKey(place.namespace, "db")
    for _ in range(3):
        recorder.record(Kind.VAULT_STATIC_SECRET, key, place.owner.uid, "Normal", "SecretSynced", "written")
        await recorder.flush()
    (event,) = place.bed.kube.list("Event", place.namespace)
    assert (event["count"], event["reason"], event["involvedObject"]["uid"]) == (3, "SecretSynced", place.owner.uid)
    assert "SecretSynced" in place.bed.kubectl("-n", place.namespace, "describe", "vaultstaticsecret", "db")


async def test_a_workload_is_restarted_by_its_pod_template(place: Place, working: KubeClient) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    meta = {"name": "web", "namespace": place.namespace}
    place.bed.kube.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for digest in ("d1", "d2"):
        await restart(working, place.namespace, "Deployment", "web", digest, now)
    found = place.bed.kube.find("Deployment", place.namespace, "web")
    annotations = found["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {RESTARTED_AT: "2026-01-01T12:00:00Z", SECRET_DIGEST: "d2"}
    with pytest.raises(ConfigError) as caught:
        await restart(working, place.namespace, "Deployment", "none", "d", now)
    assert caught.value.reason is Reason.ROLLOUT_RESTART_FAILED


async def test_a_client_certificate_and_a_status_write_with_a_stale_version(place: Place) -> None:
    path = cr_path(Kind.VAULT_STATIC_SECRET, place.namespace, "db", "status")
    async with KubeClient(await from_kubeconfig(str(place.bed.admin_kubeconfig)), SystemClock()) as client:
        seen = await client.get(cr_path(Kind.VAULT_STATIC_SECRET, place.namespace, "db"))
        version = seen["metadata"]["resourceVersion"]
        body: Json = {"metadata": {"resourceVersion": version}, "status": {"observedGeneration": 1}}
        await client.patch(path, body, content_type=PatchType.MERGE)
        body["status"]["observedGeneration"] = 2
        with pytest.raises(ConflictError):
            await client.patch(path, body, content_type=PatchType.MERGE)


async def test_an_old_version_is_expired_after_the_server_has_forgotten(place: Place, reading: KubeClient) -> None:
    place.bed.stop_server("kube-apiserver")
    with pytest.raises(TransientError) as away:
        await reading.get(cr_path(Kind.VAULT_STATIC_SECRET, place.namespace))
    assert away.value.reason is Reason.KUBERNETES_UNAVAILABLE
    place.bed.start_server("kube-apiserver")
    source = ResourceListWatch(reading, cr_path(Kind.VAULT_STATIC_SECRET, place.namespace), decode_record)
    with pytest.raises(ExpiredError):
        async for _ in source.watch("1"):
            pass
