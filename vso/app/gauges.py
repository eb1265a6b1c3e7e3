"""Gauges that are read from the parts' own statistics when somebody scrapes, and cost nothing before.

Invariant: reading changes nothing and never waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from vso.controllers.lease_times import LeaseStatistics
from vso.core.clock import Clock
from vso.core.keys import ObjectKey
from vso.core.records import Record
from vso.kube.event_recorder import EventStatistics
from vso.runtime.informer import Informer
from vso.runtime.poller import PollerStatistics
from vso.runtime.workqueue import QueueStatistics
from vso.vault.events import StreamStatistics
from vso.vault.sessions import SessionStatistics

Feed = Informer[ObjectKey, Record]


@dataclass(frozen=True)
class Readings:
    """Where the numbers come from."""

    clock: Clock
    queues: Mapping[str, Callable[[], QueueStatistics]]
    feeds: Sequence[Feed]
    poller: Callable[[], PollerStatistics]
    sessions: Callable[[], SessionStatistics]
    events: Callable[[], EventStatistics]
    streams: Callable[[], StreamStatistics]
    leases: Callable[[], LeaseStatistics]


class Gauges(Collector):
    """Turns statistics into metrics."""

    def __init__(self, readings: Readings) -> None:
        self._from = readings

    def collect(self) -> Iterator[Metric]:
        """Yield everything that is read at this moment."""
        yield from self._queues()
        yield from self._feeds()
        yield from self._poller()
        yield from self._streams()
        yield from self._leases()
        yield from self._rest()

    def _queues(self) -> Iterator[Metric]:
        depth = GaugeMetricFamily("workqueue_depth", "Keys that wait for a worker.", labels=("name", "lane"))
        held = GaugeMetricFamily("workqueue_processing", "Keys that a worker holds.", labels=("name",))
        later = GaugeMetricFamily("workqueue_delayed", "Keys that are due later.", labels=("name",))
        failing = GaugeMetricFamily("workqueue_backing_off", "Keys whose last pass failed.", labels=("name",))
        for name, read in self._from.queues.items():
            seen = read()
            depth.add_metric((name, "urgent"), seen.ready_urgent)
            depth.add_metric((name, "refresh"), seen.ready_refresh)
            held.add_metric((name,), seen.processing)
            later.add_metric((name,), seen.delayed)
            failing.add_metric((name,), seen.failures)
        yield from (depth, held, later, failing)

    def _feeds(self) -> Iterator[Metric]:
        now = self._from.clock.monotonic()
        synced = GaugeMetricFamily("vso_informer_synced", "Whether the first list is there.", labels=("informer",))
        objects = GaugeMetricFamily("vso_informer_objects", "Objects in the cache.", labels=("informer",))
        silence = GaugeMetricFamily(
            "vso_informer_silence_seconds", "Time since the API server last said something.", labels=("informer",)
        )
        for feed in self._from.feeds:
            synced.add_metric((feed.name,), feed.synced)
            objects.add_metric((feed.name,), len(feed.store))
            silence.add_metric((feed.name,), max(0.0, now - feed.last_contact()))
        yield from (synced, objects, silence)

    def _poller(self) -> Iterator[Metric]:
        seen = self._from.poller()
        yield GaugeMetricFamily("vso_sources", "Places in Vault that are polled.", value=seen.sources)
        yield GaugeMetricFamily("vso_source_subscribers", "Objects that follow a place.", value=seen.subscribers)
        yield GaugeMetricFamily("vso_source_polls_waiting", "Polls that are due and wait.", value=seen.waiting)
        yield CounterMetricFamily("vso_source_polls", "Polls so far.", value=seen.looks)
        yield CounterMetricFamily("vso_source_changes", "Polls that found something new.", value=seen.changes)

    def _streams(self) -> Iterator[Metric]:
        seen = self._from.streams()
        streams = GaugeMetricFamily("vso_vault_event_streams", "Streams of Vault's events.", labels=("up",))
        streams.add_metric(("true",), seen.up)
        streams.add_metric(("false",), seen.streams - seen.up)
        yield streams
        yield CounterMetricFamily("vso_vault_events_received", "Events that Vault told.", value=seen.received)
        yield CounterMetricFamily("vso_vault_events_matched", "Those about a followed place.", value=seen.matched)

    def _leases(self) -> Iterator[Metric]:
        seen = self._from.leases()
        leases = GaugeMetricFamily("vso_leases", "Leases by how the last look at them went.", labels=("state",))
        leases.add_metric(("in_order",), seen.in_order)
        leases.add_metric(("failing",), seen.failing)
        yield leases
        if seen.first_end is not None:
            yield GaugeMetricFamily(
                "vso_leases_failing_first_end_seconds",
                "Time until the first lease ends of those whose last look failed; below zero when it has.",
                value=seen.first_end,
            )

    def _rest(self) -> Iterator[Metric]:
        sessions = GaugeMetricFamily("vso_vault_sessions", "Identities known to Vaults.", labels=("logged_in",))
        logged = self._from.sessions()
        sessions.add_metric(("true",), logged.logged_in)
        sessions.add_metric(("false",), logged.sessions - logged.logged_in)
        yield sessions
        events = CounterMetricFamily("vso_events", "Kubernetes Events by what became of them.", labels=("result",))
        told = self._from.events()
        for result, count in (("sent", told.sent), ("dropped", told.dropped), ("failed", told.failed)):
            events.add_metric((result,), count)
        yield events
