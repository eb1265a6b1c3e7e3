"""A reflector cancelled in its list, its watch or its rest leaves no stream open and can go on."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.cancellation.sweep import cancel_after
from tests.fakes.clock import FakeClock, settle
from tests.fakes.runtime import HANG, Script, ScriptedListWatch, Thing, other_tasks, unavailable
from vso.runtime.events import Applied, Page
from vso.runtime.informer import Informer

ONE: Script = Page((Thing("a"),), "1")
TWO: Script = Page((Thing("b"),), "2")


def informer(clock: FakeClock, source: ScriptedListWatch) -> Informer[str, Thing]:
    return Informer("things", source, clock, random.Random(1))


@pytest.mark.parametrize(
    ("lists", "watches"),
    [
        pytest.param([[HANG]], [], id="list-hangs"),
        pytest.param([[ONE, HANG]], [], id="second-page-hangs"),
        pytest.param([[ONE, TWO]], [[HANG]], id="watch-hangs"),
        pytest.param([[ONE, TWO]], [[Applied(Thing("a", "3")), HANG]], id="watch-hangs-after-an-event"),
        pytest.param([[unavailable()]], [], id="rests-after-a-failure"),
        pytest.param([[ONE]], [[unavailable()]], id="rests-after-a-dropped-stream"),
    ],
)
@pytest.mark.parametrize("turns", range(12))
async def test_cancelled_at_any_await_nothing_is_left(
    turns: int, lists: list[list[Script]], watches: list[list[Script]]
) -> None:
    clock = FakeClock()
    source = ScriptedListWatch([list(script) for script in lists], [list(script) for script in watches])
    feeding = await cancel_after(turns, informer(clock, source).run())
    await asyncio.wait((feeding,))
    await settle()
    assert feeding.cancelled()
    assert source.open_streams == 0
    assert clock.sleeping == 0
    assert not other_tasks()


@pytest.mark.parametrize("turns", range(12))
async def test_a_store_never_shows_half_a_list(turns: int) -> None:
    clock = FakeClock()
    things = informer(clock, ScriptedListWatch([[ONE, TWO]], []))
    feeding = await cancel_after(turns, things.run())
    await asyncio.wait((feeding,))
    assert len(things.store) in (0, 2)
    assert things.synced == (len(things.store) == 2)


async def test_run_again_goes_on_where_it_was_cancelled() -> None:
    clock = FakeClock()
    source = ScriptedListWatch([[ONE]], [[Applied(Thing("a", "7")), HANG], [HANG]])
    things = informer(clock, source)
    for _ in range(2):
        feeding = await cancel_after(20, things.run())
        await asyncio.wait((feeding,))
    assert source.calls == ["list", "watch 1", "watch 7"]


async def test_a_cancelled_wait_for_the_first_list_leaves_nothing() -> None:
    clock = FakeClock()
    waiting = await cancel_after(3, informer(clock, ScriptedListWatch()).wait_synced(10))
    await asyncio.wait((waiting,))
    assert clock.sleeping == 0
    assert not other_tasks()
