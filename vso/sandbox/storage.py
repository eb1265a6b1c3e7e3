"""Objects, one global version counter and a bounded history per resource for the watches.

Invariant: every change takes the next version, and a change is in history and in every open feed
before the call returns; nothing here awaits. Stored objects are never changed in place.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple

from vso.sandbox.objects import JsonObject, meta

FEED_LIMIT = 10_000


class Ref(NamedTuple):
    """Where an object is: qualified resource name, namespace, name."""

    resource: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Change:
    """One step of history; `previous` tells a selector whether the object was in view before."""

    version: int
    type: str
    object: JsonObject
    previous: JsonObject | None


class ExpiredVersionError(Exception):
    """History no longer reaches back to the version asked for."""


class Feed:
    """The changes of one resource for one watcher; a watcher that lags too far is cut off."""

    def __init__(self, feeds: set[Feed], backlog: list[Change]) -> None:
        self._feeds = feeds
        self._queue: asyncio.Queue[Change] = asyncio.Queue()
        self.cut = False
        for change in backlog:
            self._queue.put_nowait(change)

    def __enter__(self) -> Feed:
        self._feeds.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._feeds.discard(self)

    def push(self, change: Change) -> None:
        """Hand a change to the watcher."""
        if self._queue.qsize() >= FEED_LIMIT:
            self.cut = True
        else:
            self._queue.put_nowait(change)

    async def next(self) -> Change:
        """Return the next change."""
        return await self._queue.get()


class Storage:
    """What etcd and the watch cache are to a real API server."""

    def __init__(self, window: int = 1000) -> None:
        self._window = window
        self._objects: dict[str, dict[tuple[str, str], JsonObject]] = defaultdict(dict)
        self._history: dict[str, deque[Change]] = defaultdict(deque)
        self._floors: dict[str, int] = defaultdict(int)
        self._feeds: dict[str, set[Feed]] = defaultdict(set)
        self._uids: dict[str, Ref] = {}
        self._dependents: dict[str, set[Ref]] = defaultdict(set)
        self.version = 1

    def get(self, ref: Ref) -> JsonObject | None:
        """Return the object there, or None."""
        return self._objects[ref.resource].get((ref.namespace, ref.name))

    def objects(self, resource: str, namespace: str = "") -> list[JsonObject]:
        """Return a resource's objects in order of namespace and name."""
        found = self._objects[resource]
        return [found[key] for key in sorted(found) if not namespace or key[0] == namespace]

    def refs(self, namespace: str) -> list[Ref]:
        """Return where everything of a namespace is."""
        every = ((resource, key) for resource, found in self._objects.items() for key in found)
        return [Ref(resource, *key) for resource, key in every if key[0] == namespace]

    def put(self, ref: Ref, obj: JsonObject) -> JsonObject:
        """Store a new state under the next version and return it."""
        previous = self.get(ref)
        stored = self._stamp(obj)
        self._objects[ref.resource][ref.namespace, ref.name] = stored
        self._index(ref, previous, stored)
        self._record(ref.resource, "MODIFIED" if previous else "ADDED", stored, previous)
        return stored

    def remove(self, ref: Ref) -> JsonObject:
        """Take the object away and return its last state."""
        previous = self._objects[ref.resource].pop((ref.namespace, ref.name))
        self._index(ref, previous, None)
        last = self._stamp(previous)
        self._record(ref.resource, "DELETED", last, previous)
        return last

    def by_uid(self, uid: str) -> Ref | None:
        """Return where the object of that uid is."""
        return self._uids.get(uid)

    def dependents(self, uid: str) -> tuple[Ref, ...]:
        """Return the objects that name that uid as an owner."""
        return tuple(sorted(self._dependents.get(uid, ())))

    def feed(self, resource: str, since: int) -> Feed:
        """Return the changes after a version; enter it before the next await."""
        if since < self._floors[resource]:
            raise ExpiredVersionError(f"too old resource version: {since} ({self._floors[resource]})")
        return Feed(self._feeds[resource], [c for c in self._history[resource] if c.version > since])

    def covers(self, resource: str, version: int) -> bool:
        """Tell whether history reaches back to that version."""
        return version >= self._floors[resource]

    def compact(self) -> int:
        """Forget all history, so that every older version is expired; return the present one."""
        self.version += 1
        for resource in self._objects:
            self._history[resource].clear()
            self._floors[resource] = self.version
        return self.version

    def _stamp(self, obj: JsonObject) -> JsonObject:
        self.version += 1
        return obj | {"metadata": meta(obj) | {"resourceVersion": str(self.version)}}

    def _record(self, resource: str, kind: str, obj: JsonObject, previous: JsonObject | None) -> None:
        change = Change(self.version, kind, obj, previous)
        history = self._history[resource]
        history.append(change)
        if len(history) > self._window:
            self._floors[resource] = history.popleft().version
        for feed in self._feeds[resource]:
            feed.push(change)

    def _index(self, ref: Ref, previous: JsonObject | None, now: JsonObject | None) -> None:
        for uid in owner_uids(previous):
            self._dependents[uid].discard(ref)
        for uid in owner_uids(now):
            self._dependents[uid].add(ref)
        if previous is not None:
            self._uids.pop(meta(previous)["uid"], None)
        if now is not None:
            self._uids[meta(now)["uid"]] = ref


def owner_uids(obj: JsonObject | None) -> list[str]:
    """Return the uids of an object's owners."""
    owners = meta(obj).get("ownerReferences") if obj else None
    return [str(owner.get("uid")) for owner in owners or ()]
