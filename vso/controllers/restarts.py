"""Restarts of the workloads that use a Secret, once per change of its data.

Invariant: a restart is owed exactly while `status.rolledOutDigest` differs from the digest of the
data that was written; no recorded digest means adopt. A crash between Secret and restart leaves
the debt in the status, and the next pass pays it. Paying is repeatable: the time in the patch is that
of the rotation, so that a target which has it already does not roll again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from vso.api.shared import RolloutTarget
from vso.core.errors import VsoError
from vso.decide.names import object_name
from vso.kube.client import KubeClient
from vso.kube.workloads import restart


@dataclass(frozen=True, slots=True)
class Restarted:
    """What became of each target."""

    done: tuple[str, ...]
    failed: tuple[tuple[str, VsoError], ...]

    @property
    def problem(self) -> str:
        """Every failing target with its cause; empty when all were restarted."""
        told = (
            error.message if error.message.startswith(target) else f"{target}: {error.message}"
            for target, error in self.failed
        )
        return "; ".join(told)


class Restarts:
    """Patches the pod templates of rollout targets."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def restart(
        self,
        namespace: str,
        targets: Iterable[RolloutTarget],
        digest: str,
        rotated: datetime,
        *,
        already: Collection[str] = (),
    ) -> Restarted:
        """Restart every target but those `already` done, each on its own: one that fails stops no other."""
        done: list[str] = []
        failed: list[tuple[str, VsoError]] = []
        for index, target in enumerate(targets):
            label = f"{target.kind} {namespace}/{target.name}"
            if label in already:
                done.append(label)
                continue
            try:
                name = object_name(target.name, f"spec.rolloutRestartTargets[{index}].name")
                await restart(self._client, namespace, target.kind, name, digest, rotated)
                done.append(label)
            except VsoError as error:
                failed.append((label, error))
        return Restarted(tuple(done), tuple(failed))
