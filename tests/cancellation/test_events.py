"""A stream of events that is cancelled at any await leaves no socket, no slot, no task and no user of the token."""

from __future__ import annotations

import asyncio
import random

from tests.cancellation.sweep import cancel_after
from tests.fakes.clock import FakeClock, settle
from tests.fakes.runtime import other_tasks
from tests.fakes.vault_events import SUBSCRIBE, EventDesk, written
from tests.fakes.vault_parts import LOGIN, Credentials, Observed, Tokens, client_to, until
from tests.fakes.vault_server import VaultServer
from vso.vault.events import Ears, EventStreams, Line
from vso.vault.sessions import Sessions

BEYOND = 30
"""Turns of the loop after the first message has been heard: past the server's closing."""


async def test_cancelled_at_any_await_nothing_is_left() -> None:
    clock, desk, left = FakeClock(), EventDesk(), BEYOND
    async with VaultServer() as vault, client_to(vault.url, clock) as client:
        Tokens(vault, clock)
        vault.on("GET", SUBSCRIBE, desk)
        for turns in range(2000):
            sessions = Sessions(clock, Credentials(), Observed())
            session = sessions.session(client, LOGIN)
            heard: list[str] = []
            ears: Ears[str, str] = Ears(heard.append, lambda _: None, lambda _: None, Observed())
            streams: EventStreams[str, str] = EventStreams(clock, random.Random(1), ears)
            streams.follow("x", Line.of(session, ""), {"app": "kv/data/app"})
            run = await cancel_after(turns, talked(streams, desk))
            await asyncio.wait((run,))
            await until(lambda: desk.open == 0)
            await settle()
            assert client.statistics().active == 0, turns
            assert streams.statistics().up == 0, turns
            assert session._latest is None or session._latest.users == 0, turns
            assert clock.sleeping == 0, turns
            assert not [task for task in other_tasks() if task.get_name() == "vault-events"], turns
            left -= bool(heard)
            if not left:
                break
    assert not left, "the sweep ends before anything is heard"


async def talked(streams: EventStreams[str, str], desk: EventDesk) -> None:
    """Run the streams; as soon as one is open, tell it of a change and hang up."""

    async def talk() -> None:
        await until(lambda: desk.open == 1)
        await desk.send(written("kv/data/app"))
        await desk.hang_up()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(talk())
        tasks.create_task(streams.run())
