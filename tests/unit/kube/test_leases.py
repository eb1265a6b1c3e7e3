"""The Lease: what is written, what is read, who wins."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.fakes.kube_transport import Reply, connected, serving, status
from vso.kube.errors import ConflictError
from vso.kube.leases import KubeLeaseLock, record_in, spec_of
from vso.runtime.leader_election import LeaseRecord

NOW = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
RECORD = LeaseRecord("one", 15, NOW, NOW, 2, "9")


def stored(record: LeaseRecord) -> dict[str, Any]:
    return {"metadata": {"name": "l", "resourceVersion": record.resource_version}, "spec": spec_of(record)}


@pytest.mark.parametrize("record", [RECORD, replace(RECORD, holder="")])
def test_a_record_survives_the_way(record: LeaseRecord) -> None:
    assert record_in(stored(record)) == record


def test_what_others_leave_out_is_long_ago_and_nobody_s() -> None:
    record = record_in({"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": None}})
    assert (record.holder, record.duration_seconds, record.renew_time.year) == ("", 0, 1970)


async def test_the_lock_writes_over_what_it_read() -> None:
    async with serving() as server, connected(server) as client:
        lock = KubeLeaseLock(client, "sys", "l")
        server.script.extend([status(404, "NotFound"), Reply(201, stored(RECORD)), Reply(200, stored(RECORD))])
        assert await lock.get() is None
        assert await lock.create(RECORD) == RECORD
        assert await lock.update(RECORD) == RECORD
    _, created, updated = server.requests
    assert created.json["metadata"] == {"name": "l", "namespace": "sys"}
    assert updated.json == {"metadata": {"resourceVersion": "9"}, "spec": spec_of(RECORD)}


@pytest.mark.parametrize("refusal", [status(409, "Conflict"), status(404, "NotFound")])
async def test_the_loser_gets_a_conflict(refusal: Reply) -> None:
    async with serving(lambda _: refusal) as server, connected(server) as client:
        lock = KubeLeaseLock(client, "sys", "l")
        with pytest.raises(ConflictError):
            await lock.update(RECORD)


async def test_who_creates_second_gets_a_conflict() -> None:
    async with serving(lambda _: status(409, "AlreadyExists")) as server, connected(server) as client:
        with pytest.raises(ConflictError):
            await KubeLeaseLock(client, "sys", "l").create(RECORD)
