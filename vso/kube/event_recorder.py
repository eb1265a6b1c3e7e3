"""Events on our objects: aggregated, bounded, never in anybody's way.

Invariant: `record` neither waits nor fails; what does not fit is dropped and counted. The same
words about the same object within ten minutes are one Event whose count grows; while one is on its
way, further ones only add to it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from vso.core.clock import Clock
from vso.core.errors import VsoError
from vso.core.keys import API_VERSION, Kind, ObjectKey
from vso.kube.client import KubeClient, PatchType
from vso.kube.errors import ForbiddenError, NotFoundError
from vso.kube.json import JsonObject
from vso.kube.paths import event_path

_LONGEST_MESSAGE: Final = 1024
_LONGEST_NAME: Final = 253
_WINDOW: Final = 600.0
"""Seconds within which the same words are one Event."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an Event says of which object; equal ones are one Event."""

    kind: Kind
    key: ObjectKey
    uid: str
    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class EventStatistics:
    """What became of the Events so far."""

    waiting: int
    sent: int
    dropped: int
    failed: int


@dataclass(slots=True)
class _Sent:
    name: str
    first: datetime
    count: int
    until: float


def _nobody(error: VsoError) -> None:
    del error


class EventRecorder:
    """Sends Events from a bounded queue."""

    def __init__(
        self,
        client: KubeClient,
        clock: Clock,
        component: str,
        *,
        instance: str = "",
        limit: int = 1000,
        workers: int = 4,
        on_refusal: Callable[[VsoError], None] = _nobody,
    ) -> None:
        """Say once for each right that is missing somewhere that it is, to `on_refusal`."""
        self._client = client
        self._clock = clock
        self._component = component
        self._instance = instance or component
        self._limit = limit
        self._workers = workers
        self._waiting: OrderedDict[Told, int] = OrderedDict()
        self._sent: OrderedDict[Told, _Sent] = OrderedDict()
        self._in_hand: set[Told] = set()
        self._wakeup = asyncio.Event()
        self._on_refusal = on_refusal
        self._refused: set[str] = set()
        self._counts = {"sent": 0, "dropped": 0, "failed": 0}

    def record(self, kind: Kind, key: ObjectKey, uid: str, type_: str, reason: str, message: str) -> None:
        """Say it, or drop it when too much is waiting."""
        told = Told(kind, key, uid, type_, reason, _cut(message))
        if told in self._waiting:
            self._waiting[told] += 1
        elif len(self._waiting) >= self._limit:
            self._counts["dropped"] += 1
        else:
            self._waiting[told] = 1
            self._wakeup.set()

    def statistics(self) -> EventStatistics:
        """Return the counts so far."""
        return EventStatistics(len(self._waiting), **self._counts)

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._workers):
                tasks.create_task(self._work(), name=f"events-{number}")

    async def flush(self) -> None:
        """Send what is waiting now, and return."""
        while (taken := self._take_nowait()) is not None:
            await self._handle(*taken)

    async def _work(self) -> None:
        while True:
            taken = self._take_nowait()
            if taken is None:
                self._wakeup.clear()
                await self._wakeup.wait()
            else:
                await self._handle(*taken)

    async def _handle(self, told: Told, times: int) -> None:
        self._in_hand.add(told)
        try:
            await self._send(told, times)
            self._counts["sent"] += 1
        except VsoError as error:
            # An Event tells what the status and the log say too: it is not worth a retry.
            self._counts["failed"] += 1
            self._complain(error)
        finally:
            self._in_hand.discard(told)
            self._wakeup.set()

    def _complain(self, error: VsoError) -> None:
        """Name a right that is missing; a namespace that goes, or an API server that is away, is no news."""
        if not isinstance(error, ForbiddenError):
            return
        _, _, rule = error.message.partition(": ")  # where and which, whatever the Event's name
        if rule not in self._refused and len(self._refused) < self._limit:
            self._refused.add(rule)
            self._on_refusal(error)

    def _take_nowait(self) -> tuple[Told, int] | None:
        # Equal words stay in order: while one is being sent, its twin waits and only grows.
        told = next((told for told in self._waiting if told not in self._in_hand), None)
        return None if told is None else (told, self._waiting.pop(told))

    async def _send(self, told: Told, times: int) -> None:
        known = self._known_nowait(told)
        if known is not None:
            known.count += times
            body: JsonObject = {"count": known.count, "lastTimestamp": _stamp(self._clock.now())}
            try:
                path = event_path(told.key.namespace, known.name)
                await self._client.patch(path, body, content_type=PatchType.MERGE, metadata_only=True)
            except NotFoundError:
                self._sent.pop(told, None)
            else:
                return
        await self._create(told, times)

    async def _create(self, told: Told, times: int) -> None:
        now = self._clock.now()
        name = _event_name(told, now)
        body = self._manifest(told, name, _stamp(now), times)
        await self._client.create(event_path(told.key.namespace), body, metadata_only=True)
        self._sent[told] = _Sent(name, now, times, self._clock.monotonic() + _WINDOW)
        while len(self._sent) > self._limit:
            self._sent.popitem(last=False)

    def _known_nowait(self, told: Told) -> _Sent | None:
        known = self._sent.get(told)
        if known is not None and known.until <= self._clock.monotonic():
            del self._sent[told]
            return None
        return known

    def _manifest(self, told: Told, name: str, stamp: str, times: int) -> JsonObject:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": told.key.namespace},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": str(told.kind),
                "namespace": told.key.namespace,
                "name": told.key.name,
                "uid": told.uid,
            },
            "type": told.type,
            "reason": told.reason,
            "message": told.message,
            "count": times,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }


def _event_name(told: Told, now: datetime) -> str:
    text = f"{told.uid}\0{told.type}\0{told.reason}\0{told.message}\0{now.isoformat()}"
    suffix = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return f"{told.key.name[: _LONGEST_NAME - len(suffix) - 1].rstrip('.-')}.{suffix}"


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _cut(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[: _LONGEST_MESSAGE - 1]}…"
