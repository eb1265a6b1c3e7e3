"""The operator while it runs: its task tree, from the feeds outwards, and its orderly end.

Invariant: informers, clients and the event recorder outlive the controllers; the leader's Lease is
given back only after the work has returned. Whatever happens, nothing is left running.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc

import structlog

from vso.api.scheme import parse_status
from vso.api.secrets import VaultStaticSecret
from vso.app.health import Health
from vso.app.rbac import LEASE
from vso.app.wiring import Base, Parts, build
from vso.controllers.mac_key import load_mac_key
from vso.core.clock import Clock
from vso.core.errors import TransientError
from vso.core.keys import Kind
from vso.core.records import Record
from vso.core.sensitive import Sensitive
from vso.decide.conditions import READY, find_condition
from vso.kube.client import KubeClient
from vso.kube.leases import KubeLeaseLock
from vso.runtime.deadline import within
from vso.runtime.leader_election import ElectionConfig, LeaderElector
from vso.runtime.workqueue import Lane

_ONCE_PAUSE = 0.05
_KEY_RETRY = 2.0
_LAST_WORDS = 1.0
"""Seconds for the Events that wait when the process ends."""

_log = structlog.get_logger("vso.operator")


class Operator:
    """One process's worth of operator."""

    def __init__(self, base: Base, stop: asyncio.Event) -> None:
        self._base = base
        self._settings = base.settings
        self._clock = base.clock
        self._stop = stop
        self._parts: Parts = build(base)
        self.health = Health(base.clock, self._parts.feeds.all(), silence_limit=base.settings.watch_silence_limit)
        self._led_before = False
        self._election: asyncio.Task[None] | None = None

    async def run(self) -> bool:
        """Run until told to stop, or with `--once` until everything was looked at; True when all is in order."""
        parts = self._parts
        async with asyncio.TaskGroup() as feeding:
            supporting = [feeding.create_task(feed.run(), name=feed.name) for feed in parts.feeds.all()]
            supporting.append(feeding.create_task(parts.clients.run(), name="vault-clients"))
            supporting.append(feeding.create_task(parts.sessions.run(), name="vault-sessions"))
            supporting.append(feeding.create_task(parts.events.run(), name="events"))
            supporting.append(feeding.create_task(parts.reader.run(), name="sources"))
            supporting.append(feeding.create_task(self.health.run(), name="heartbeat"))
            if await self._synced():
                await self._lead()
            await parts.sessions.close()
            with contextlib.suppress(TimeoutError):
                await within(self._clock, _LAST_WORDS, parts.events.flush())
            for task in supporting:
                task.cancel()
        return self._all_ready()

    async def _synced(self) -> bool:
        """Wait for every first list; False when told to stop meanwhile."""
        async with asyncio.TaskGroup() as group:
            listing = group.create_task(self._listed(), name="first-lists")
            stopping = group.create_task(self._stop.wait(), name="stop")
            await asyncio.wait({listing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            synced = listing.done()
            listing.cancel()
            stopping.cancel()
        if synced:
            gc.collect()
            gc.freeze()
            _log.info("caches synced", objects=sum(len(feed.store) for feed in self._parts.feeds.all()))
        return synced

    async def _listed(self) -> None:
        """Wait for every first list; the culprit is named when it takes too long, and waited for still."""
        for feed in self._parts.feeds.all():
            while not feed.synced:
                try:
                    await feed.wait_synced(self._settings.cache_sync_timeout)
                except TimeoutError as error:
                    _log.warning("not synced yet", cause=str(error))

    async def _lead(self) -> None:
        if self._settings.once or not self._settings.leader_elect:
            self._base.metrics.leader(leading=True)  # nobody else is there to lead
            await self._work()
            return
        elector = self._elector()
        async with asyncio.TaskGroup() as group:
            self._election = group.create_task(elector.run(self._work), name="leader-election")
            await self._stop.wait()
            if not elector.is_leader:
                self._election.cancel()

    def _elector(self) -> LeaderElector:
        settings, base = self._settings, self._base
        config = ElectionConfig(
            lease_duration=settings.leader_elect_lease_duration,
            renew_deadline=settings.leader_elect_renew_deadline,
            retry_period=settings.leader_elect_retry_period,
        )
        return LeaderElector(
            KubeLeaseLock(base.kube, settings.namespace, LEASE),
            base.identity,
            self._clock,
            base.rng,
            config,
            on_change=self._leadership,
            on_error=lambda error: _log.warning("leader election", reason=error.reason.value, error=error.message),
        )

    def _leadership(self, leading: bool, holder: str) -> None:
        self._base.metrics.leader(leading=leading)
        _log.info("leadership", leading=leading, holder=holder)
        if not leading and self._stop.is_set() and self._election is not None:
            self._election.cancel()  # the lease went while the work was ending: nothing to stand by for

    async def _work(self) -> None:
        """Run the controllers until told to stop; what they hold may finish within the grace."""
        parts = self._parts
        if self._led_before:
            parts.sessions.share()
            self._look_at_everything()
        self._led_before = True
        try:
            await self._act()
        finally:
            for memories in parts.memories:
                memories.clear()  # notes are those of the leader: what the next one writes is not a stranger's

    async def _act(self) -> None:
        parts = self._parts
        await parts.shelf.load()
        async with asyncio.TaskGroup() as acting:
            following = [
                acting.create_task(parts.poller.run(), name="poller"),
                acting.create_task(parts.deadlines.run(), name="lease-deadlines"),
                acting.create_task(parts.shelf.run(), name="kept-tokens"),
            ]
            if not self._settings.once:
                following.append(acting.create_task(parts.streams.run(), name="vault-events"))
            tasks = [acting.create_task(controller.run(), name=controller.name) for controller in parts.controllers]
            await self._until_done()
            for task in following:
                task.cancel()
            for controller in parts.controllers:
                controller.shut_down()
            await asyncio.wait(tasks, timeout=self._settings.shutdown_grace)
            for task in tasks:
                task.cancel()

    async def _until_done(self) -> None:
        if not self._settings.once:
            await self._stop.wait()
            return
        while not self._stop.is_set() and not self._idle():
            await self._clock.sleep(_ONCE_PAUSE)

    def _idle(self) -> bool:
        snapshots = [queue.statistics() for queue in self._parts.queues.values()]
        return not any(s.ready_urgent + s.ready_refresh + s.set_aside + s.processing for s in snapshots)

    def _look_at_everything(self) -> None:
        """Another leader may have acted meanwhile: compare every object with its status again."""
        for kind, queue in self._parts.queues.items():
            for key in self._parts.caches[kind]:
                queue.add(key, Lane.REFRESH)

    def _all_ready(self) -> bool:
        feeds = self._parts.feeds.of(Kind.VAULT_STATIC_SECRET)
        return all(record.foreign or is_ready(record) for feed in feeds for record in feed.store.values())


def is_ready(record: Record) -> bool:
    """Tell whether a static secret is Ready; one that cannot be understood has a status all the same."""
    ready = find_condition(parse_status(VaultStaticSecret, record.body).conditions, READY)
    return ready is not None and ready.status == "True"


async def mac_key(kube: KubeClient, namespace: str, clock: Clock, stop: asyncio.Event) -> Sensitive | None:
    """Return the MAC key, waiting for an API server that is away; None when told to stop meanwhile."""
    while not stop.is_set():
        try:
            return await load_mac_key(kube, namespace)
        except TransientError as error:
            _log.warning("the MAC key cannot be read yet", reason=error.reason.value, error=error.message)
            await clock.wait(stop, error.retry_after or _KEY_RETRY)
    return None
