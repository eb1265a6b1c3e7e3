"""Prometheus metrics, in a registry of their own, behind the observer protocols of the parts.

Names are the reference operator's where it has one, in snake case throughout. Invariant: labels
hold names from the API and words from closed lists; what a deleted connection, VaultAuth or object
left behind goes with it. What only an observer gets to see is logged here: each failed pass in one
line, with the time of the next, and a broken watch.
"""

from __future__ import annotations

import platform
from collections.abc import Hashable
from datetime import timedelta
from typing import Final

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from vso import __version__
from vso.app.gauges import Gauges, Readings
from vso.app.object_metrics import ObjectMetrics
from vso.app.settings import Settings
from vso.core.clock import Clock, SystemClock
from vso.core.errors import Reason, VsoError
from vso.core.keys import Kind, ObjectKey
from vso.runtime.controller import Outcome

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_RETRIED: Final = frozenset({Outcome.TRANSIENT, Outcome.TIMEOUT, Outcome.BUG})

_log = structlog.get_logger("vso.runtime")


class Metrics:
    """Everything that is counted; observes controllers, informers and the standing of objects."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._clock = clock or SystemClock()
        self._registry = CollectorRegistry()
        self._objects = ObjectMetrics(per_object=settings.metrics_per_object)
        self.kube = KubeMetrics(self._registry)
        """Observes the requests to the API server."""
        self.vault = VaultMetrics(self._registry)
        """Observes the requests to Vaults."""
        ProcessCollector(registry=self._registry)
        _describe(self._registry, settings)
        self._passes = Counter(
            "controller_runtime_reconcile",
            "Passes by how they ended.",
            ("controller", "result", "outcome"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "How long passes took.",
            ("controller",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._retries = Counter(
            "workqueue_retries", "Keys that came back after a failure.", ("name",), registry=self._registry
        )
        self._bugs = _bugs(self._registry)
        self._relists = Counter("vso_informer_relists", "Lists taken over.", ("informer",), registry=self._registry)
        self._interruptions = Counter(
            "vso_informer_interruptions",
            "Lists and watches that ended badly.",
            ("informer", "reason"),
            registry=self._registry,
        )
        self._leaked = Counter(
            "vso_leases_leaked",
            "Leases that outlived their object: they could not be given back.",
            registry=self._registry,
        )
        self._timers_lost = Counter(
            "vso_lease_timers_lost",
            "Deadlines of leases that only the second look noticed.",
            registry=self._registry,
        )
        self._leads = Gauge(
            "leader_election_master_status", "Whether this process leads.", ("name",), registry=self._registry
        ).labels(name="vault-secrets-operator")

    def watch(self, readings: Readings) -> None:
        """Read the parts' statistics at each scrape; once in a process."""
        self._registry.register(Gauges(readings))

    def render(self) -> bytes:
        """Return everything in the text format."""
        return generate_latest(self._registry) + self._objects.render(self._clock.now().timestamp()).encode()

    def passed(self, controller: str, key: Hashable, outcome: str, seconds: float) -> None:
        """A pass has ended."""
        result = "success" if outcome == Outcome.OK else "error"
        self._passes.labels(controller, result, outcome).inc()
        self._seconds.labels(controller).observe(seconds)
        if outcome in _RETRIED:
            self._retries.labels(controller).inc()
        _log.debug("pass", controller=controller, key=key, outcome=outcome, seconds=round(seconds, 3))

    def failed(self, controller: str, key: Hashable, outcome: str, error: Exception, again_in: float | None) -> None:
        """A pass has failed, and the queue looks again in so many seconds, or on a change alone."""
        again = self._again(again_in)
        if outcome == Outcome.BUG:
            self._bugs.labels(controller).inc()
            _log.error("bug", controller=controller, key=key, exc_info=error, **again)
        elif isinstance(error, VsoError):
            _log.warning("pass failed", reason=error.reason.value, error=error.message, **again)
        else:
            _log.warning("pass timed out", controller=controller, key=key, **again)

    def _again(self, seconds: float | None) -> dict[str, float | str]:
        """Return the time of the next pass as fields of a line."""
        if seconds is None:
            return {}
        at = self._clock.now() + timedelta(seconds=seconds)
        told = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"next_pass_in": round(seconds, 3), "next_pass_at": told}

    def relisted(self, informer: str, objects: int, changes: int) -> None:
        """A list was taken over."""
        self._relists.labels(informer).inc()
        _log.debug("listed", informer=informer, objects=objects, changes=changes)

    def interrupted(self, informer: str, error: VsoError) -> None:
        """A list or a watch ended badly; it is tried again."""
        self._interruptions.labels(informer, error.reason.value).inc()
        _log.warning("watch interrupted", informer=informer, reason=error.reason, error=error.message)

    def events_refused(self, error: VsoError) -> None:
        """Events cannot be written for want of a right."""
        _log.warning("events are not told", reason=error.reason, error=error.message)

    def assessed(self, kind: Kind, key: ObjectKey, *, ready: bool, reason: str) -> None:
        """A pass has ended with that standing of the object."""
        self._objects.assessed(kind, key, ready=ready, reason=reason, now=self._clock.now().timestamp())

    def gone(self, kind: Kind, key: ObjectKey) -> None:
        """The object does not exist any more."""
        self._objects.gone(kind, key)
        if kind is Kind.VAULT_CONNECTION:
            self.vault.forget_connection(str(key))
        elif kind is Kind.VAULT_AUTH:
            self.vault.forget_auth(str(key))

    def leaked(self, leases: int) -> None:
        """Leases could not be given back before their object went."""
        self._leaked.inc(leases)

    def timer_lost(self, key: Hashable, seconds: float) -> None:
        """A deadline was missed and only the second look noticed it."""
        self._timers_lost.inc()
        _log.warning("a lease deadline was missed", object=str(key), late=round(seconds, 3))

    def leader(self, *, leading: bool) -> None:
        """This process leads, or stands by: then the standing of objects is another's to tell."""
        self._leads.set(leading)
        if not leading:
            self._objects.clear()


class KubeMetrics:
    """Requests to the API server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "vso_kubernetes_requests",
            "Requests to the API server; code 0 is one without an answer.",
            ("verb", "resource", "code"),
            registry=registry,
        )
        self._seconds = Histogram(
            "vso_kubernetes_request_duration_seconds",
            "How long the API server took to answer.",
            ("verb",),
            buckets=_BUCKETS,
            registry=registry,
        )
        # Finding a child by its labels costs more than counting.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def request(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """One request has ended."""
        children = self._children.get((verb, resource, code))
        if children is None:
            children = self._requests.labels(verb, resource, code), self._seconds.labels(verb)
            self._children[verb, resource, code] = children
        children[0].inc()
        children[1].observe(seconds)


class VaultMetrics:
    """Requests to Vaults, by VaultConnection; logins, by VaultAuth."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("operation", "vault_connection")
        self._seconds = Histogram(
            "vso_client_operations_time_seconds",
            "How long Vault took to answer.",
            labels,
            buckets=_BUCKETS,
            registry=registry,
        )
        self._all = Counter("vso_client_operations", "Requests to Vault.", labels, registry=registry)
        self._failed = Counter(
            "vso_client_operations_errors", "Requests to Vault that failed.", labels, registry=registry
        )
        self._open = Gauge(
            "vso_vault_breaker_open", "Whether only probes go to this Vault.", ("vault_connection",), registry=registry
        )
        self._logins = Counter(
            "vso_vault_logins", "Logins by their result.", ("vault_auth", "result"), registry=registry
        )
        self._operations: dict[str, dict[str, tuple[Histogram, Counter, Counter]]] = {}
        self._results: dict[str, set[str]] = {}

    def request(self, connection: str, operation: str, seconds: float, *, ok: bool) -> None:
        """One request has ended."""
        if operation == "revoke" and connection not in self._operations:
            return  # the farewell of a token, after its VaultConnection went
        known = self._operations.setdefault(connection, {})
        children = known.get(operation)
        if children is None:
            of = (operation, connection)
            children = known[operation] = self._seconds.labels(*of), self._all.labels(*of), self._failed.labels(*of)
        children[0].observe(seconds)
        children[1].inc()
        children[2].inc(not ok)

    def breaker(self, connection: str, *, is_open: bool) -> None:
        """The circuit breaker of a connection opened or closed."""
        self._operations.setdefault(connection, {})
        self._open.labels(connection).set(is_open)
        _log.warning("Vault is away" if is_open else "Vault is back", connection=connection)

    def stream(self, connection: str, *, up: bool, reason: Reason) -> None:
        """It stands differently with a stream of events."""
        say = _log.info if up else _log.warning
        say("event stream", connection=connection, up=up, reason=reason.value)

    def stream_bug(self, connection: str, error: Exception) -> None:
        """A stream of events met a bug."""
        _log.error("bug in an event stream", connection=connection, exc_info=error)

    def login(self, auth: str, *, ok: bool) -> None:
        """A login under a VaultAuth has ended."""
        result = "ok" if ok else "refused"
        self._results.setdefault(auth, set()).add(result)
        self._logins.labels(auth, result).inc()

    def forget_connection(self, connection: str) -> None:
        """The VaultConnection is gone."""
        if connection not in self._operations:
            return
        for operation in self._operations.pop(connection):
            for metric in (self._seconds, self._all, self._failed):
                metric.remove(operation, connection)
        self._open.labels(connection)  # an older client library refuses to remove what was never there
        self._open.remove(connection)

    def forget_auth(self, auth: str) -> None:
        """The VaultAuth is gone."""
        for result in self._results.pop(auth, ()):
            self._logins.remove(auth, result)


def _bugs(registry: CollectorRegistry) -> Counter:
    """Return the counter of bugs, from zero on, so that the first one is seen as an increase."""
    bugs = Counter("controller_runtime_reconcile_panics", "Passes that met a bug.", ("controller",), registry=registry)
    for kind in Kind:
        bugs.labels(kind.plural)
    return bugs


def _describe(registry: CollectorRegistry, settings: Settings) -> None:
    """Say what runs, and with which settings, as gauges that are always 1."""
    version = __version__.split(".")
    build = {
        "major": version[0],
        "minor": version[1],
        "git_version": f"v{__version__}",
        "python_version": platform.python_version(),
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }
    config = {
        "backoff_initial_interval": f"{settings.backoff_initial_interval:g}s",
        "backoff_max_interval": f"{settings.backoff_max_interval:g}s",
        "backoff_multiplier": f"{settings.backoff_multiplier:g}",
        "backoff_randomization_factor": f"{settings.backoff_randomization_factor:g}",
        "global_transformation_options": ",".join(settings.global_transformation_options),
        "global_vault_auth_options": ",".join(settings.global_vault_auth_options),
        "max_concurrent_reconciles": str(settings.max_concurrent_reconciles),
        "secrets_access": settings.secrets_access.value,
        "watch_namespaces": ",".join(settings.watch_namespaces),
    }
    for name, text, labels in (
        ("vso_build_info", "What runs.", build),
        ("vso_runtime_config", "With which settings.", config),
    ):
        Gauge(name, text, tuple(labels), registry=registry).labels(**labels).set(1)
