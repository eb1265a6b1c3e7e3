"""One pod on the stand-in kubelet's node: its process, its probes, its end.

Invariant: `step` is called from one thread alone, again and again, and never waits longer than a probe's timeout.
A container that is asked to end has its grace; nothing of it is left when the pod is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx

from tests.testbed.pods import Container, Probe, State
from tests.testbed.process import Process

Json = dict[str, Any]
_BACKOFF = (1.0, 2.0, 4.0)


@dataclass
class _Watch:
    """When a probe is due, and how often it has failed in a row."""

    due: float
    failed: int = 0


class RunningPod:
    """The container of a pod as a process."""

    def __init__(self, pod: Json, container: Container, process: Process, address: str) -> None:
        self.container = container
        self.address = address
        self.process = process
        self.state = State()
        self._policy = pod["spec"].get("restartPolicy", "Always")
        self._watches: dict[str, _Watch] = {}
        self._again_at = 0.0
        self._kill_at: float | None = None

    def step(self) -> None:
        """Look at the process and move on."""
        if self.state.phase in {"Succeeded", "Failed"}:
            return
        if not self.process.running:
            self._rest()
        elif self._kill_at is not None and time.monotonic() >= self._kill_at:
            self.process.kill()
        elif self._kill_at is None:
            self._probe()

    def end(self, grace: float) -> bool:
        """Ask the container to end, once; tell whether it has."""
        if self.process.running and self._kill_at is None:
            self._kill_at = time.monotonic() + grace
            self.process.terminate()
        if self._kill_at is not None:
            self.step()
        return not self.process.running

    def _rest(self) -> None:
        """There is no process: the first is started, an ended one is told, another follows if it should."""
        if self.state.started_at and self.state.exit_code is None and not self.state.waiting:
            self._ended(self.process.exit_code or 0)
        elif self._kill_at is None and time.monotonic() >= self._again_at:
            self._start()

    def _start(self) -> None:
        now = time.monotonic()
        self.process.start()
        probes = {
            "startup": self.container.startup,
            "liveness": self.container.liveness,
            "readiness": self.container.readiness,
        }
        self._watches = {name: _Watch(now + probe.delay) for name, probe in probes.items() if probe}
        began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        started = self.container.startup is None
        self.state = State("Running", ready=False, started=started, restarts=self.state.restarts, started_at=began)

    def _ended(self, code: int) -> None:
        again = self._kill_at is None and (self._policy == "Always" or (self._policy == "OnFailure" and code != 0))
        if again:
            self._again_at = time.monotonic() + _BACKOFF[min(self.state.restarts, len(_BACKOFF) - 1)]
            restarts = self.state.restarts + 1
            self.state = replace(self.state, ready=False, started=False, restarts=restarts, waiting="CrashLoopBackOff")
            return
        phase = "Succeeded" if code == 0 else "Failed"
        self.state = replace(self.state, phase=phase, ready=False, started=False, exit_code=code)

    def _probe(self) -> None:
        if self.container.startup and not self.state.started:
            self._look("startup", self.container.startup, on_success=self._has_started, on_failure=self._restart)
            return
        if self.container.liveness:
            self._look("liveness", self.container.liveness, on_success=lambda: None, on_failure=self._restart)
        if self.container.readiness:
            self._look("readiness", self.container.readiness, on_success=self._is_ready, on_failure=self._is_unready)
        else:
            self._is_ready()

    def _look(self, name: str, probe: Probe, *, on_success: Callable[[], None], on_failure: Callable[[], None]) -> None:
        watch = self._watches[name]
        if time.monotonic() < watch.due:
            return
        good = self._answers(probe)
        watch.due = time.monotonic() + probe.period
        watch.failed = 0 if good else watch.failed + 1
        if good:
            on_success()
        elif watch.failed >= probe.failures:
            on_failure()

    def _answers(self, probe: Probe) -> bool:
        url = f"http://{self.address}:{probe.port}{probe.path}"
        try:
            return httpx.get(url, timeout=probe.timeout, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def _has_started(self) -> None:
        self.state = replace(self.state, started=True)

    def _is_ready(self) -> None:
        self.state = replace(self.state, ready=True)

    def _is_unready(self) -> None:
        self.state = replace(self.state, ready=False)

    def _restart(self) -> None:
        self.process.stop(grace=2)
