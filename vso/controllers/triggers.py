"""Who cares? From a change on a watch to the keys that must be looked at.

Invariant: synchronous and cheap, since it runs inside the watch; it names keys and never carries
news. A change of status alone wakes nobody: it is our own echo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from vso.controllers.memory import Memory, version_number
from vso.core.errors import ConfigError
from vso.core.keys import ObjectKey
from vso.core.records import Record
from vso.decide.references import parse_ref
from vso.runtime.workqueue import Lane, WorkQueue

BY_AUTH = "auth"
BY_CONNECTION = "connection"
BY_GLOBAL = "global"
BY_SPELLING = "spelling"
BY_UID = "uid"
BY_TARGET = "target"


def referred(record: Record, operator_namespace: str) -> ObjectKey | None:
    """Return the object that the record's object refers to; None where the reference cannot be understood."""
    return _understood(record.reference, record.key.namespace, operator_namespace)


def defaulted_by(record: Record, operator_namespace: str) -> tuple[ObjectKey, ...]:
    """Return the VaultAuthGlobals of which the first that is there supplies the VaultAuth's defaults."""
    namespace = record.key.namespace
    found = (_understood(reference, namespace, operator_namespace) for reference in record.defaults)
    return tuple(dict.fromkeys(key for key in found if key is not None))


def _understood(reference: str, namespace: str, operator_namespace: str) -> ObjectKey | None:
    try:
        return parse_ref(reference, namespace, operator_namespace)
    except ConfigError:
        return None


def reference_index(operator_namespace: str) -> Callable[[Record], Iterable[str]]:
    """Return an index function that files an object under what it refers to."""

    def index(record: Record) -> Iterable[str]:
        key = referred(record, operator_namespace)
        return () if key is None else (str(key),)

    return index


def global_index(operator_namespace: str) -> Callable[[Record], Iterable[str]]:
    """Return an index function that files a VaultAuth under every VaultAuthGlobal that it could mean."""

    def index(record: Record) -> Iterable[str]:
        return tuple(str(key) for key in defaulted_by(record, operator_namespace))

    return index


def spelling_index(record: Record) -> Iterable[str]:
    """File a VaultAuthGlobal under its reference as it is written: what it means depends on who takes it over."""
    return (record.reference,)


def uid_index(record: Record) -> Iterable[str]:
    """File an object under its own uid."""
    return (record.uid,)


def target_index(record: Record) -> Iterable[str]:
    """File a secret under the workloads that it restarts, see `target_key`."""
    return tuple(target_key(record.key.namespace, target) for target in record.targets)


def target_key(namespace: str, target: str) -> str:
    """Return what the index calls a workload, `target` being `<kind>/<name>`."""
    return f"{namespace}/{target}"


def concerns_us(old: Record | None, new: Record | None) -> bool:
    """Tell whether a change asks for a look: anything but an echo of the status."""
    if old is None or new is None or old.uid != new.uid:
        return True
    return (old.generation, old.look, old.deleting) != (new.generation, new.look, new.deleting)


@dataclass(frozen=True)
class SelfTrigger:
    """A change of an object wakes its own controller."""

    queue: WorkQueue[ObjectKey]
    synced: Callable[[], bool]
    """False during the first list: what is there already is looked at behind what is new."""

    def __call__(self, old: Record | None, new: Record | None) -> None:
        """Handle one change of the watch."""
        record = new or old
        if record is not None and concerns_us(old, new):
            self.queue.add(record.key, Lane.URGENT if self.synced() else Lane.REFRESH)


@dataclass(frozen=True)
class ReferrerTrigger:
    """A change of an object wakes those that refer to it."""

    queue: WorkQueue[ObjectKey]
    referrers: Callable[[str], Iterable[ObjectKey]]

    def __call__(self, old: Record | None, new: Record | None) -> None:
        """Handle one change of the watch."""
        record = new or old
        if record is None or not concerns_us(old, new):
            return
        for key in self.referrers(str(record.key)):
            self.queue.add(key, Lane.REFRESH)


@dataclass(frozen=True)
class ReferredTrigger:
    """An object that begins or ends to refer to others wakes those, to be counted."""

    queue: WorkQueue[ObjectKey]
    referred: Callable[[Record], Iterable[ObjectKey]]

    def __call__(self, old: Record | None, new: Record | None) -> None:
        """Handle one change of the watch."""
        if old is not None and new is not None and old.defaults == new.defaults:
            return
        for record in (old, new):
            for key in self.referred(record) if record is not None else ():
                self.queue.add(key, Lane.REFRESH)


@dataclass(frozen=True)
class DepartureTrigger:
    """An object that goes, or turns to another one, wakes the one that it referred to.

    After a while: a namespace goes as a whole, and its objects together are one departure.
    """

    queue: WorkQueue[ObjectKey]
    operator_namespace: str
    after: float

    def __call__(self, old: Record | None, new: Record | None) -> None:
        """Handle one change of the watch."""
        if old is None or (new is not None and new.reference == old.reference):
            return
        key = referred(old, self.operator_namespace)
        if key is not None:
            self.queue.add_after(key, self.after)


@dataclass(frozen=True)
class SecretTrigger:
    """A change of an owned Secret that is not our own echo wakes its owner."""

    queue: WorkQueue[ObjectKey]
    owner: Callable[[str], Iterable[ObjectKey]]
    """Finds the object with that uid."""
    notes: Callable[[ObjectKey], Memory[Any] | None]

    def __call__(self, old: Record | None, new: Record | None) -> None:
        """Handle one change of the watch; owners without notes have not been looked at yet and will be."""
        record = new or old
        if record is None:
            return
        for key in self.owner(record.owner_uid):
            notes = self.notes(key)
            # A label is quickly written: in another namespace it names nobody.
            if notes is None or key.namespace != record.key.namespace:
                continue
            if new is None:
                notes.deleted_uid = record.uid
            elif version_number(new.resource_version) <= notes.written_version:
                continue
            # While a write is on its way, this may be its echo: the pass looks again when it has the answer.
            if not notes.writing:
                self.queue.add(key, Lane.URGENT)
