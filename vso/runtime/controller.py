"""Workers, and the one table from a pass's outcome to what the queue does next.

Invariant: whatever a pass raises, its key is let go of and its worker lives on; only cancellation
ends a worker, and it is never caught.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar, assert_never

from vso.core.clock import Clock
from vso.core.errors import ConfigError, TerminalError, TransientError
from vso.runtime.deadline import within
from vso.runtime.reconcile import Reconciler, Result
from vso.runtime.workqueue import Lane, QueueClosed, WorkQueue

K = TypeVar("K", bound=Hashable)


class Outcome(StrEnum):
    """How a pass can end."""

    OK = "ok"
    TRANSIENT = "transient"
    CONFIG = "config"
    TERMINAL = "terminal"
    TIMEOUT = "timeout"
    BUG = "bug"


@dataclass(frozen=True, slots=True)
class ControllerConfig:
    """How many passes at once, how long one may take, and how slowly a ConfigError is looked at again."""

    workers: int = 32
    pass_timeout: float = 60.0
    config_recheck: float = 300.0
    recheck_spread: float = 0.1

    def __post_init__(self) -> None:
        if self.workers < 1 or self.pass_timeout <= 0 or self.config_recheck <= 0:
            raise ValueError("a controller needs a worker, a pass timeout and a re-check period")


class ControllerObserver(Protocol):
    """Who wants to know how the passes go."""

    def passed(self, controller: str, key: Hashable, outcome: str, seconds: float) -> None:
        """A pass has ended; the outcome is a member of `Outcome`."""
        ...

    def failed(self, controller: str, key: Hashable, outcome: str, error: Exception, again_in: float | None) -> None:
        """A pass has failed; told after `passed`, still in the pass's task.

        `again_in` seconds the queue hands the key out again, if nothing else wakes it; None for never.
        """
        ...


class Controller(Generic[K]):
    """Runs passes of one reconciler over the keys of one queue."""

    def __init__(
        self,
        name: str,
        queue: WorkQueue[K],
        reconciler: Reconciler[K],
        clock: Clock,
        config: ControllerConfig,
        observer: ControllerObserver,
    ) -> None:
        self.name = name
        self._queue = queue
        self._reconciler = reconciler
        self._clock = clock
        self._config = config
        self._observer = observer

    async def run(self) -> None:
        """Work until `shut_down`, and return when the passes in hand have ended."""
        async with asyncio.TaskGroup() as workers:
            for number in range(self._config.workers):
                workers.create_task(self._work(), name=f"{self.name}-{number}")

    def shut_down(self) -> None:
        """Take no more keys; the passes in hand are finished."""
        self._queue.shut_down()

    async def _work(self) -> None:
        with contextlib.suppress(QueueClosed):
            while True:
                await self._pass(await self._queue.get())

    async def _pass(self, key: K) -> None:
        began = self._clock.monotonic()
        try:
            ended = await self._attempt(key)
            outcome = self._settle(key, ended)
            self._observer.passed(self.name, key, outcome, self._clock.monotonic() - began)
            if isinstance(ended, Exception):
                self._observer.failed(self.name, key, outcome, ended, self._queue.due_in(key))
        finally:
            self._queue.done(key)

    async def _attempt(self, key: K) -> Result | Exception:
        try:
            return await within(self._clock, self._config.pass_timeout, self._reconciler.reconcile(key))
        except Exception as error:  # noqa: BLE001  a bug in one pass must not end the worker; _pass reports it
            return error

    def _settle(self, key: K, ended: Result | Exception) -> Outcome:
        match ended:
            case Result():
                self._queue.forget(key)
                if ended.requeue_after is not None:
                    lane = Lane.URGENT if ended.urgent else Lane.REFRESH
                    self._queue.add_after(key, ended.requeue_after, lane)
                return Outcome.OK
            case TransientError():
                self._queue.add_rate_limited(key, at_least=ended.retry_after or 0.0)
                return Outcome.TRANSIENT
            case ConfigError():
                # The missing Vault policy may appear without any event of Kubernetes.
                self._queue.forget(key)
                self._queue.add_after(key, self._config.config_recheck, spread=self._config.recheck_spread)
                return Outcome.CONFIG
            case TerminalError():
                self._queue.forget(key)
                return Outcome.TERMINAL
            case TimeoutError():
                self._queue.add_rate_limited(key)
                return Outcome.TIMEOUT
            case Exception():
                self._queue.add_rate_limited(key)
                return Outcome.BUG
            case _:
                assert_never(ended)
