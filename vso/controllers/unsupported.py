"""Kinds that are accepted and not acted on say so, instead of keeping silent.

Invariant: one status write per generation, and nothing else.
"""

from __future__ import annotations

from vso.api.meta import Status
from vso.api.scheme import parse
from vso.controllers.cache import ObjectCache
from vso.controllers.looks import Look
from vso.controllers.memory import Memories
from vso.controllers.report import Reporter
from vso.core.clock import Clock
from vso.core.errors import Reason, TerminalError
from vso.core.keys import Kind, ObjectKey
from vso.runtime.reconcile import Result

NEVER = frozenset({Kind.HCP_AUTH, Kind.HCP_VAULT_SECRETS_APP, Kind.CSI_SECRETS})
"""End of life with the reference operator, or served by another program."""

NOT_YET = frozenset(
    {Kind.VAULT_AUTH_GLOBAL, Kind.VAULT_DYNAMIC_SECRET, Kind.VAULT_PKI_SECRET, Kind.SECRET_TRANSFORMATION}
)


class UnsupportedReconciler:
    """Reports one such kind as Stalled."""

    def __init__(
        self, kind: Kind, cache: ObjectCache, memories: Memories[Status], reporter: Reporter[Status], clock: Clock
    ) -> None:
        self._kind = kind
        self._cache = cache
        self._memories = memories
        self._reporter = reporter
        self._clock = clock

    async def reconcile(self, key: ObjectKey) -> Result:
        """Say that nothing will be done for the object."""
        record = self._cache.get(key)
        if record is None or record.deleting:
            self._memories.forget(key)
            self._reporter.forget(key)
            return Result()
        cr = parse(self._kind, record.body)
        notes = self._memories.of(record)
        look = Look(
            record,
            cr,
            self._reporter.effective(record, cr.status, notes),
            notes,
            self._clock.now(),
            self._clock.monotonic(),
        )
        raise await self._reporter.failed(look, self._verdict())

    def _verdict(self) -> TerminalError:
        if self._kind in NEVER:
            return TerminalError(Reason.UNSUPPORTED, f"{self._kind} is accepted so that it can be stored, not acted on")
        return TerminalError(Reason.NOT_IMPLEMENTED, f"{self._kind} is not acted on by this version of the operator")
