"""One Vault client per VaultConnection and client certificate, replaced when its configuration changes.

Invariant: at most one live client for each; a replaced one probes no more, serves the
requests it has in hand and is then closed. Those that show a consumer's certificate share the limits and the
breaker of the connection's own, and are replaced with it. Every probe loop belongs to the pool's task group.
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
    probing: asyncio.Task[None] | None = None
    """None for one that shows a consumer's certificate: the connection's own asks for it."""


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
        place = (config.uid, "")
        slot = self._slots.get(place)
        if slot is not None and slot.config == config:
            return slot.client
        made = self._make(config)
        made.on_state(lambda is_open: self._on_breaker(config.name, is_open))
        made.on_trial(lambda: self._on_trial(config.name))
        self._slots[place] = _Slot(config, made, self._spawn(made.run(), f"vault-client-{config.name}"))
        if slot is not None:
            self._replaced(slot, made)
            for other in self._variants(config.uid):
                shown = other.config.tls
                self._vary(made, config.showing(other.config.variant, shown.client_cert_pem, shown.client_key))
        return made

    def showing(self, config: ConnectionConfig) -> VaultClient:
        """Return the client that shows a consumer's certificate, beside that of the connection, which is there."""
        slot = self._slots.get((config.uid, config.variant))
        if slot is not None and slot.config == config:
            return slot.client
        return self._vary(self._slots[config.uid, ""].client, config)

    def variants(self, uid: str) -> tuple[str, ...]:
        """Return whose certificates are shown on a connection."""
        return tuple(slot.config.variant for slot in self._variants(uid))

    def drop_idle(self, uid: str, in_use: Callable[[ConnectionConfig], bool]) -> tuple[str, ...]:
        """Close the clients of a connection that show a certificate for nobody any more; return whose it was."""
        idle = [slot.config.variant for slot in self._variants(uid) if not in_use(slot.config)]
        for variant in idle:
            self._spawn(self._retire(self._slots.pop((uid, variant))), "vault-client-retire")
        return tuple(idle)

    def _variants(self, uid: str) -> list[_Slot]:
        return [slot for (owner, variant), slot in self._slots.items() if owner == uid and variant]

    def _vary(self, own: VaultClient, config: ConnectionConfig) -> VaultClient:
        place = (config.uid, config.variant)
        slot, made = self._slots.get(place), own.showing(config)
        self._slots[place] = _Slot(config, made)
        if slot is not None:
            self._replaced(slot, made)
        return made

    def _replaced(self, slot: _Slot, made: VaultClient) -> None:
        self._spawn(self._retire(slot), "vault-client-retire")
        self._on_replaced(made)

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
        if slot.probing is not None:
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
