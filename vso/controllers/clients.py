"""One Vault client per VaultConnection and client certificate, replaced when its configuration changes.

Invariant: at most one live client for each; a replaced one probes no more, serves the
requests it has in hand and is then closed. Every client's probe loop belongs to the pool's task group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from vso.core.clock import Clock
from vso.vault.client import VaultClient
from vso.vault.config import ConnectionConfig

_GRACE = 60.0
"""Seconds that a replaced client goes on serving what it has in hand."""


@dataclass(frozen=True, slots=True)
class _Slot:
    config: ConnectionConfig
    client: VaultClient
    probing: asyncio.Task[None]


class ClientPool:
    """The live clients, by the uid of their VaultConnection and whose certificate they show."""

    def __init__(
        self,
        clock: Clock,
        make: Callable[[ConnectionConfig], VaultClient],
        on_breaker: Callable[[str, bool], None],
        on_replaced: Callable[[VaultClient], None] = lambda _: None,
        on_trial: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._make = make
        self._on_breaker = on_breaker
        self._on_replaced = on_replaced
        self._on_trial = on_trial
        self._slots: dict[tuple[str, str], _Slot] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def client(self, config: ConnectionConfig) -> VaultClient:
        """Return the client for this configuration, making it when it is new or has changed."""
        place = (config.uid, config.variant)
        slot = self._slots.get(place)
        if slot is not None and slot.config == config:
            return slot.client
        made = self._make(config)
        made.on_state(lambda is_open: self._on_breaker(config.name, is_open))
        made.on_trial(lambda: self._on_trial(config.name))
        self._slots[place] = _Slot(config, made, self._spawn(made.run(), f"vault-client-{config.name}"))
        if slot is not None:
            self._spawn(self._retire(slot), "vault-client-retire")
            self._on_replaced(made)
        return made

    def forget(self, uid: str) -> None:
        """The VaultConnection is gone: close its clients."""
        for place in [place for place in self._slots if place[0] == uid]:
            self._spawn(self._retire(self._slots.pop(place)), "vault-client-retire")

    async def run(self) -> None:
        """Own the clients' loops until cancelled, then close every client."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                await asyncio.Event().wait()
        finally:
            self._tasks = None
            for slot in self._slots.values():
                await slot.client.close()
            self._slots.clear()

    async def _retire(self, slot: _Slot) -> None:
        slot.probing.cancel()
        try:
            await self._clock.sleep(_GRACE)
        finally:
            await slot.client.close()

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        if self._tasks is None:
            work.close()
            raise RuntimeError("the client pool is not running")
        return self._tasks.create_task(work, name=name)
