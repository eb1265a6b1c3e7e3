"""Instant updates of a static secret: what it follows, what its status says, and what a change costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes.clock import settle
from tests.fakes.cluster import key
from tests.fakes.house import House
from tests.fakes.vault_events import SUBSCRIBE, EventDesk, written
from tests.fakes.vault_parts import until
from tests.fakes.vault_server import Reply, errors
from vso.core.errors import ConfigError, Reason, TransientError

INSTANT = {"instantUpdates": True}
UNSUPPORTED = errors(404, "1 error occurred:\n\t* unsupported path\n\n")
STATUS = "PATCH vaultstaticsecrets/db/status"


@asynccontextmanager
async def listening(home: House, answer: EventDesk | Reply) -> AsyncIterator[None]:
    """Run the streams and the poller meanwhile."""
    home.vault.on("GET", SUBSCRIBE, answer)
    tasks = [asyncio.ensure_future(home.streams.run()), asyncio.ensure_future(home.poller.run())]
    await settle()
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def told(home: House) -> None:
    """Wait until it is known how it stands with the stream."""
    await until(lambda: home.streams.standing(key("db")) is not None)


async def looked(home: House) -> None:
    """Wait until what nobody heard before the stream was opened has been looked for."""
    await until(lambda: home.poller.statistics().looks == 1 and not home.poller.statistics().workers)


async def test_without_the_wish_nothing_is_followed(home: House) -> None:
    async with listening(home, EventDesk()):
        await home.pass_over()
        await settle()
    assert home.vault.asked(SUBSCRIBE) == []
    assert home.condition("InstantUpdates") == {}


async def test_a_stream_is_told_in_a_condition_of_its_own_and_an_event(home: House) -> None:
    home.static(syncConfig=INSTANT)
    await home.pass_over()
    assert home.condition("InstantUpdates") == {}, "not known yet"
    async with listening(home, EventDesk()):
        await told(home)
        assert home.woken == [frozenset({key("db")})]
        await home.pass_over()
        condition = home.condition("InstantUpdates")
        assert (condition["status"], condition["reason"]) == ("True", "EventWatcherStarted")
        await home.pass_over()
    assert home.writes() == ["POST secrets", STATUS, STATUS]
    assert await home.told() == [Reason.SECRET_SYNCED, Reason.EVENT_WATCHER_STARTED]


async def test_a_vault_without_events_leaves_the_object_healthy_and_says_why_once(home: House) -> None:
    home.static(syncConfig=INSTANT)
    await home.pass_over()
    async with listening(home, UNSUPPORTED):
        await told(home)
        for _ in range(3):
            await home.pass_over()
            await home.clock.advance(301)
    condition = home.condition("InstantUpdates")
    assert (condition["status"], condition["reason"]) == ("False", "EventsUnsupported")
    assert "unsupported path" in condition["message"]
    assert "polling goes on" in condition["message"]
    assert home.condition("Ready")["status"] == home.condition("Healthy")["status"] == "True"
    assert home.writes() == ["POST secrets", STATUS, STATUS]
    assert await home.told() == [Reason.SECRET_SYNCED, Reason.EVENT_WATCHER_ERROR]


async def test_the_second_object_of_a_stream_says_all_in_its_first_status(home: House) -> None:
    home.static(syncConfig=INSTANT)
    home.static("two", syncConfig=INSTANT, destination={"name": "two", "create": True})
    async with listening(home, EventDesk()):
        await home.pass_over()
        await told(home)
        await home.pass_over()
        await home.pass_over("two")
    assert home.condition("InstantUpdates", "two")["status"] == "True"
    assert home.writes().count("PATCH vaultstaticsecrets/two/status") == 1
    assert len(home.vault.asked(SUBSCRIBE)) == 1
    assert sorted(await home.told()) == sorted([Reason.SECRET_SYNCED, Reason.EVENT_WATCHER_STARTED] * 2)


async def test_a_change_that_vault_tells_is_in_the_secret_long_before_the_next_poll(home: House) -> None:
    home.static(syncConfig=INSTANT, refreshAfter="1h")
    desk = EventDesk()
    async with listening(home, desk):
        await home.pass_over()
        await looked(home)
        await home.clock.advance(2)
        reads = home.reads()
        home.woken.clear()
        home.holds({"password": "s3cret-2"}, version=2)
        await desk.send(written("kv/data/app/config"))
        await until(lambda: home.streams.statistics().matched == 1)
        await home.clock.advance(0)
        await until(lambda: home.woken == [frozenset({key("db")})])
        home.notes().source_changed = True
        await home.pass_over()
    assert home.cluster.secret_data("db") == {"password": "s3cret-2"}
    assert home.reads() == reads + 1, "the look's answer serves the pass"


@pytest.mark.parametrize("spec", [{"hmacSecretData": False, "refreshAfter": None}, {"refreshAfter": "1h"}])
async def test_what_is_not_polled_is_looked_at_when_vault_tells(home: House, spec: dict[str, Any]) -> None:
    home.static(syncConfig=INSTANT, **spec)
    desk = EventDesk()
    async with listening(home, desk):
        await home.pass_over()
        await looked(home)
        await home.clock.advance(5)
        looks = home.poller.statistics().looks
        home.holds({"password": "s3cret-2"}, version=2)
        await desk.send(written("kv/data/app/config"))
        await until(lambda: home.streams.statistics().matched == 1)
        await home.clock.advance(5)
        await until(lambda: home.poller.statistics().looks == looks + 1)


async def test_removing_the_wish_removes_the_condition_and_closes_the_socket(home: House) -> None:
    home.static(syncConfig=INSTANT)
    desk = EventDesk()
    async with listening(home, desk):
        await home.pass_over()
        await told(home)
        await home.pass_over()
        home.static(syncConfig=None)
        await home.pass_over()
        await until(lambda: desk.ended == 1)
    assert home.condition("InstantUpdates") == {}
    assert home.condition("Ready")["status"] == "True"


@pytest.mark.parametrize("how", ["suspended", "deleted"])
async def test_what_rests_or_is_gone_follows_nothing(home: House, how: str) -> None:
    home.static(syncConfig=INSTANT)
    desk = EventDesk()
    async with listening(home, desk):
        await home.pass_over()
        await told(home)
        if how == "suspended":
            home.static(syncConfig=INSTANT, suspend=True)
        else:
            home.static(syncConfig=INSTANT, metadata={"deletionTimestamp": "2026-01-01T12:00:00Z"})
        await home.pass_over()
        await until(lambda: desk.ended == 1)


async def test_an_object_that_fails_says_how_it_stands_with_its_stream_too(home: House) -> None:
    home.static(syncConfig=INSTANT)
    home.fails(500, "internal error")
    async with listening(home, UNSUPPORTED):
        with pytest.raises(TransientError):
            await home.pass_over()
        await told(home)
        await home.clock.advance(10)
        with pytest.raises(TransientError):
            await home.pass_over()
    assert home.condition("InstantUpdates")["reason"] == "EventsUnsupported"
    assert home.condition("Healthy")["reason"] == "VaultUnavailable"
    assert await home.told() == [Reason.VAULT_UNAVAILABLE, Reason.EVENT_WATCHER_ERROR]


async def test_where_the_way_to_vault_is_barred_nothing_is_said_of_a_stream(home: House) -> None:
    home.static(syncConfig=INSTANT)
    desk = EventDesk()
    async with listening(home, desk):
        await home.pass_over()
        await told(home)
        await home.pass_over()
        home.static(syncConfig=INSTANT, vaultAuthRef="nobody")
        with pytest.raises((ConfigError, TransientError)):
            await home.pass_over()
        await until(lambda: desk.ended == 1)
    assert home.condition("InstantUpdates") == {}


async def test_after_a_restart_a_stream_that_is_open_again_writes_nothing(home: House) -> None:
    home.static(syncConfig=INSTANT)
    async with listening(home, EventDesk()):
        await home.pass_over()
        await told(home)
        await home.pass_over()
    before = home.writes()
    home.streams.unfollow(key("db"))
    home.restarted()
    async with listening(home, EventDesk()):
        await home.pass_over()
        await told(home)
        await home.pass_over()
    assert home.writes() == before
