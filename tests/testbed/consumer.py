"""Applications that use a database credential from a Secret: one per pod, logging in all the time, counting refusals.

Invariant: an application sees of its Secret what a kubelet would show it. One that takes it into its environment
(`env`) reads it once, some seconds after its pod's start; one that mounts it (`mount`) sees each change some
seconds late. A database that is away is no refusal.
"""

from __future__ import annotations

import base64
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Self

import httpx
import psycopg

from tests.testbed.database import refused
from tests.testbed.kube_admin import Json, KubeAdmin, KubeError
from tests.testbed.postgres import Login, Postgres
from tests.testbed.rollouts import Workload

Mode = Literal["env", "mount"]
_LOOK = 0.1


class Seen(NamedTuple):
    """What the Secret held from a moment on."""

    since: float
    login: Login


def in_force(history: Sequence[Seen], moment: float) -> Login | None:
    """What the Secret held at a moment."""
    return next((seen.login for seen in reversed(history) if seen.since <= moment), None)


def visible(mode: Mode, history: Sequence[Seen], *, started: float, delay: float, now: float) -> Login | None:
    """The credential that an application uses now; None while it has none."""
    if mode == "mount":
        return in_force(history, max(started, now - delay)) or (history[0].login if history else None)
    if now < started + delay:
        return None
    read_at = max(started + delay, history[0].since) if history else now  # its container waits for the Secret
    return in_force(history, read_at)


@dataclass(frozen=True)
class Refusal:
    """A login that the database refused."""

    at: datetime
    pod: str
    user: str

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S.%f} {self.pod} as {self.user}"


@dataclass
class Report:
    """What the applications have met so far: logins that worked, that were refused, that found no database; who used which users."""

    logins: int = 0
    unreachable: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    users: dict[str, list[str]] = field(default_factory=dict)

    def add(self, pod: str, user: str, outcome: str) -> None:
        """Count one login."""
        used = self.users.setdefault(pod, [])
        if user not in used:
            used.append(user)
        match outcome:
            case "refused":
                self.refusals.append(Refusal(datetime.now(UTC), pod, user))
            case "unreachable":
                self.unreachable += 1
            case _:
                self.logins += 1

    def __str__(self) -> str:
        shown = "\n".join(map(str, self.refusals[:20]))
        return f"{self.logins} logins by {len(self.users)} pods, {len(self.refusals)} refused:\n{shown}"


@dataclass(frozen=True)
class Habits:
    """How the applications of a workload behave: how they take the Secret, how late (drawn per pod), how often they log in."""

    mode: Mode = "mount"
    delay: tuple[float, float] = (1.0, 10.0)
    every: float = 0.25
    seed: int = 0


class Consumers:
    """The applications in a workload's pods, from `with` to its end; `report` may be read at any time."""

    def __init__(self, kube: KubeAdmin, postgres: Postgres, workload: Workload, habits: Habits | None = None) -> None:
        if workload.secret is None:
            raise ValueError("the workload names no Secret")
        self.report = Report()
        self._kube = KubeAdmin(kube.access)
        self._postgres = postgres
        self._workload, self._secret = workload, workload.secret
        self._habits = habits or Habits()
        self._random = random.Random(self._habits.seed)
        self._history: list[Seen] = []
        self._running: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()

    def __enter__(self) -> Self:
        self._spawn(self._watch)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._kube.close()

    def _watch(self) -> None:
        """Note what the Secret holds and which pods run; start an application in each that is new, end those whose pod went."""
        while not self._ending.wait(_LOOK):
            try:
                self._read_secret()
                self._follow_pods()
            except httpx.TransportError:
                continue  # what cannot be seen has not changed
        for ended in self._running.values():
            ended.set()

    def _read_secret(self) -> None:
        try:
            login = _login(self._kube.find("Secret", self._workload.namespace, self._secret))
        except KubeError:
            return
        if login is not None and (not self._history or self._history[-1].login != login):
            self._history.append(Seen(time.monotonic(), login))

    def _follow_pods(self) -> None:
        name = f"app={self._workload.name}"
        found = self._kube.list("Pod", self._workload.namespace, labelSelector=name)
        pods = {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in found if _runs(pod)}
        for uid in self._running.keys() - pods.keys():
            self._running.pop(uid).set()
        for uid in pods.keys() - self._running.keys():
            self._running[uid] = ended = threading.Event()
            delay = self._random.uniform(*self._habits.delay)
            self._spawn(self._use, pods[uid], time.monotonic(), delay, ended)

    def _use(self, pod: str, started: float, delay: float, ended: threading.Event) -> None:
        """One application: log in until the pod is gone."""
        while not ended.wait(self._habits.every):
            now = time.monotonic()
            login = visible(self._habits.mode, self._history, started=started, delay=delay, now=now)
            if login is not None:
                self._log_in(pod, login)

    def _log_in(self, pod: str, login: Login) -> None:
        try:
            self._postgres.connect(login).close()
        except psycopg.OperationalError as error:
            outcome = "refused" if refused(error) else "unreachable"
        else:
            outcome = "accepted"
        if outcome == "refused" and not self._kube.exists("Pod", self._workload.namespace, pod):
            return  # the pod had gone before its application did
        with self._lock:
            self.report.add(pod, login.username, outcome)

    def _spawn(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, name=f"consumer-{self._workload.name}", daemon=True)
        self._threads.append(thread)
        thread.start()


def _login(secret: Json) -> Login | None:
    data = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
    return Login(data["username"], data["password"]) if {"username", "password"} <= data.keys() else None


def _runs(pod: Json) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return any("running" in status.get("state", {}) for status in statuses)
