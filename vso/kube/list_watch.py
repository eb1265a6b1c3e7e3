"""Lists in pages and watches line by line, for the informers.

Invariant: a watch never lists; a list is decoded page by page, each about a megabyte, and the loop
gets its turn in between. Records are small: managedFields and kubectl's copy of the object are
dropped, and for Secrets nothing is kept, or even asked for, but metadata.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Final, Generic, TypeVar
from zlib import crc32

from vso.core.errors import ExpiredError, Reason, TransientError
from vso.core.keys import GROUP, ObjectKey
from vso.core.label_selector import Selector
from vso.core.packing import pack
from vso.core.records import Record
from vso.decide.references import global_references
from vso.kube.client import METADATA_ONLY, METADATA_ONLY_LIST, KubeClient
from vso.kube.errors import Asked, error_for
from vso.kube.json import JsonObject, child, decode_object, encode
from vso.kube.labels import OWNER_UID_LABEL
from vso.kube.paths import target_of
from vso.runtime.events import Applied, Bookmark, Deleted, Page, WatchEvent

R = TypeVar("R")

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_PAGE_BYTES: Final = 1_000_000
_SMALLEST_PAGE: Final = 50
_PER_TURN: Final = 100
_NO_REFERENCE: Final = "/"
"""For one that cannot be understood: it leads nowhere, and a pass over the object says so."""


class ResourceListWatch(Generic[R]):
    """One resource in one namespace or in the whole cluster, as lists and watches of records."""

    def __init__(
        self,
        client: KubeClient,
        path: str,
        decode: Callable[[JsonObject], R],
        *,
        label_selector: str = "",
        metadata_only: bool = False,
        page_size: int = 500,
        idle_timeout: float = 150.0,
    ) -> None:
        self._client = client
        self._path = path
        self._decode = decode
        self._selector = {"labelSelector": label_selector} if label_selector else {}
        self._metadata_only = metadata_only
        self._page_size = page_size
        # Bookmarks come about once a minute, so that longer silence means a dead connection.
        self._idle_timeout = idle_timeout
        # Each resource ends its watches at another moment, without any randomness.
        self._watch_seconds = 270 + crc32(f"{path}?{label_selector}".encode()) % 40

    async def list(self) -> AsyncGenerator[Page[R], None]:
        """Yield every page; the last one's resource_version is where to watch from."""
        accept = METADATA_ONLY_LIST if self._metadata_only else "application/json"
        limit, following = self._page_size, ""
        while True:
            params = {"limit": str(limit), **self._selector}
            if following:
                params["continue"] = following
            body = await self._client.get_bytes(self._path, params=params, accept=accept)
            page = self._parsed(body)
            meta = child(page, "metadata")
            items = page.get("items") or []
            records: list[R] = []
            for part in _parts(items, _PER_TURN):
                records.extend(map(self._decode, part))
                await self._client.clock.sleep(0)
            yield Page(tuple(records), str(meta.get("resourceVersion", "")))
            following = str(meta.get("continue") or "")
            if not following:
                return
            limit = fitting_limit(limit, len(items), len(body))

    async def watch(self, resource_version: str) -> AsyncGenerator[WatchEvent[R], None]:
        """Yield what happens after that version until the server closes the stream."""
        params = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(self._watch_seconds),
            **self._selector,
        }
        accept = METADATA_ONLY if self._metadata_only else "application/json"
        lines = self._client.stream(self._path, params, accept=accept, idle_timeout=self._idle_timeout)
        async with aclosing(lines) as stream:
            async for line in stream:
                yield self.event(line)

    def event(self, line: bytes) -> WatchEvent[R]:
        """Return the event that a line of a watch tells."""
        told = self._parsed(line)
        changed = child(told, "object")
        match told.get("type"):
            case "ADDED" | "MODIFIED":
                return Applied(self._decode(changed))
            case "DELETED":
                return Deleted(self._decode(changed))
            case "BOOKMARK":
                return Bookmark(str(child(changed, "metadata").get("resourceVersion", "")))
            case "ERROR":
                raise _stream_error(changed, self._path)
            case other:
                raise self._broken(f"an event of type {other!r}")

    def _parsed(self, body: bytes) -> JsonObject:
        try:
            return decode_object(body)
        except ValueError as error:
            raise self._broken(str(error)) from None

    def _broken(self, what: str) -> TransientError:
        return TransientError(Reason.KUBERNETES_UNAVAILABLE, f"list or watch of {target_of(self._path)}: {what}")


def fitting_limit(limit: int, items: int, size: int) -> int:
    """Return the page size that makes the next page about a megabyte, never more than before."""
    if items == 0 or size <= _PAGE_BYTES:
        return limit
    return min(limit, max(_SMALLEST_PAGE, items * _PAGE_BYTES // size))


def decode_record(value: JsonObject, mine: Selector | None = None) -> Record:
    """Return the record of one of our own objects; one whose labels `mine` refuses is another operator's."""
    meta = child(value, "metadata")
    annotations = {key: text for key, text in child(meta, "annotations").items() if key != LAST_APPLIED}
    kept = {key: part for key, part in meta.items() if key not in {"managedFields", "annotations"}}
    if annotations:
        kept["annotations"] = annotations
    look = look_of(child(meta, "labels"), annotations)
    return _record(
        meta,
        look,
        spec=child(value, "spec"),
        said=_hash(value.get("status")),
        foreign=mine is not None and not mine(child(meta, "labels")),
        body=encode({**value, "metadata": kept}),
    )


def decode_secret_metadata(value: JsonObject) -> Record:
    """Return the record of a Secret of which only the metadata is known; its body is empty."""
    meta = child(value, "metadata")
    labels = child(meta, "labels")
    owners = [
        str(ref.get("uid", ""))
        for ref in meta.get("ownerReferences") or []
        if str(ref.get("apiVersion", "")).startswith(f"{GROUP}/")
    ]
    owner = owners[0] if owners else str(labels.get(OWNER_UID_LABEL, ""))
    return _record(meta, look_of(labels, child(meta, "annotations")), owner_uid=owner)


def finalizers_of(record: Record) -> tuple[str, ...]:
    """Return the finalizers of an object of ours, by its record."""
    return tuple(child(decode_object(record.body), "metadata").get("finalizers") or ())


def look_of(labels: JsonObject, annotations: JsonObject) -> int:
    """Return a stable 64-bit hash of labels and annotations."""
    return _hash([sorted(labels.items()), sorted(annotations.items())])


def _hash(value: object) -> int:
    return int.from_bytes(hashlib.blake2b(encode(value), digest_size=8).digest())


def _reference(spec: JsonObject) -> str:
    """Return what the object refers to, shared by all that refer to the same."""
    found = spec.get("vaultAuthRef") or spec.get("vaultConnectionRef") or ""
    return sys.intern(found) if isinstance(found, str) else _NO_REFERENCE


def _defaults(ref: JsonObject) -> tuple[str, ...]:
    """Return where the VaultAuthGlobal is looked for, shared by all that look there."""
    name, namespace = (str(ref.get(field) or "") for field in ("name", "namespace"))
    found = global_references(name, namespace, allow_default=ref.get("allowDefault") is True)
    return tuple(sys.intern(reference) for reference in found)


def _targets(spec: JsonObject) -> tuple[str, ...]:
    """Return the rollout targets that can be understood, shared by all that name the same."""
    found = spec.get("rolloutRestartTargets")
    named = [target for target in found if isinstance(target, dict)] if isinstance(found, list) else []
    return tuple(sys.intern(f"{target.get('kind')}/{target.get('name')}") for target in named)


def _record(
    meta: JsonObject,
    look: int,
    *,
    body: bytes = b"",
    owner_uid: str = "",
    spec: JsonObject | None = None,
    said: int = 0,
    foreign: bool = False,
) -> Record:
    return Record(
        key=ObjectKey(str(meta.get("namespace", "")), str(meta.get("name", ""))),
        uid=str(meta.get("uid", "")),
        resource_version=str(meta.get("resourceVersion", "")),
        generation=int(meta.get("generation") or 0),
        look=look,
        deleting="deletionTimestamp" in meta,
        packed=pack(body),
        owner_uid=owner_uid,
        reference=_reference(spec or {}),
        defaults=_defaults(child(spec or {}, "vaultAuthGlobalRef")),
        targets=_targets(spec or {}),
        said=said,
        foreign=foreign,
    )


def _stream_error(status: JsonObject, path: str) -> Exception:
    code = int(status.get("code") or 500)
    if code == 410 or status.get("reason") in {"Expired", "Gone"}:
        return ExpiredError()
    return error_for(code, status, Asked("watch", target_of(path)))


def _parts(items: list[JsonObject], size: int) -> Iterator[list[JsonObject]]:
    return (items[start : start + size] for start in range(0, len(items), size))
