"""Restarts of the workloads that use a Secret, once per change of its data.

Invariant: a restart is owed exactly while the status says so, see `debts`; a crash between Secret and restart
leaves the debt there, and the next pass pays it. Paying is repeatable: the patch says the same when it is sent
again, so that a target which has it already does not roll a second time.

Several objects may share a workload. Then the first that owes it a restart opens a batch, those that follow within
a moment join it, and one patch pays for all; each settles its own status. Nobody is held up by that: whoever is told
to wait comes back when the batch is due, the first to come then pays, and the others are woken to hear how it ended.
What a batch could not pay stays together, and the next of its members that tries again pays for all of them. A
workload of one object is restarted at once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final, TypeAlias

from vso.api.shared import RolloutTarget
from vso.core.errors import VsoError
from vso.core.keys import Kind, ObjectKey
from vso.decide.names import object_name
from vso.kube.client import KubeClient
from vso.kube.workloads import Workload, restart

Owner: TypeAlias = tuple[Kind, ObjectKey]
_UNTIL_WOKEN: Final = 60.0
"""Seconds after which to ask again while somebody else pays, who wakes us at the end."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """What became of each target."""

    done: tuple[str, ...]
    failed: tuple[tuple[str, VsoError], ...]
    for_data: bool = True
    """New data was the reason, or one of two; otherwise it was only asked for."""
    wait: float | None = None
    """Some targets wait for the company of others: seconds after which to ask again; None when none does."""

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

    kind: Kind
    key: ObjectKey
    marks: Mapping[str, str]
    """The annotations by which a workload tells later what it was restarted for."""
    rotated: datetime | None
    """When the data changed that they are to get; None where the restart was only asked for."""

    @property
    def owner(self) -> Owner:
        """Who owes it."""
        return self.kind, self.key


def owner_name(kind: Kind, key: ObjectKey) -> str:
    """Return what tells an object from the others that restart the same workload."""
    return f"{kind.value}/{key.name}"


class _Stage(Enum):
    COLLECTING = 1
    PAYING = 2
    PAID = 3


@dataclass(slots=True)
class _Batch:
    """What is owed to one shared workload."""

    due: float
    """On the monotonic clock; infinity for what failed, until somebody tries again."""
    members: dict[Owner, Owed] = field(default_factory=dict)
    stage: _Stage = _Stage.COLLECTING
    error: VsoError | None = None

    @property
    def marks(self) -> dict[str, str]:
        return {name: mark for owed in self.members.values() for name, mark in owed.marks.items()}

    @property
    def rotated(self) -> datetime | None:
        return max((owed.rotated for owed in self.members.values() if owed.rotated is not None), default=None)


@dataclass(frozen=True, slots=True)
class _Wait:
    """The target waits so many seconds for the company of others."""

    seconds: float


def _never_shared(workload: Workload) -> bool:
    del workload
    return False


def _wake_nobody(kind: Kind, key: ObjectKey) -> None:
    del kind, key


class Restarts:
    """Patches the pod templates of rollout targets; one for all kinds, so that they meet at a workload."""

    def __init__(
        self,
        client: KubeClient,
        *,
        window: float = 0.0,
        is_shared: Callable[[Workload], bool] = _never_shared,
        wake: Callable[[Kind, ObjectKey], None] = _wake_nobody,
    ) -> None:
        """Give the others `window` seconds where a workload is shared; `wake` those that somebody has paid for."""
        self._client = client
        self._window = window
        self._is_shared = is_shared
        self._wake = wake
        self._collecting: dict[Workload, _Batch] = {}
        self._joined: dict[Owner, dict[Workload, _Batch]] = {}
        """The batches of each object whose end it has not heard yet."""

    async def restart(
        self, owed: Owed, targets: Iterable[RolloutTarget], *, already: Collection[str] = ()
    ) -> Restarted:
        """Restart every target but those `already` done, each on its own: one that fails stops no other."""
        named = {Workload(owed.key.namespace, target.kind, target.name): i for i, target in enumerate(targets)}
        self._drop(owed.owner, but=named)
        async with asyncio.TaskGroup() as group:
            paying = {
                workload: group.create_task(self._paid(owed, index, workload, already))
                for workload, index in named.items()
            }
        outcomes = [(str(workload), task.result()) for workload, task in paying.items()]
        return Restarted(
            tuple(label for label, ended in outcomes if ended is None),
            tuple((label, ended) for label, ended in outcomes if isinstance(ended, VsoError)),
            for_data=owed.rotated is not None,
            wait=min((ended.seconds for _, ended in outcomes if isinstance(ended, _Wait)), default=None),
        )

    def leave(self, kind: Kind, key: ObjectKey) -> None:
        """The object restarts nothing any more: it rests, or is gone."""
        self._drop((kind, key))

    def clear(self) -> None:
        """Forget who waits for whom, as a restart does: each still owes what its status says."""
        self._collecting.clear()
        self._joined.clear()

    def _drop(self, owner: Owner, but: Collection[Workload] = ()) -> None:
        joined = self._joined.get(owner, {})
        for workload in [workload for workload in joined if workload not in but]:
            joined.pop(workload).members.pop(owner, None)
        if not joined:
            self._joined.pop(owner, None)
        for workload, batch in list(self._collecting.items()):
            if workload not in but:
                batch.members.pop(owner, None)
            if not batch.members:
                del self._collecting[workload]

    async def _paid(
        self, owed: Owed, index: int, workload: Workload, already: Collection[str]
    ) -> VsoError | _Wait | None:
        if str(workload) in already:
            return None
        try:
            object_name(workload.name, f"spec.rolloutRestartTargets[{index}].name")
            if self._is_shared(workload) or self._has_company(owed.owner, workload):
                return await self._together(owed, workload)
            await restart(self._client, workload, owed.marks, owed.rotated)
        except VsoError as error:
            return error
        return None

    def _has_company(self, owner: Owner, workload: Workload) -> bool:
        """Tell whether a batch has the object still, whoever shares the workload now."""
        collecting = self._collecting.get(workload)
        return workload in self._joined.get(owner, {}) or (collecting is not None and owner in collecting.members)

    async def _together(self, owed: Owed, workload: Workload) -> VsoError | _Wait | None:
        batch = self._join(owed, workload)
        now = self._client.clock.monotonic()
        if batch.stage is _Stage.COLLECTING:
            if now < batch.due:
                return _Wait(batch.due - now)
            await self._pay(owed.owner, workload, batch)
        if batch.stage is _Stage.PAYING:
            return _Wait(_UNTIL_WOKEN)
        self._heard(owed.owner, workload)
        return batch.error

    def _join(self, owed: Owed, workload: Workload) -> _Batch:
        """Return the batch that pays, or has paid, exactly that for the workload."""
        owner = owed.owner
        batch = self._joined.get(owner, {}).get(workload)
        if batch is not None and batch.stage is not _Stage.COLLECTING and batch.members[owner].marks == owed.marks:
            return batch
        due = self._client.clock.monotonic()
        batch = self._collecting.setdefault(workload, _Batch(math.inf))
        # What failed before has waited long enough: it would take back the queue's patience by waiting again.
        tries_again = owner in batch.members and workload not in self._joined.get(owner, {})
        batch.due = min(batch.due, due if tries_again else due + self._window)
        batch.members[owner] = owed
        self._joined.setdefault(owner, {})[workload] = batch
        return batch

    async def _pay(self, payer: Owner, workload: Workload, batch: _Batch) -> None:
        """Restart it for all that have come; they hear how it ended, however that is."""
        batch.stage, tried, paid = _Stage.PAYING, False, False
        del self._collecting[workload]
        try:
            await restart(self._client, workload, batch.marks, batch.rotated, shared=True)
            tried = paid = True
        except VsoError as error:
            batch.error, tried = error, True
        finally:
            batch.stage = _Stage.PAID
            if not paid:
                self._keep_together(workload, batch, told=tried)
            for kind, key in batch.members:
                if (kind, key) != payer:
                    self._wake(kind, key)

    def _keep_together(self, workload: Workload, unpaid: _Batch, *, told: bool) -> None:
        """Keep what could not be paid for whoever tries again; where it was broken off there is nothing to hear."""
        if unpaid.members:
            batch = self._collecting.setdefault(workload, _Batch(math.inf))
            batch.members = {**unpaid.members, **batch.members}
        for owner in () if told else unpaid.members:
            self._heard(owner, workload)

    def _heard(self, owner: Owner, workload: Workload) -> None:
        joined = self._joined.get(owner, {})
        joined.pop(workload, None)
        if not joined:
            self._joined.pop(owner, None)
