"""Telling the outcome of a pass: status, event, log, freshness; the same way for every kind.

Invariant: every pass that changed its mind about an object says so in one status write, and a pass
that did not says nothing; an event on how an object stands goes out only with a status that was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

import structlog

from vso.api.meta import Condition, Resource, Status
from vso.controllers.looks import Look
from vso.controllers.memory import Memory
from vso.controllers.status import StatusWriter
from vso.core.errors import REMEDIES, ConfigError, Reason, TransientError, VsoError
from vso.core.keys import Kind, ObjectKey
from vso.core.records import Record
from vso.decide.assess import Assessment, News, assess
from vso.decide.conditions import READY, Finding, find_condition
from vso.decide.outcome import UNTOLD, Failing, InOrder, Outcome, Policy, Suspended
from vso.kube.errors import ConflictError
from vso.kube.event_recorder import EventRecorder
from vso.vault.errors import BreakerOpenError

S = TypeVar("S", bound=Status)

_log = structlog.get_logger("vso.reconcile")
_DOWN_RECHECK = 300.0
"""Seconds between looks while the breaker of a Vault is open: when it closes, everybody is woken."""
_WHO = "kubectl get -o yaml --show-managed-fields names the writer"


class FreshnessObserver(Protocol):
    """Who keeps a gauge per object."""

    def assessed(self, kind: Kind, key: ObjectKey, *, ready: bool, reason: str) -> None:
        """A pass has ended with that standing."""
        ...

    def gone(self, kind: Kind, key: ObjectKey) -> None:
        """The object does not exist any more."""
        ...


@dataclass(frozen=True)
class Voices:
    """Where the outcome is told."""

    events: EventRecorder
    freshness: FreshnessObserver


@dataclass(frozen=True)
class Telling(Generic[S]):
    """What a kind has to say about a failure, besides the failure."""

    stale_after: timedelta | None = None
    """The age from which on what is there no longer counts as Ready; None for the default."""
    change: Callable[[S], S] = lambda status: status
    """Adds what the kind's own status tells."""
    aside: News | None = None
    """A further event."""
    remaining: timedelta | None = None
    """How much longer what is there is good, where a lease or certificate says so."""
    also: tuple[Finding, ...] = ()
    """Conditions of the kind's own."""


class Reporter(Generic[S]):
    """Tells the outcomes of one kind."""

    def __init__(self, kind: Kind, writer: StatusWriter[S], voices: Voices, policy: Policy) -> None:
        self._kind = kind
        self._writer = writer
        self._voices = voices
        self._policy = policy

    def effective(self, record: Record, observed: S, notes: Memory[S]) -> S:
        """Return the newer of what the watch shows and what we wrote last."""
        return self._writer.effective(record, observed, notes)

    async def in_order(
        self,
        look: Look[Resource, S],
        change: Callable[[S], S],
        outcome: InOrder,
        news: News | None = None,
        aside: News | None = None,
    ) -> None:
        """Say that the object is in order; `change` adds what the kind's own status tells, `aside` is another event."""
        look.notes.failing_on = ""
        assessment = self._assess(look, outcome, self._policy)
        told = news or assessment.news
        if await self._say(look, change(assessment.on(look.status)), assessment.conditions, told, aside):
            words = {} if told is None else {"reason": told.reason.value, "message": told.message}
            _log.info("in order", kind=self._kind.value, object=str(look.key), **words)

    async def suspended(self, look: Look[Resource, S]) -> None:
        """Say that the object rests."""
        assessment = self._assess(look, Suspended(), self._policy)
        if await self._say(look, assessment.on(look.status), assessment.conditions, assessment.news):
            _log.info("suspended", kind=self._kind.value, object=str(look.key))

    async def failed(self, look: Look[Resource, S], error: VsoError, telling: Telling[S] | None = None) -> VsoError:
        """Say that the pass failed; return the error that tells the queue when to look again."""
        if isinstance(error, ConflictError):
            return error  # The object moved on under the pass: the next one decides on the new state.
        told = telling or Telling()
        policy = self._policy if told.stale_after is None else replace(self._policy, stale_after=told.stale_after)
        failing = replace(Failing.of(error, look.notes.failing_on), remaining=told.remaining, also=told.also)
        assessment = self._assess(look, failing, policy)
        status = told.change(assessment.on(look.status))
        try:
            await self._say(look, status, assessment.conditions, assessment.news, told.aside)
        except VsoError as untold:
            return untold
        return _queue_error(error, assessment)

    def overwritten(self, record: Record) -> None:
        """Say that somebody else writes the status."""
        key, reason = record.key, Reason.FOREIGN_WRITER
        _log.warning("status written by somebody else", kind=self._kind.value, object=str(key), reason=reason.value)
        text = f"somebody else writes the status of this object; {REMEDIES[reason]}; {_WHO}"
        self._voices.events.record(self._kind, key, record.uid, "Warning", reason, text)

    def as_it_stands(self, look: Look[Resource, S]) -> None:
        """A pass has found nothing to do: the object stands as its status says."""
        self._count(look.key, look.status.conditions)

    async def remark(self, look: Look[Resource, S], status: S, news: News | None) -> None:
        """Say something beside how the object stands, which is as its status says."""
        await self._say(look, status, status.conditions, news)

    def tell(self, look: Look[Resource, S], news: News) -> None:
        """Say in an event what no status tells."""
        self._voices.events.record(self._kind, look.key, look.record.uid, news.type, news.reason, news.message)

    def forget(self, key: ObjectKey) -> None:
        """The object is gone."""
        self._voices.freshness.gone(self._kind, key)

    def _assess(self, look: Look[Resource, S], outcome: Outcome, policy: Policy) -> Assessment:
        return assess(outcome, look.status, look.record.generation, look.now, policy)

    async def _say(
        self, look: Look[Resource, S], status: S, conditions: Iterable[Condition], *news: News | None
    ) -> bool:
        written = await self._writer.write(look.record, look.notes, look.status, status)
        self._count(look.key, conditions)
        for told in (told for told in news if written and told is not None):
            self.tell(look, told)
        return written

    def _count(self, key: ObjectKey, conditions: Iterable[Condition]) -> None:
        ready = find_condition(conditions, READY)
        self._voices.freshness.assessed(
            self._kind,
            key,
            ready=ready is not None and ready.status == "True",
            reason="" if ready is None else ready.reason,
        )


def _queue_error(error: VsoError, assessment: Assessment) -> VsoError:
    """Translate what the assessment knows about time into what the queue understands."""
    soon = assessment.requeue_after
    if isinstance(error, BreakerOpenError):
        wait = _DOWN_RECHECK if soon is None else min(soon, _DOWN_RECHECK)
        return TransientError(error.reason, error.message, wait)
    if isinstance(error, ConfigError) and (soon is not None or error.reason in UNTOLD):
        return TransientError(error.reason, error.message, soon)
    return error
