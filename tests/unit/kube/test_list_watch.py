"""Lists in pages, watches in lines, records in bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.kube_transport import Reply, connected, serving, status
from vso.core.errors import ExpiredError, TransientError
from vso.core.keys import Kind, ObjectKey
from vso.kube.labels import OWNED_SELECTOR, OWNER_UID_LABEL
from vso.kube.list_watch import (
    LAST_APPLIED,
    ResourceListWatch,
    decode_record,
    decode_secret_metadata,
    fitting_limit,
    look_of,
)
from vso.kube.paths import cr_path, secret_path
from vso.runtime.events import Applied, Bookmark, Deleted

PATH = cr_path(Kind.VAULT_STATIC_SECRET, "app")


def thing(name: str, version: str = "1", **meta: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "app", "uid": f"u-{name}", "resourceVersion": version, **meta}
    return {"apiVersion": "secrets.hashicorp.com/v1beta1", "kind": "VaultStaticSecret", "metadata": metadata}


def page(names: list[str], version: str, following: str = "") -> Reply:
    meta = {"resourceVersion": version, "continue": following}
    return Reply(200, {"metadata": meta, "items": [thing(name) for name in names]})


def line(type_: str, **value: Any) -> bytes:
    return json.dumps({"type": type_, "object": value}).encode() + b"\n"


async def test_all_pages_are_listed() -> None:
    async with serving() as server, connected(server) as client:
        server.script.extend([page(["a", "b"], "7", "next"), page(["c"], "7")])
        source = ResourceListWatch(client, PATH, decode_record, page_size=2)
        pages = [page async for page in source.list()]
    assert [[record.key.name for record in page.records] for page in pages] == [["a", "b"], ["c"]]
    assert pages[-1].resource_version == "7"
    assert [seen.query for seen in server.requests] == [{"limit": "2"}, {"limit": "2", "continue": "next"}]


async def test_a_list_that_expires_between_pages_says_so() -> None:
    async with serving() as server, connected(server) as client:
        server.script.extend([page(["a"], "7", "next"), status(410, "Expired")])
        with pytest.raises(ExpiredError):
            _ = [page async for page in ResourceListWatch(client, PATH, decode_record).list()]


async def test_a_watch_tells_what_happens() -> None:
    async with serving() as server, connected(server) as client:
        bookmark = line("BOOKMARK", metadata={"resourceVersion": "12"})
        events = (
            line("ADDED", **thing("a", "9")),
            line("MODIFIED", **thing("a", "10")),
            line("DELETED", **thing("a", "11")),
        )
        server.script.append(Reply(chunks=(*events, bookmark)))
        source = ResourceListWatch(client, PATH, decode_record)
        seen = [event async for event in source.watch("8")]
    match seen:
        case [Applied(added), Applied(changed), Deleted(gone), Bookmark(version)]:
            assert [record.resource_version for record in (added, changed, gone)] == ["9", "10", "11"]
            assert version == "12"
        case _:
            pytest.fail(str(seen))
    query = server.requests[0].query
    assert (query["watch"], query["allowWatchBookmarks"], query["resourceVersion"]) == ("1", "true", "8")
    assert 270 <= int(query["timeoutSeconds"]) < 310


@pytest.mark.parametrize(
    "reply",
    [
        status(410, "Expired"),
        Reply(chunks=(line("ERROR", kind="Status", code=410, reason="Expired"),)),
        Reply(chunks=(line("ERROR", kind="Status", reason="Gone"),)),
    ],
)
async def test_an_old_version_is_expired(reply: Reply) -> None:
    async with serving() as server, connected(server) as client:
        server.script.append(reply)
        with pytest.raises(ExpiredError):
            _ = [event async for event in ResourceListWatch(client, PATH, decode_record).watch("1")]


@pytest.mark.parametrize(
    "chunk",
    [line("ERROR", kind="Status", code=500), line("SURPRISE"), b"no json\n", b"[]\n"],
)
async def test_a_broken_stream_is_tried_again(chunk: bytes) -> None:
    async with serving() as server, connected(server) as client:
        server.script.append(Reply(chunks=(chunk,)))
        with pytest.raises(TransientError):
            _ = [event async for event in ResourceListWatch(client, PATH, decode_record).watch("1")]


async def test_secrets_are_asked_for_without_their_data() -> None:
    async with serving() as server, connected(server) as client:
        server.script.extend([Reply(200, {"metadata": {}, "items": []}), Reply(chunks=())])
        source = ResourceListWatch(
            client, secret_path(), decode_secret_metadata, label_selector=OWNED_SELECTOR, metadata_only=True
        )
        _ = [page async for page in source.list()]
        _ = [event async for event in source.watch("1")]
    listed, watched = server.requests
    assert "as=PartialObjectMetadataList" in listed.headers["Accept"]
    assert "as=PartialObjectMetadata;" in watched.headers["Accept"]
    assert {seen.query["labelSelector"] for seen in (listed, watched)} == {OWNED_SELECTOR}


def test_a_record_is_small() -> None:
    meta = {"managedFields": [{"manager": "x"}], "annotations": {LAST_APPLIED: "{}", "a": "b"}, "generation": 3}
    record = decode_record({**thing("a", "5", **meta), "spec": {"path": "x"}})
    body = json.loads(record.body)
    assert body["metadata"] == {**thing("a", "5")["metadata"], "annotations": {"a": "b"}, "generation": 3}
    assert body["spec"] == {"path": "x"}
    assert (record.key, record.uid, record.generation, record.deleting) == (ObjectKey("app", "a"), "u-a", 3, False)


def test_a_record_without_own_annotations_has_none() -> None:
    record = decode_record(thing("a", annotations={LAST_APPLIED: "{}"}, deletionTimestamp="2026-01-01T00:00:00Z"))
    assert "annotations" not in json.loads(record.body)["metadata"]
    assert record.deleting


def test_the_look_changes_with_labels_and_annotations_alone() -> None:
    plain = decode_record(thing("a", labels={"x": "1", "y": "2"}))
    assert decode_record(thing("a", "9", labels={"y": "2", "x": "1"}, generation=4)).look == plain.look
    assert decode_record(thing("a", labels={"x": "1", "y": "2"}, annotations={LAST_APPLIED: "z"})).look == plain.look
    assert decode_record(thing("a", labels={"x": "1", "y": "3"})).look != plain.look
    assert decode_record(thing("a", labels={"x": "1", "y": "2"}, annotations={"z": "1"})).look != plain.look


def test_the_look_is_the_same_in_every_process() -> None:
    assert look_of({"a": "b"}, {}) == 0x97EB94F8B72B8267
    assert 0 <= look_of({}, {}) < 2**64


@pytest.mark.parametrize(
    ("meta", "owner"),
    [
        ({"ownerReferences": [{"apiVersion": "secrets.hashicorp.com/v1beta1", "uid": "cr-1"}]}, "cr-1"),
        ({"labels": {OWNER_UID_LABEL: "cr-2"}}, "cr-2"),
        ({"ownerReferences": [{"apiVersion": "apps/v1", "uid": "d"}], "labels": {OWNER_UID_LABEL: "cr-3"}}, "cr-3"),
        ({}, ""),
    ],
)
def test_a_secret_s_record_knows_its_owner_and_no_content(meta: dict[str, Any], owner: str) -> None:
    record = decode_secret_metadata(thing("s", **meta))
    assert (record.owner_uid, record.body) == (owner, b"")


@pytest.mark.parametrize(
    ("limit", "items", "size", "expected"),
    [
        (500, 500, 900_000, 500),
        (500, 500, 5_000_000, 100),
        (500, 500, 50_000_000, 50),
        (500, 0, 0, 500),
        (2, 2, 9_000_000, 2),
    ],
)
def test_pages_shrink_to_about_a_megabyte(limit: int, items: int, size: int, expected: int) -> None:
    assert fitting_limit(limit, items, size) == expected
