"""The end of an object that holds leases: they are given back, and then it may go.

Invariant: an object in deletion is held up for half a minute at most, and not at all by a lease that the
policy forbids to revoke; a lease that was not given back is told and counted, and no namespace hangs for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from vso.api.meta import Resource
from vso.api.secrets import VaultDynamicSecretStatus
from vso.controllers import dynamic_status
from vso.controllers.destinations import DynamicLook
from vso.controllers.finalizers import Finalizers
from vso.controllers.leases import LeaseDesk
from vso.controllers.looks import Look
from vso.controllers.report import Reporter
from vso.core.clock import Clock
from vso.core.errors import TransientError, VsoError

PATIENCE = timedelta(seconds=30)
_LEAST = timedelta(seconds=3)
"""For an object whose deletion is found late: its leases are asked to be revoked all the same."""
_AGAIN = 3.0

_log = structlog.get_logger("vso.leases")


class Leaving:
    """Sees objects off."""

    def __init__(
        self,
        desk: LeaseDesk,
        finalizers: Finalizers,
        reporter: Reporter[VaultDynamicSecretStatus],
        clock: Clock,
        leaked: Callable[[int], None],
    ) -> None:
        self._reporter = reporter
        self._clock = clock
        self._desk = desk
        self._finalizers = finalizers
        self._leaked = leaked

    async def leave(self, look: DynamicLook) -> None:
        """Give the leases back and release the object; a TransientError asks for another try."""
        left, forbidden, error = await self._give_back(look)
        if error is not None and self.patience(look) > timedelta(0):
            raise TransientError(error.reason, error.message, _AGAIN)
        if (news := dynamic_status.left_to_end(forbidden)) is not None:
            self._reporter.tell(look, news)
        if (why := error or next(iter(forbidden), None)) is not None:
            self._tell(look, left + len(forbidden), why)
        await self.release(look)

    def patience(self, look: Look[Resource, VaultDynamicSecretStatus]) -> timedelta:
        """Return how much longer the object may be held up."""
        asked = look.cr.metadata.deletion_timestamp
        over = PATIENCE if asked is None else self._clock.now() - asked
        return PATIENCE - max(timedelta(0), min(PATIENCE, over))

    async def release(self, look: Look[Resource, VaultDynamicSecretStatus]) -> None:
        """Let the object go."""
        await self._finalizers.release(look.record, look.cr.metadata.finalizers)

    async def _give_back(self, look: DynamicLook) -> tuple[int, Sequence[VsoError], VsoError | None]:
        """Return how many leases are left, what is said of those that may not be revoked, what kept the first other."""
        ids = leases_of(look.status)
        if not look.cr.spec.revoke or not ids:
            return 0, (), None
        try:
            door = await self._desk.last_door(look.key, look.cr.spec)
        except VsoError as error:
            return len(ids), (), error
        given = await self._desk.revoke_all(door, ids, max(_LEAST, self.patience(look)).total_seconds())
        return len(ids) - len(given.settled), given.forbidden, given.error

    def _tell(self, look: DynamicLook, left: int, error: VsoError) -> None:
        self._leaked(left)
        _log.warning(
            "leases outlive their object",
            object=str(look.key),
            leases=left,
            reason=error.reason.value,
            error=error.message,
        )


def leases_of(status: VaultDynamicSecretStatus) -> tuple[str, ...]:
    """Return the ids of every lease that the status names."""
    named = [status.secret_lease.id, *(ref.id for ref in status.retired_leases)]
    if status.pending_lease is not None:
        named.append(status.pending_lease.id)
    return tuple(dict.fromkeys(lease_id for lease_id in named if lease_id))
