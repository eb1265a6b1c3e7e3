"""Calls of Vault in virtual time: of a client and of a session, and how they fail.

Invariant: time passes only while a call waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.vault_parts import LOGIN, Credentials, Observed, client_to
from tests.fakes.vault_server import Reply, VaultServer, errors
from vso.core.errors import VsoError
from vso.core.sensitive import Sensitive
from vso.runtime.workqueue import Lane
from vso.vault.client import VaultAnswer, VaultClient, VaultRequest
from vso.vault.session import Session
from vso.vault.sessions import Sessions

TOKEN = Sensitive.of("hvs.canary")
PATH = "kv/data/app"
READ = VaultRequest("GET", PATH, token=TOKEN)
GOOD = Reply(200, {"request_id": "r-1", "data": {"a": "b"}})
SEALED = errors(503, "Vault is sealed")


async def ticking(clock: FakeClock, work: asyncio.Task[VaultAnswer]) -> VaultAnswer:
    """Let virtual time pass until the work is done."""
    while not work.done():
        await settle(5)
        if clock.sleeping:
            await clock.advance(0.5)
    return await work


async def send(client: VaultClient, clock: FakeClock, request: VaultRequest = READ) -> VaultAnswer:
    return await ticking(clock, asyncio.create_task(client.send(request)))


async def failure(client: VaultClient, clock: FakeClock, request: VaultRequest = READ) -> VsoError:
    """How a request fails."""
    with pytest.raises(VsoError) as caught:
        await send(client, clock, request)
    return caught.value


@asynccontextmanager
async def session_on(
    server: VaultServer, clock: FakeClock, credentials: Credentials | None = None
) -> AsyncIterator[tuple[Session, Sessions]]:
    """A session that has not logged in yet, and those that it is one of."""
    async with client_to(server.url, clock) as client:
        sessions = Sessions(clock, credentials or Credentials(), Observed())
        yield sessions.session(client, LOGIN), sessions


async def refusal(session: Session, path: str = PATH, lane: Lane = Lane.URGENT) -> VsoError:
    """How a read fails."""
    with pytest.raises(VsoError) as caught:
        await session.read(path, lane=lane)
    return caught.value
