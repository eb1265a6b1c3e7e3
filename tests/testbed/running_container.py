"""One container on the stand-in kubelet's node: its process, its probes, its end.

Invariant: `step` is called from one thread alone, again and again, and never waits longer than a probe's timeout.
A container that is asked to end has its grace; nothing of it is left when the pod is.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import httpx

from tests.testbed.pod_fields import NotThere
from tests.testbed.pod_status import State
from tests.testbed.pods import Container, Probe
from tests.testbed.process import Process

_BACKOFF = (1.0, 2.0, 4.0)
Make = Callable[[Container], Process]


@dataclass
class _Watch:
    """When a probe is due, and how often it has failed in a row."""

    due: float
    failed: int = 0


class RunningContainer:
    """A container as a process."""

    def __init__(self, container: Container, make: Make, address: str, policy: str) -> None:
        """Take what makes its process at each start, and whether it is started again: Always, OnFailure or Never."""
        self.container = container
        self.state = State(container.name, container.image, waiting="PodInitializing")
        self._make = make
        self._address = address
        self._policy = "Always" if container.sidecar else policy
        self._process: Process | None = None
        self._before_end: Process | None = None
        self._asked = False
        self._watches: dict[str, _Watch] = {}
        self._again_at = 0.0
        self._kill_at: float | None = None

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.running

    @property
    def finished(self) -> bool:
        """Whether it has ended and stays so."""
        return self.state.exit_code is not None

    def step(self) -> None:
        """Look at the process and move on."""
        if self.finished:
            return
        if self._process is None or not self._process.running:
            self._rest(self._process)
        elif self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._process.kill()
        elif self._kill_at is None:
            self._probe()

    def end(self, grace: float) -> bool:
        """Ask it to end, once; tell whether it has."""
        if self._kill_at is None:
            self._kill_at = time.monotonic() + grace
            if self.running and self.container.pre_stop:
                self._start_hook()
        if self._process is not None:
            if not self._asked and not self._hook_runs:
                self._asked = True
                self._process.terminate()
            self.step()
        if not self.running:
            self._kill_hook()
        return not self.running

    def _start_hook(self) -> None:
        with contextlib.suppress(NotThere):  # what its environment names went before: it ends without
            self._before_end = self._make(replace(self.container, command=self.container.pre_stop))
            self._before_end.start()

    @property
    def _hook_runs(self) -> bool:
        return self._before_end is not None and self._before_end.running

    def _kill_hook(self) -> None:
        if self._before_end is not None and self._before_end.running:
            self._before_end.kill()

    def kill(self) -> None:
        """End it at once."""
        self._kill_hook()
        if self._process is not None and self._process.running:
            self._process.kill()

    def stop(self, grace: float) -> None:
        """Ask it to end and wait for that."""
        self._kill_hook()
        if self._process is not None and self._process.running:
            self._process.stop(grace)

    def _rest(self, process: Process | None) -> None:
        """There is no process: the first is started, an ended one is told, another follows if it should."""
        if process is not None and self.state.running:
            self._ended(process.exit_code or 0)
        elif self._kill_at is None and time.monotonic() >= self._again_at:
            self._start()

    def _start(self) -> None:
        now = time.monotonic()
        try:
            self._process = self._make(self.container)
        except NotThere:
            self._again_at = now + _BACKOFF[0]
            self.state = replace(self.state, waiting="CreateContainerConfigError")
            return
        self._process.start()
        probes = {
            "startup": self.container.startup,
            "liveness": self.container.liveness,
            "readiness": self.container.readiness,
        }
        self._watches = {name: _Watch(now + probe.delay) for name, probe in probes.items() if probe}
        began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        started = self.container.startup is None
        self.state = replace(self.state, waiting="", ready=False, started=started, started_at=began)

    def _ended(self, code: int) -> None:
        again = self._kill_at is None and (self._policy == "Always" or (self._policy == "OnFailure" and code != 0))
        if again:
            self._again_at = time.monotonic() + _BACKOFF[min(self.state.restarts, len(_BACKOFF) - 1)]
            restarts = self.state.restarts + 1
            self.state = replace(self.state, ready=False, started=False, restarts=restarts, waiting="CrashLoopBackOff")
            return
        self.state = replace(self.state, ready=False, started=False, exit_code=code)

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
        url = f"http://{self._address}:{probe.port}{probe.path}"
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
        self.stop(grace=2)
