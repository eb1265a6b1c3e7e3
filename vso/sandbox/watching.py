"""Lists in pages, and watches as streams of JSON lines.

Invariant: what a watch says is what a list at the same version would show; a bookmark is only sent
when every change up to its version has been.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import orjson

from vso.core.clock import Clock
from vso.sandbox.objects import JsonObject, meta
from vso.sandbox.requests import Form
from vso.sandbox.resources import Resource
from vso.sandbox.selectors import Predicate, SelectorError, both
from vso.sandbox.status import ApiError, bad_request, gone
from vso.sandbox.storage import Change, ExpiredVersionError, Feed, Storage
from vso.sandbox.tables import partial, table

BOOKMARK_SECONDS = 60.0
DEFAULT_WATCH_SECONDS = 2400.0
_YES = ("true", "1")


@dataclass(frozen=True, slots=True)
class View:
    """What a reader sees of a resource, and in what form."""

    resource: Resource
    namespace: str
    matches: Predicate
    form: Form
    whole_rows: bool = False

    def sees(self, obj: JsonObject | None) -> bool:
        """Tell whether the object is in view."""
        if obj is None or (self.namespace and meta(obj).get("namespace") != self.namespace):
            return False
        return self.matches(obj)

    def show(self, obj: JsonObject, clock: Clock) -> JsonObject:
        """Return one object in the asked form."""
        if self.form == "table":
            return table(self.resource, [obj], clock.now(), whole=self.whole_rows)
        return partial(obj) if self.form == "partial" else obj


def view(resource: Resource, namespace: str, query: Mapping[str, str], form: Form) -> View:
    """Return what the query asks to see."""
    try:
        matches = both(query.get("labelSelector", ""), query.get("fieldSelector", ""))
    except SelectorError as error:
        raise bad_request(str(error)) from None
    scope = namespace if resource.namespaced else ""
    return View(resource, scope, matches, form, query.get("includeObject") == "Object")


class Reader:
    """Reads the storage for lists and watches."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    def page(self, seen: View, query: Mapping[str, str]) -> JsonObject:
        """Return one page, or everything."""
        resource = seen.resource
        version, after = self._continued(resource, query.get("continue", ""))
        objects = self._storage.objects(resource.qualified, seen.namespace)
        found = [obj for obj in objects if seen.sees(obj) and _place(obj) > after]
        limit = _number(query.get("limit", "")) or len(found)
        page, rest = found[:limit], found[limit:]
        about: JsonObject = {"resourceVersion": str(version)}
        if rest:
            token = orjson.dumps({"rv": version, "start": _place(page[-1])})
            about |= {"continue": base64.urlsafe_b64encode(token).decode(), "remainingItemCount": len(rest)}
        if seen.form == "table":
            return table(resource, page, self._clock.now(), whole=seen.whole_rows) | {"metadata": about}
        if seen.form == "partial":
            frame = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
            return frame | {"metadata": about, "items": [partial(obj) for obj in page]}
        frame = {"kind": f"{resource.kind}List", "apiVersion": resource.api_version}
        return frame | {"metadata": about, "items": page}

    async def watch(self, seen: View, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Yield the lines of a watch until its time is over."""
        since = _number(query.get("resourceVersion", ""))
        initial = query.get("sendInitialEvents") in _YES
        try:
            at = since if since and not initial else self._storage.version
            feed = self._storage.feed(seen.resource.qualified, at)
        except ExpiredVersionError as error:
            yield _line("ERROR", gone(str(error)).body())
            return
        end = asyncio.get_running_loop().time() + (_number(query.get("timeoutSeconds", "")) or DEFAULT_WATCH_SECONDS)
        with feed:
            if not since or initial:
                for obj in self._storage.objects(seen.resource.qualified, seen.namespace):
                    if seen.sees(obj):
                        yield _line("ADDED", seen.show(obj, self._clock))
            if initial:
                yield self._bookmark(seen, at, annotations={"k8s.io/initial-events-end": "true"})
            async for line in self._follow(seen, feed, end, bookmarks=query.get("allowWatchBookmarks") in _YES):
                yield line

    async def _follow(self, seen: View, feed: Feed, end: float, *, bookmarks: bool) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        mark = loop.time() + BOOKMARK_SECONDS
        while not feed.cut and loop.time() < end:
            try:
                async with asyncio.timeout_at(min(end, mark)):
                    change = await feed.next()
            except TimeoutError:
                mark = loop.time() + BOOKMARK_SECONDS
                if bookmarks:
                    yield self._bookmark(seen, self._storage.version)  # nothing is queued: all of it was sent
                continue
            if (kind := _seen_as(seen, change)) is not None:
                yield _line(kind, seen.show(change.object, self._clock))

    def _bookmark(self, seen: View, version: int, **more: object) -> bytes:
        about = {"resourceVersion": str(version), "creationTimestamp": None} | more
        resource = seen.resource
        obj = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": about}
        return _line("BOOKMARK", seen.show(obj, self._clock))

    def _continued(self, resource: Resource, token: str) -> tuple[int, tuple[str, str]]:
        if not token:
            return self._storage.version, ("", "")
        try:
            found = orjson.loads(base64.urlsafe_b64decode(token))
            version, (namespace, name) = int(found["rv"]), found["start"]
        except (binascii.Error, ValueError, KeyError, TypeError):
            raise bad_request("continue key is not valid") from None
        if not self._storage.covers(resource.qualified, version):
            raise gone("The provided continue parameter is too old to display a consistent list result.")
        return version, (namespace, name)


def _place(obj: JsonObject) -> tuple[str, str]:
    return meta(obj).get("namespace", ""), meta(obj)["name"]


def _number(text: str) -> int:
    if text and not text.isdigit():
        raise ApiError(400, "BadRequest", f"not a number: {text!r}")
    return int(text or 0)


def _seen_as(seen: View, change: Change) -> str | None:
    """Name the change as this reader must hear it; None when it is none of its business."""
    before = seen.sees(change.previous)
    now = change.type != "DELETED" and seen.sees(change.object)
    if now:
        return "MODIFIED" if before else "ADDED"
    return "DELETED" if before else None


def _line(kind: str, obj: JsonObject) -> bytes:
    return orjson.dumps({"type": kind, "object": obj}) + b"\n"
