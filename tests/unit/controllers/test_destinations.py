from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.fakes.clock import T0
from tests.fakes.cluster import FakeCluster, Json
from tests.fakes.house import STATIC, static_spec
from tests.fakes.kube_transport import FakeApiServer, Reply, Request, connected, serving, status
from vso.api.scheme import parse_as
from vso.api.secrets import VaultStaticSecret, VaultStaticSecretStatus
from vso.api.shared import DestinationStatus
from vso.controllers.cache import ALL_NAMESPACES, ObjectCache
from vso.controllers.destinations import Destinations, Drift, Landed, StaticLook, secret_plan
from vso.controllers.looks import Look
from vso.controllers.memory import Memory
from vso.core.errors import ConfigError, Reason
from vso.core.keys import ObjectKey
from vso.core.records import Record
from vso.core.sensitive import Sensitive
from vso.decide.schedule import phase
from vso.decide.sync import Compared, SyncPlan, Why, plan_sync
from vso.kube.labels import owner_labels
from vso.kube.secrets import SecretWriter
from vso.runtime.store import StoreWriter

ONE = {"password": Sensitive.of("one")}
TWO = {"password": Sensitive.of("two")}
INTERVAL = 600.0


@dataclass
class Desk:
    """The destinations of one object, in one mode."""

    destinations: Destinations
    cluster: FakeCluster
    api: FakeApiServer
    secrets: StoreWriter[ObjectKey, Record]
    look: StaticLook

    def asks(self, **spec: Any) -> None:
        """Have the object ask for another destination."""
        destination = {"name": "db", "create": True, **spec}
        record = self.cluster.put(STATIC, "db", static_spec(destination=destination))
        self.look = replace(self.look, record=record, cr=parse_as(VaultStaticSecret, record.body))

    def shows(self) -> None:
        """Let the watch catch up."""
        self.secrets.replace([self.cluster.secret_record(name) for name in self.cluster.secrets.stored])

    def at(self, seconds: float) -> StaticLook:
        return replace(self.look, monotonic=seconds)

    def restarted(self) -> None:
        self.look = replace(self.look, notes=Memory(self.look.record.uid, 0))

    async def write(
        self, data: dict[str, Sensitive] = ONE, *, why: Why = Why.FIRST_SYNC, changed: bool = True
    ) -> Landed:
        """Write as a pass does and take what it returned into the status."""
        recorded = self.look.status.destination
        old_name, new_name = recorded.name if recorded else "", self.look.cr.spec.destination.name
        plan = plan_sync(why, Compared(new_name, old_name, "new" if changed else "old", "old"))
        landed = await self.destinations.apply(self.look, plan, data)
        written = landed.written
        told = DestinationStatus(name=written.name, uid=written.uid, resource_version=written.resource_version)
        self.look = replace(self.look, status=self.look.status.model_copy(update={"destination": told}))
        return landed


@asynccontextmanager
async def desk(*, full: bool) -> AsyncIterator[Desk]:
    cluster, secrets = FakeCluster(), StoreWriter[ObjectKey, Record]()
    record = cluster.put(STATIC, "db", static_spec(destination={"name": "db", "create": True}))
    cr = parse_as(VaultStaticSecret, record.body)
    look = Look(record, cr, VaultStaticSecretStatus(), Memory[VaultStaticSecretStatus](record.uid, 0), T0, 0.0)
    async with serving(cluster) as api, connected(api) as kube:
        cache = ObjectCache({ALL_NAMESPACES: secrets.store}) if full else None
        writer = SecretWriter(kube, delete_allowed=full)
        made = Destinations(STATIC, writer, cache, may_delete=full, drift_interval=INTERVAL)
        yield Desk(made, cluster, api, secrets, look)


@pytest.fixture
async def full() -> AsyncIterator[Desk]:
    async with desk(full=True) as made:
        yield made


@pytest.fixture
async def narrow() -> AsyncIterator[Desk]:
    async with desk(full=False) as made:
        yield made


# What a watch tells.


async def test_before_the_first_write_nothing_can_drift(full: Desk) -> None:
    assert full.destinations.drift(full.look) == Drift()


async def test_our_own_write_is_no_drift_whether_or_not_the_watch_has_caught_up(full: Desk) -> None:
    await full.write()
    assert full.destinations.drift(full.look) == Drift()
    full.shows()
    assert full.destinations.drift(full.look) == Drift()
    await full.write(TWO, why=Why.SOURCE_CHANGED)
    assert full.destinations.drift(full.look) == Drift()


async def test_a_newer_version_than_ours_is_drift(full: Desk) -> None:
    await full.write()
    full.cluster.edit_secret("db", password="foreign")
    full.shows()
    assert full.destinations.drift(full.look) == Drift(drifted=True)
    full.restarted()
    assert full.destinations.drift(full.look) == Drift(drifted=True)


async def test_a_secret_made_anew_is_drift(full: Desk) -> None:
    await full.write()
    full.cluster.secrets.put("db", uid="other", resourceVersion="1")
    full.shows()
    assert full.destinations.drift(full.look).drifted


async def test_a_deletion_that_was_seen_is_missing(full: Desk) -> None:
    landed = await full.write()
    full.look.notes.deleted_uid = landed.written.uid
    assert full.destinations.drift(full.look) == Drift(missing=True)


async def test_after_a_restart_what_the_first_list_does_not_show_is_missing(full: Desk) -> None:
    await full.write()
    full.restarted()
    assert full.destinations.drift(full.look) == Drift(missing=True)


async def test_a_secret_that_is_not_ours_is_not_watched(full: Desk) -> None:
    await full.write()
    full.asks(create=False)
    full.restarted()
    assert full.destinations.drift(full.look) == Drift()


async def test_without_a_watch_nothing_is_known(narrow: Desk) -> None:
    await narrow.write()
    narrow.restarted()
    assert narrow.destinations.drift(narrow.look) == Drift()


# What a write tells where there is no watch.


async def test_where_a_watch_does_the_work_no_check_is_due(full: Desk) -> None:
    assert full.destinations.next_check(full.look) is None
    assert full.destinations.check_due(full.at(1e9)) is False


async def test_the_first_check_comes_in_the_second_half_of_the_interval(narrow: Desk) -> None:
    assert narrow.destinations.check_due(narrow.at(1e9)) is False  # not before the first pass has set it
    first = narrow.destinations.next_check(narrow.look)
    assert first == INTERVAL * (0.5 + phase(narrow.look.record.uid) / 2)
    assert INTERVAL / 2 <= first < INTERVAL


async def test_checks_are_an_interval_apart_and_a_pass_in_between_moves_none(narrow: Desk) -> None:
    first = narrow.destinations.next_check(narrow.look)
    assert first is not None
    assert narrow.destinations.next_check(narrow.at(100)) == first - 100
    assert narrow.destinations.check_due(narrow.at(first - 1)) is False
    assert narrow.destinations.check_due(narrow.at(first)) is True
    assert narrow.destinations.next_check(narrow.at(first)) == INTERVAL
    assert narrow.destinations.check_due(narrow.at(first)) is False


async def test_a_secret_that_is_not_ours_is_checked_by_writing_in_full_mode_too(full: Desk) -> None:
    full.asks(create=False)
    assert full.destinations.next_check(full.look) is not None
    full.asks(create=True)
    assert full.destinations.next_check(full.look) is None
    assert full.look.notes.drift_due is None


@pytest.mark.parametrize("foreign", [False, True])
async def test_the_version_that_a_check_returns_tells_whether_somebody_else_wrote(narrow: Desk, foreign: bool) -> None:
    await narrow.write()
    if foreign:
        narrow.cluster.edit_secret("db", password="foreign")
    landed = await narrow.write(why=Why.DRIFT_CHECK, changed=False)
    assert landed.drifted is landed.moved is foreign
    assert narrow.cluster.secret_data("db") == {"password": "one"}


async def test_a_changed_value_is_no_drift(narrow: Desk) -> None:
    await narrow.write()
    landed = await narrow.write(TWO, why=Why.SOURCE_CHANGED)
    assert (landed.drifted, landed.moved) == (False, True)


async def test_a_secret_that_was_deleted_is_created_and_counts_as_drift(narrow: Desk) -> None:
    await narrow.write()
    narrow.cluster.secrets.stored.clear()
    landed = await narrow.write(why=Why.DRIFT_CHECK, changed=False)
    assert landed.written.outcome == "created"
    assert landed.drifted


async def test_a_write_is_remembered(full: Desk) -> None:
    full.look.notes.deleted_uid = "x"
    landed = await full.write()
    assert full.look.notes.written_version == int(landed.written.resource_version)
    assert full.look.notes.deleted_uid == ""


# Renames and removals.


async def test_a_rename_with_the_right_to_delete_takes_the_old_secret_away(full: Desk) -> None:
    await full.write()
    full.asks(name="new")
    landed = await full.write(why=Why.SPEC_CHANGED)
    assert set(full.cluster.secrets.stored) == {"new"}
    assert (landed.orphan, landed.drifted) == ("", False)


async def test_a_rename_without_it_empties_the_old_secret_and_names_it(narrow: Desk) -> None:
    await narrow.write()
    narrow.asks(name="new")
    landed = await narrow.write(why=Why.SPEC_CHANGED)
    assert (landed.orphan, landed.emptied) == ("db", True)
    assert narrow.cluster.secret_data("db") == {}
    assert narrow.cluster.secret_data("new") == {"password": "one"}


@pytest.mark.parametrize("mode", [True, False], ids=["full", "write-only"])
async def test_of_a_rename_only_our_own_old_secret_is_touched(mode: bool) -> None:
    async with desk(full=mode) as made:
        await made.write()
        made.cluster.secrets.put("db", uid="somebody-elses", data={"x": "eQ=="})
        made.asks(name="new")
        await made.write(why=Why.SPEC_CHANGED)
        assert made.cluster.secret_data("db") == {"x": "y"}


@pytest.mark.parametrize("mode", [True, False], ids=["full", "write-only"])
async def test_of_a_rename_a_secret_that_was_never_ours_by_name_is_left_and_named(mode: bool) -> None:
    async with desk(full=mode) as made:
        made.cluster.secrets.put("db")
        made.asks(create=False)
        await made.write()
        made.asks(name="new")
        landed = await made.write(why=Why.SPEC_CHANGED)
        assert (landed.orphan, landed.emptied) == ("db", False)
        assert made.cluster.secret_data("db") == {"password": "one"}


async def test_of_a_rename_the_secret_that_another_object_took_over_is_no_orphan(narrow: Desk) -> None:
    await narrow.write()
    narrow.cluster.secrets.stored["db"]["metadata"] |= {"labels": owner_labels("of-another"), "ownerReferences": []}
    narrow.asks(name="new")
    assert (await narrow.write(why=Why.SPEC_CHANGED)).orphan == ""
    assert narrow.cluster.secret_data("db") == {"password": "one"}


async def test_a_secret_that_is_not_ours_is_never_deleted(full: Desk) -> None:
    full.cluster.secrets.put("db")
    full.asks(create=False)
    await full.write()
    await full.destinations.remove(full.look)
    assert full.cluster.secret_data("db") == {}


@pytest.mark.parametrize(("mode", "left"), [(True, set()), (False, {"db"})], ids=["full", "write-only"])
async def test_removing_deletes_or_empties(mode: bool, left: set[str]) -> None:
    async with desk(full=mode) as made:
        await made.destinations.remove(made.look)
        assert made.api.requests == []
        await made.write()
        for _ in range(2):
            await made.destinations.remove(made.look)
        assert set(made.cluster.secrets.stored) == left
        assert all(made.cluster.secret_data(name) == {} for name in left)


async def test_a_secret_of_somebody_else_is_not_written(full: Desk) -> None:
    full.cluster.secrets.put("db", data={"x": "eQ=="})
    with pytest.raises(ConfigError) as caught:
        await full.write()
    assert caught.value.reason is Reason.DESTINATION_CONFLICT
    assert full.cluster.secret_data("db") == {"x": "y"}


# The Secret that is asked for.


@pytest.mark.parametrize(("on_delete", "owned"), [("Delete", True), ("Retain", False)])
async def test_a_retained_secret_has_no_owner(full: Desk, on_delete: str, owned: bool) -> None:
    full.asks(onDelete=on_delete, type="kubernetes.io/basic-auth", labels={"a": "b"})
    plan = secret_plan(STATIC, full.look, ONE)
    assert (plan.owner is not None) is owned
    assert plan.owner_uid == "uid-of-db"
    assert (plan.type, dict(plan.labels), plan.own) == ("kubernetes.io/basic-auth", {"a": "b"}, True)


async def test_a_secret_is_opaque_unless_said_otherwise(full: Desk) -> None:
    assert secret_plan(STATIC, full.look, ONE).type == "Opaque"


async def test_a_plan_for_the_labels_alone_leaves_the_data(full: Desk) -> None:
    await full.write()
    full.asks(labels={"team": "a"})
    landed = await full.write(why=Why.SPEC_CHANGED, changed=False)
    meta: Json = full.cluster.secrets.stored["db"]["metadata"]
    assert meta["labels"]["team"] == "a"
    assert landed.drifted is False
    assert isinstance(plan_sync(Why.SPEC_CHANGED, Compared("db", "db", "d", "d")), SyncPlan)


# What the watch shows while a write is on its way.


def meanwhile(full: Desk, happens: Callable[[], None]) -> None:
    """Have something happen between a write and its answer."""
    inner = full.cluster.secrets

    def answered(request: Request) -> Reply | None:
        full.cluster.refuse = None
        reply = inner(request)
        assert full.look.notes.writing
        happens()
        return reply

    full.cluster.refuse = answered


async def test_our_own_echo_before_the_answer_is_nothing_new(full: Desk) -> None:
    meanwhile(full, full.shows)
    landed = await full.write()
    assert not landed.overtaken
    assert not full.look.notes.writing


async def test_a_change_that_the_watch_shows_before_the_answer_is_looked_at_again(full: Desk) -> None:
    def edit() -> None:
        full.cluster.edit_secret("db", password="foreign")
        full.shows()

    meanwhile(full, edit)
    assert (await full.write()).overtaken
    assert full.destinations.drift(full.look) == Drift(drifted=True)


async def test_a_deletion_that_the_watch_shows_before_the_answer_is_looked_at_again(full: Desk) -> None:
    def delete() -> None:
        full.look.notes.deleted_uid = full.cluster.secrets.stored.pop("db")["metadata"]["uid"]

    meanwhile(full, delete)
    assert (await full.write()).overtaken
    assert full.destinations.drift(full.look) == Drift(missing=True)


async def test_a_write_that_fails_is_not_on_its_way_any_more(full: Desk) -> None:
    full.cluster.refuse = lambda _: status(403, "Forbidden")
    with pytest.raises(ConfigError):
        await full.write()
    assert not full.look.notes.writing
