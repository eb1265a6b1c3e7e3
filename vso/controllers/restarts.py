"""Restarts of the workloads that use a Secret, once per change of its data.

Invariant: a restart is owed exactly while `status.rolledOutDigest` differs from the digest of the
data that was written; no recorded digest means adopt. A crash between Secret and restart leaves
the debt in the status, and the next pass pays it. Paying is repeatable: the time in the patch is that
of the rotation, so that a target which has it already does not roll again.

Several objects may share a workload. Then the first that owes it a restart waits for a moment, those that
follow join it, and one patch pays for all; each settles its own status. A workload of one object is
restarted at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from vso.api.shared import RolloutTarget
from vso.core.errors import Reason, TransientError, VsoError
from vso.core.keys import Kind, ObjectKey
from vso.decide.names import object_name
from vso.kube.client import KubeClient
from vso.kube.workloads import Workload, restart


@dataclass(frozen=True, slots=True)
class Restarted:
    """What became of each target."""

    done: tuple[str, ...]
    failed: tuple[tuple[str, VsoError], ...]
    for_data: bool = True
    """New data was the reason, or one of two; otherwise it was only asked for."""

    @property
    def problem(self) -> str:
        """Every failing target with its cause; empty when all were restarted."""
        told = (
            error.message if error.message.startswith(target) else f"{target}: {error.message}"
            for target, error in self.failed
        )
        return "; ".join(told)


@dataclass(frozen=True, slots=True)
class Owed:
    """What an object owes to its consumers."""

    key: ObjectKey
    marks: Mapping[str, str]
    """The annotations by which a workload tells later what it was restarted for."""
    rotated: datetime | None
    """When the data changed that they are to get; None where the restart was only asked for."""


def owner_name(kind: Kind, key: ObjectKey) -> str:
    """Return what tells an object from the others that restart the same workload."""
    return f"{kind.value}/{key.name}"


@dataclass(slots=True)
class _Batch:
    """What is owed to one shared workload, collected for a moment."""

    rotated: datetime | None = None
    marks: dict[str, str] = field(default_factory=dict)
    paid: asyncio.Event = field(default_factory=asyncio.Event)
    error: VsoError | None = None

    def join(self, owed: Owed) -> None:
        self.marks.update(owed.marks)
        self.rotated = max(filter(None, (self.rotated, owed.rotated)), default=None)


def _never_shared(workload: Workload) -> bool:
    del workload
    return False


class Restarts:
    """Patches the pod templates of rollout targets; one for all kinds, so that they meet at a workload."""

    def __init__(
        self, client: KubeClient, *, window: float = 0.0, is_shared: Callable[[Workload], bool] = _never_shared
    ) -> None:
        """Wait `window` seconds for the others where a workload is shared."""
        self._client = client
        self._window = window
        self._is_shared = is_shared
        self._open: dict[Workload, _Batch] = {}

    async def restart(
        self, owed: Owed, targets: Iterable[RolloutTarget], *, already: Collection[str] = ()
    ) -> Restarted:
        """Restart every target but those `already` done, each on its own: one that fails stops no other."""
        named = [Workload(owed.key.namespace, target.kind, target.name) for target in targets]
        async with asyncio.TaskGroup() as group:  # all at once: each may have to wait for its own company
            paying = [
                group.create_task(self._paid(owed, index, workload, already)) for index, workload in enumerate(named)
            ]
        outcomes = [(str(workload), task.result()) for workload, task in zip(named, paying, strict=True)]
        done = tuple(label for label, error in outcomes if error is None)
        failed = tuple((label, error) for label, error in outcomes if error is not None)
        return Restarted(done, failed, for_data=owed.rotated is not None)

    async def _paid(self, owed: Owed, index: int, workload: Workload, already: Collection[str]) -> VsoError | None:
        if str(workload) in already:
            return None
        try:
            object_name(workload.name, f"spec.rolloutRestartTargets[{index}].name")
            if self._is_shared(workload):
                await self._together(owed, workload)
            else:
                await restart(self._client, workload, owed.marks, owed.rotated)
        except VsoError as error:
            return error
        return None

    async def _together(self, owed: Owed, workload: Workload) -> None:
        batch = self._open.get(workload)
        if batch is not None:
            batch.join(owed)
            await batch.paid.wait()
        else:
            batch = self._open[workload] = _Batch()
            batch.join(owed)
            await self._collect(workload, batch)
        if batch.error is not None:
            raise batch.error

    async def _collect(self, workload: Workload, batch: _Batch) -> None:
        """Wait for others, then pay for all that have come; they hear how it ended, however that is."""
        batch.error = TransientError(Reason.ROLLOUT_RESTART_FAILED, f"the restart of {workload} was broken off")
        try:
            await self._client.clock.sleep(self._window)
            del self._open[workload]
            await restart(self._client, workload, batch.marks, batch.rotated, shared=True)
            batch.error = None
        except VsoError as error:
            batch.error = error
        finally:
            if self._open.get(workload) is batch:
                del self._open[workload]
            batch.paid.set()
