"""What the passes over all kinds have in common: a name, a look at the object, and an end that is told.

Invariant: whatever a pass raises stands in the object's status before the queue hears of it, even
where the object itself cannot be read; every line that is logged during a pass, by whatever part,
carries the pass's id, the kind and the object, and the next pass of the same worker takes their place.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar, cast

from structlog.contextvars import bind_contextvars

from vso.api.meta import Resource, Status
from vso.api.scheme import parse_as, parse_status
from vso.controllers.cache import ObjectCache
from vso.controllers.finalizers import Finalizers
from vso.controllers.looks import Look
from vso.controllers.memory import Memories, moved_on
from vso.controllers.report import Reporter, Telling
from vso.core.clock import Clock
from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.core.keys import Kind, ObjectKey
from vso.core.records import Record
from vso.runtime.reconcile import Reconciler, Result

_ID_BITS = 48

R = TypeVar("R", bound=Resource)
Q = TypeVar("Q", bound=Resource)
S = TypeVar("S", bound=Status)


class NamedPasses:
    """A reconciler whose passes have names."""

    def __init__(self, kind: Kind, reconciler: Reconciler[ObjectKey], rng: random.Random) -> None:
        self._kind = kind
        self._reconciler = reconciler
        self._rng = rng

    async def reconcile(self, key: ObjectKey) -> Result:
        """Run one pass under a new id."""
        # Never unbound: what the worker says of the pass after its end belongs to it too.
        name = f"{self._rng.getrandbits(_ID_BITS):0{_ID_BITS // 4}x}"
        bind_contextvars(**{"pass": name, "kind": self._kind.value, "object": str(key)})
        return await self._reconciler.reconcile(key)


@dataclass(frozen=True)
class PassParts(Generic[S]):
    """The collaborators that a pass over any kind needs."""

    cache: ObjectCache
    memories: Memories[S]
    reporter: Reporter[S]
    clock: Clock
    finalizers: Finalizers | None = None
    """None where the reference's finalizer stays."""


class ObjectReconciler(ABC, Generic[R, S]):
    """Looks at an object, hands it to the kind's own pass, and tells how that ended."""

    def __init__(self, parts: PassParts[S]) -> None:
        self._parts = parts

    @property
    @abstractmethod
    def model(self) -> type[R]:
        """The model of the kind; asked for at the first pass, since importing some is dear."""

    @abstractmethod
    async def look_over(self, look: Look[R, S]) -> Result | VsoError:
        """Do what the object asks for, one on its way out included.

        An error that is raised is told in the status; one that is returned is only the queue's.
        """

    def telling(self, look: Look[Resource, S], error: VsoError) -> Telling[S]:
        """Return what to say of a failure; of an object that cannot be understood `look.cr` has metadata alone."""
        del look, error
        return Telling()

    def rest(self, key: ObjectKey) -> None:
        """The object asks for nothing until its next pass: it cannot be understood."""

    def gone(self, uid: str) -> None:
        """The object with that uid exists no more."""

    async def abandon(self, look: Look[Resource, S]) -> None:
        """The object goes, and cannot be understood: let go of it."""

    def forget(self, key: ObjectKey) -> None:
        """Drop everything that is kept about an object."""
        self.rest(key)
        notes = self._parts.memories.find(key)
        if notes is not None:
            self.gone(notes.uid)
        self._parts.memories.forget(key)
        self._parts.reporter.forget(key)

    async def reconcile(self, key: ObjectKey) -> Result:
        """Look at one object; the raised error, if any, is already in its status."""
        record = self._parts.cache.get(key)
        if record is None:
            self.forget(key)
            return Result()
        self._parts.memories.of(record).passing = True
        try:
            return await self._pass(record)
        finally:
            self._parts.memories.passed(key, self._parts.cache.get(key))

    async def _pass(self, record: Record) -> Result:
        read = self._parse(record)
        if not isinstance(read, ConfigError):
            look = self._look(record, read, read.status)
            return await self._told(look, partial(self.look_over, look))
        bare = self._look(record, parse_as(Resource, record.body), parse_status(self.model, record.body))
        return await self._told(bare, partial(self._refuse, bare, read))

    def _parse(self, record: Record) -> R | ConfigError:
        try:
            return parse_as(self.model, record.body)
        except ConfigError as refusal:
            return refusal

    def _look(self, record: Record, cr: Q, status: Status) -> Look[Q, S]:
        parts = self._parts
        notes = parts.memories.of(record)
        # The model's own status, which its type cannot tell.
        effective = parts.reporter.effective(record, cast("S", status), notes)
        return Look(record, cr, effective, notes, parts.clock.now(), parts.clock.monotonic())

    async def _refuse(self, look: Look[Resource, S], refusal: ConfigError) -> Result:
        self.rest(look.key)
        if look.record.deleting:
            await self.abandon(look)
            return Result()
        raise refusal

    async def _told(self, look: Look[Resource, S], work: Callable[[], Awaitable[Result | VsoError]]) -> Result:
        try:
            if self._parts.finalizers is not None:
                version = await self._parts.finalizers.release(look.record, look.cr.metadata.finalizers)
                moved_on(look.notes, look.status, version)
            ended = await work()
        except VsoError as error:
            raise await self._tell(look, error) from None
        except Exception as bug:  # told like any other failure, then raised for the controller to report
            await self._tell(look, TransientError(Reason.INTERNAL_ERROR, f"the pass ended in a {type(bug).__name__}"))
            raise
        if isinstance(ended, VsoError):
            raise ended
        return ended

    async def _tell(self, look: Look[Resource, S], error: VsoError) -> VsoError:
        # What the pass itself has written meanwhile is not to be taken back.
        look = replace(look, status=self._parts.reporter.effective(look.record, look.status, look.notes))
        return await self._parts.reporter.failed(look, error, self.telling(look, error))
