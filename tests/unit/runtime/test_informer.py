"""The informer: a store in step, handlers that miss nothing, honest readiness."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.runtime import HANG, Observed, Script, ScriptedListWatch, Thing, unavailable
from vso.core.backoff import Backoff
from vso.core.errors import ExpiredError
from vso.runtime.events import Applied, Bookmark, Deleted, Page
from vso.runtime.informer import Informer

PLAIN = Backoff(initial=1.0, maximum=30.0, multiplier=2.0, randomization=0.0)
Change = tuple[Thing | None, Thing | None]


class Bench:
    def __init__(self, lists: list[list[Script]], watches: list[list[Script]]) -> None:
        self.clock = FakeClock()
        self.observed = Observed()
        self.informer: Informer[str, Thing] = Informer(
            "things",
            ScriptedListWatch(lists, watches),
            self.clock,
            random.Random(1),
            indexers={"colour": lambda thing: (thing.colour,)},
            backoff=PLAIN,
            observer=self.observed,
        )
        self.changes: list[Change] = []
        self.synced_when_told: list[bool] = []
        self.informer.add_handler(self.handle)

    def handle(self, old: Thing | None, new: Thing | None) -> None:
        self.changes.append((old, new))
        self.synced_when_told.append(self.informer.synced)

    async def run_for(self, seconds: float) -> None:
        running = asyncio.ensure_future(self.informer.run())
        await self.clock.advance(seconds)
        running.cancel()
        await asyncio.wait((running,))


async def test_handlers_see_adds_changes_and_deletions_after_the_store_has_them() -> None:
    bench = Bench([[Page((Thing("a"),), "1")]], [[Applied(Thing("a", "2")), Deleted(Thing("a", "3"))]])
    await bench.run_for(0)
    assert bench.changes == [(None, Thing("a")), (Thing("a"), Thing("a", "2")), (Thing("a", "2"), None)]
    assert len(bench.informer.store) == 0


async def test_410_in_the_stream_leads_to_one_relist_that_synthesises_deletes() -> None:
    before = Page((Thing("same"), Thing("gone"), Thing("old")), "1")
    after = Page((Thing("same"), Thing("old", "9"), Thing("new", "9")), "9")
    bench = Bench([[before], [after]], [[ExpiredError()]])
    await bench.run_for(5)
    assert bench.changes[3:] == [
        (Thing("gone"), None),
        (Thing("old"), Thing("old", "9")),
        (None, Thing("new", "9")),
    ]
    assert bench.observed.relists == [("things", 3, 3), ("things", 3, 3)]


async def test_a_relist_that_finds_nothing_new_tells_nobody() -> None:
    page = Page((Thing("a"), Thing("b")), "1")
    bench = Bench([[page], [page]], [[ExpiredError()]])
    await bench.run_for(5)
    assert len(bench.changes) == 2
    assert bench.observed.relists[-1] == ("things", 2, 0)


async def test_a_deletion_of_a_stranger_tells_nobody() -> None:
    bench = Bench([[Page((), "1")]], [[Deleted(Thing("a", "2"))]])
    await bench.run_for(0)
    assert bench.changes == []


async def test_synced_turns_true_only_after_the_handlers_saw_the_first_list() -> None:
    bench = Bench([[Page((Thing("a"),), "1")]], [[Applied(Thing("b", "2"))]])
    await bench.run_for(0)
    assert bench.synced_when_told == [False, True]


async def test_wait_synced_returns_when_the_first_list_is_in() -> None:
    bench = Bench([[Page((), "1")]], [])
    waiting = asyncio.ensure_future(bench.informer.wait_synced(10))
    await settle()
    assert not waiting.done()
    await bench.run_for(0)
    await waiting


async def test_wait_synced_names_the_informer_and_its_last_error() -> None:
    bench = Bench([[unavailable()] for _ in range(9)], [])
    waiting = asyncio.ensure_future(bench.informer.wait_synced(10))
    await bench.run_for(10)
    with pytest.raises(TimeoutError, match=r"things was not listed within 10 s: KubernetesUnavailable: down"):
        waiting.result()


async def test_the_last_error_is_shown_until_the_server_answers() -> None:
    bench = Bench([[unavailable()], [Page((), "1")]], [[HANG]])
    await bench.run_for(0.5)
    assert bench.informer.last_error is not None
    assert len(bench.observed.interruptions) == 1
    await bench.run_for(1)
    assert bench.informer.last_error is None


async def test_the_last_contact_moves_with_every_word_of_the_server() -> None:
    bench = Bench([[unavailable()], [Page((), "1")]], [[Bookmark("2"), unavailable()], [HANG]])
    await bench.run_for(0.5)
    assert bench.informer.last_contact() == 0
    await bench.run_for(1)
    contact = bench.informer.last_contact()
    assert contact > 0
    await bench.run_for(60)
    assert bench.informer.last_contact() == contact


async def test_indexes_follow_the_watch() -> None:
    bench = Bench([[Page((Thing("a"),), "1")]], [[Applied(Thing("a", "2", "blue"))]])
    await bench.run_for(0)
    assert bench.informer.store.by_index("colour", "blue") == {"a"}
    assert bench.informer.store.by_index("colour", "red") == frozenset()
