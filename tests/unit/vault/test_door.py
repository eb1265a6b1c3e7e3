"""Who asks for the health of a Vault that several clients lead to, each with a certificate of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.vault_parts import Observed, connection
from vso.core.errors import Reason
from vso.vault.door import Door
from vso.vault.errors import VaultDownError
from vso.vault.health import Health


@dataclass
class Client:
    """A client that Vault lets in or not."""

    answered: bool
    let_in: bool
    asked: int = 0

    async def health(self) -> Health:
        self.asked += 1
        if self.let_in:
            return Health(reachable=True, initialized=True)
        return Health(reachable=False, error=VaultDownError(Reason.VAULT_TLS_ERROR, "bad certificate"))


async def opened(clock: FakeClock, clients: Sequence[Client]) -> Door:
    door = Door(connection("http://127.0.0.1:1"), clock, Observed())
    for client in clients:
        door.join(client)
    for _ in range(3):
        with pytest.raises(VaultDownError), door.gate.enter():
            raise VaultDownError(Reason.VAULT_UNAVAILABLE, "away")
    assert door.gate.is_open
    return door


@pytest.mark.parametrize(
    "clients",
    [
        pytest.param([Client(False, False), Client(False, True)], id="one-that-is-new-and-the-connections-own"),
        pytest.param([Client(True, False), Client(False, True)], id="one-that-is-new-and-one-that-has-run-out"),
        pytest.param([Client(False, False), Client(True, False), Client(True, True)], id="one-of-two-that-were-let-in"),
        pytest.param([Client(True, False)] * 3 + [Client(False, False)] * 3 + [Client(False, True)], id="one-of-many"),
    ],
)
async def test_whoever_is_let_in_finds_that_vault_is_back(clock: FakeClock, clients: list[Client]) -> None:
    door = await opened(clock, clients)
    running = asyncio.create_task(door.run())
    for _ in range(120):
        await clock.advance(1.0)
        await settle()
        if clients[-1].asked:
            break
    assert clients[-1].asked == 1
    door.gate.check()  # a trial may pass
    running.cancel()
    await asyncio.wait((running,))


async def test_one_that_vault_has_answered_is_asked_first(clock: FakeClock) -> None:
    clients = [Client(False, False), Client(True, True)]
    door = await opened(clock, clients)
    running = asyncio.create_task(door.run())
    await clock.advance(1.0)
    await settle()
    assert [client.asked for client in clients] == [0, 1]
    running.cancel()
    await asyncio.wait((running,))
