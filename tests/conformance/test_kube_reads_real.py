"""Lists, watches, tokens, leases, Events and restarts on a real API server."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.conformance.adapter_stage import VALUE, Place, a_place, client_of, install
from tests.testbed.bed import Json
from tests.testbed.real import RealBed
from tests.testbed.waiting import eventually
from vso.core.clock import SystemClock
from vso.core.errors import ConfigError, ExpiredError, Reason, TransientError
from vso.core.keys import Kind, ObjectKey
from vso.core.records import Record
from vso.kube.client import KubeClient, PatchType
from vso.kube.config import from_kubeconfig
from vso.kube.errors import ConflictError, ForbiddenError
from vso.kube.event_recorder import EventRecorder
from vso.kube.labels import OWNED_SELECTOR
from vso.kube.leases import KubeLeaseLock
from vso.kube.list_watch import ResourceListWatch, decode_record, decode_secret_metadata
from vso.kube.paths import cr_path, secret_path
from vso.kube.secrets import SecretWriter
from vso.kube.tokens import TokenMinter
from vso.kube.workloads import RESTARTED_AT, Workload, restart
from vso.runtime.events import Applied, Bookmark, Deleted, WatchEvent
from vso.runtime.leader_election import LeaseRecord

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
async def reading(accounts: RealBed) -> AsyncIterator[KubeClient]:
    async with client_of(accounts, "reader") as client:
        yield client


@pytest.fixture
async def working(accounts: RealBed) -> AsyncIterator[KubeClient]:
    async with client_of(accounts, "worker") as client:
        yield client


@pytest.fixture
async def writing(accounts: RealBed) -> AsyncIterator[KubeClient]:
    async with client_of(accounts, "writer") as client:
        yield client


@pytest.fixture
def writer(writing: KubeClient) -> SecretWriter:
    return SecretWriter(writing, delete_allowed=False)


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
        await restart(working, Workload(place.namespace, "Deployment", "web"), {"example.com/digest": digest}, now)
    found = place.bed.kube.find("Deployment", place.namespace, "web")
    annotations = found["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {RESTARTED_AT: "2026-01-01T12:00:00Z", "example.com/digest": "d2"}
    with pytest.raises(ConfigError) as caught:
        await restart(working, Workload(place.namespace, "Deployment", "none"), {}, now)
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
    path = cr_path(Kind.VAULT_STATIC_SECRET, place.namespace)
    watch = f"{path}?watch=1&timeoutSeconds=1"
    eventually(lambda: place.bed.kube.raw("GET", watch).status_code == 200, message="the kinds are served again")
    source = ResourceListWatch(reading, path, decode_record)
    with pytest.raises(ExpiredError):
        async for _ in source.watch("1"):
            pass
