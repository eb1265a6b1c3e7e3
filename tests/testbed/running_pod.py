"""One pod on the stand-in kubelet's node: its containers, in the order that Kubernetes starts and ends them.

Init containers run one after the other to their end; one that restarts always is a sidecar, which the next waits for
only until it has started, and which ends after the others. Invariant: as `running_container.py` says, of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tests.testbed.pod_fields import NotThere
from tests.testbed.pod_status import PodState
from tests.testbed.pod_volumes import PodVolumes
from tests.testbed.pods import Plan
from tests.testbed.running_container import Make, RunningContainer


class RunningPod:
    """The containers of a pod as processes."""

    def __init__(self, plan: Plan, volumes: PodVolumes, make: Make, *, address: str, policy: str) -> None:
        # An init container that may restart is tried again until it has succeeded, and then done with.
        once = "Never" if policy == "Never" else "OnFailure"
        self._init = [RunningContainer(c, make, address, once) for c in plan.init]
        self._main = [RunningContainer(c, make, address, policy) for c in plan.containers]
        self._volumes = volumes
        self._address = address
        self._began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._begun = False
        self._over = ""

    @property
    def state(self) -> PodState:
        """What is to be told of it."""
        return PodState(
            phase=self._over or ("Running" if self._begun else "Pending"),
            init=[running.state for running in self._init],
            containers=[running.state for running in self._main],
            initialized=self._begun,
            address=self._address,
            started_at=self._began,
        )

    def refresh(self) -> None:
        """Bring the volumes up to date; before they are complete no container is started."""
        try:
            self._volumes.refresh()
        except NotThere:
            if not self._begun:
                raise

    def step(self) -> None:
        """Look at the processes and move on."""
        if self._over:
            return
        if not self._initialized():
            return
        self._begun = True
        for running in self._main:
            running.step()
        if all(running.finished for running in self._main):
            self._conclude(self._main)

    def end(self, grace: float) -> bool:
        """Ask the containers to end, once; tell whether they have. Sidecars go last."""
        return _ended(self._main, grace) and _ended(self._init, grace)

    def kill(self) -> None:
        """End everything at once."""
        for running in (*self._main, *self._init):
            running.kill()

    def stop(self, grace: float) -> None:
        """End everything in good order, and wait for that."""
        for running in (*self._main, *self._init):
            running.stop(grace)

    def _initialized(self) -> bool:
        """Move the init containers on; tell whether the others may run."""
        for running in self._init:
            running.step()
            if running.container.sidecar:
                if not (self._begun or running.state.started):
                    return False
            elif not running.finished:
                return False
            elif running.state.exit_code != 0:
                self._conclude([running])
                return False
        return True

    def _conclude(self, last: Sequence[RunningContainer]) -> None:
        if _ended(self._init, grace=2):
            self._over = "Failed" if any(running.state.exit_code for running in last) else "Succeeded"


def _ended(many: Sequence[RunningContainer], grace: float) -> bool:
    """Ask each to end; tell whether all have."""
    ended = [running.end(grace) for running in many]
    return all(ended)
