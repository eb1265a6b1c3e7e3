"""What tells that somebody else has changed a Secret: the watch, or the answer to a write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from tests.fakes.destination_desk import INTERVAL, TWO, Desk, desk
from tests.fakes.kube_transport import Reply, Request, status
from vso.controllers.destinations import Drift
from vso.core.errors import ConfigError
from vso.decide.schedule import phase
from vso.decide.sync import Why


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
