from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from tests.fakes.cluster import FakeCluster
from tests.fakes.house import STATIC
from tests.fakes.kube_transport import FakeApiServer, connected, serving
from vso.api.secrets import VaultStaticSecretStatus
from vso.controllers.memory import Memory
from vso.controllers.status import StatusWriter
from vso.core.records import Record
from vso.kube.errors import ConflictError

EMPTY = VaultStaticSecretStatus()
ONE = VaultStaticSecretStatus(observed_generation=1, last_generation=1, source_version="1")
TWO = VaultStaticSecretStatus(observed_generation=1, last_generation=1, source_version="2")


@dataclass
class Desk:
    writer: StatusWriter[VaultStaticSecretStatus]
    cluster: FakeCluster
    api: FakeApiServer
    record: Record
    notes: Memory[VaultStaticSecretStatus]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    cluster = FakeCluster()
    record = cluster.put(STATIC, "db", {})
    async with serving(cluster) as api, connected(api) as kube:
        yield Desk(StatusWriter(kube, STATIC), cluster, api, record, Memory(record.uid, record.look))


async def test_a_status_is_written_with_the_version_that_it_was_decided_on(desk: Desk) -> None:
    assert await desk.writer.write(desk.record, desk.notes, EMPTY, ONE) is True
    (request,) = desk.api.requests
    assert request.path.endswith("/vaultstaticsecrets/db/status")
    assert request.json["metadata"] == {"resourceVersion": desk.record.resource_version}
    assert "as=PartialObjectMetadata" in request.headers["Accept"]
    assert desk.cluster.status(STATIC, "db")["sourceVersion"] == "1"


async def test_an_equal_status_is_not_written(desk: Desk) -> None:
    assert await desk.writer.write(desk.record, desk.notes, ONE, ONE.model_copy()) is False
    assert desk.api.requests == []


async def test_only_what_differs_is_sent(desk: Desk) -> None:
    await desk.writer.write(desk.record, desk.notes, ONE, TWO)
    assert desk.api.requests[0].json["status"] == {"sourceVersion": "2"}


async def test_what_was_written_counts_until_the_watch_has_caught_up(desk: Desk) -> None:
    await desk.writer.write(desk.record, desk.notes, EMPTY, ONE)
    assert desk.writer.effective(desk.record, EMPTY, desk.notes) is ONE
    shown = desk.cluster.record(STATIC, "db")
    assert desk.writer.effective(shown, TWO, desk.notes) is TWO
    assert desk.notes.status is None
    assert desk.writer.effective(desk.record, EMPTY, desk.notes) is EMPTY


async def test_a_second_write_before_the_watch_names_the_version_of_the_first(desk: Desk) -> None:
    await desk.writer.write(desk.record, desk.notes, EMPTY, ONE)
    assert await desk.writer.write(desk.record, desk.notes, ONE, TWO) is True
    assert desk.cluster.status(STATIC, "db")["sourceVersion"] == "2"


async def test_an_object_that_moved_on_is_a_conflict_and_nothing_is_remembered(desk: Desk) -> None:
    desk.cluster.put(STATIC, "db", {"path": "other"})
    with pytest.raises(ConflictError):
        await desk.writer.write(desk.record, desk.notes, EMPTY, ONE)
    assert desk.notes.status is None
    assert desk.cluster.status(STATIC, "db") == {}


async def test_an_object_that_is_gone_needs_no_status(desk: Desk) -> None:
    gone = replace(desk.record, key=replace(desk.record.key, name="gone"))
    assert await desk.writer.write(gone, desk.notes, EMPTY, ONE) is False
    assert desk.notes.status is None
