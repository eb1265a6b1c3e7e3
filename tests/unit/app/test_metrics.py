"""What Prometheus gets to read."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from tests.fakes.clock import FakeClock
from vso.app.gauges import Feed, Readings
from vso.app.metrics import Metrics
from vso.app.settings import from_args
from vso.controllers.lease_times import LeaseStatistics
from vso.core.errors import Reason, TerminalError, TransientError
from vso.core.keys import Kind, ObjectKey
from vso.core.records import Record
from vso.kube.client import KubeObserver
from vso.kube.event_recorder import EventStatistics
from vso.runtime.controller import ControllerObserver, Outcome
from vso.runtime.events import Page, WatchEvent
from vso.runtime.informer import Informer, InformerObserver
from vso.runtime.poller import PollerStatistics
from vso.runtime.workqueue import QueueStatistics
from vso.vault.events import StreamObserver, StreamStatistics
from vso.vault.observer import VaultObserver
from vso.vault.sessions import SessionStatistics

KEY = ObjectKey("team", "app")
STATIC = Kind.VAULT_STATIC_SECRET
BUG = KeyError("x")
NAMED = {"kind": "VaultStaticSecret", "namespace": "team", "name": "app"}


def made(*argv: str, clock: FakeClock | None = None) -> Metrics:
    return Metrics(from_args(argv, {}, lambda _path: None), clock or FakeClock())


def value(metrics: Metrics, series: str, /, **labels: str) -> float | None:
    found = [
        sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if sample.name == series and labels.items() <= sample.labels.items()
    ]
    assert len(found) < 2, f"{series} is ambiguous"
    return found[0] if found else None


def names(metrics: Metrics) -> set[str]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {sample.name for family in families for sample in family.samples}


def test_it_observes_what_it_says_it_observes() -> None:
    metrics = made()
    observers: tuple[ControllerObserver, InformerObserver, VaultObserver, KubeObserver, StreamObserver] = (
        metrics,
        metrics,
        metrics.vault,
        metrics.kube,
        metrics.vault,
    )
    assert len(observers) == 5


def test_what_runs_and_how() -> None:
    metrics = made("--max-concurrent-reconciles=7", "--secrets-access=write-only", "--watch-namespaces=a,b")
    assert value(metrics, "vso_build_info", major="0") == 1
    config = {"max_concurrent_reconciles": "7", "secrets_access": "write-only", "watch_namespaces": "a,b"}
    assert value(metrics, "vso_runtime_config", backoff_initial_interval="5s", **config) == 1


def test_nothing_says_when_it_was_created() -> None:
    metrics = made()
    metrics.kube.request("get", "secrets", 200, 0.1)
    assert not {name for name in names(metrics) if name.endswith("_created")}


@pytest.mark.parametrize(
    ("outcome", "result", "retries"),
    [
        pytest.param(Outcome.OK, "success", None, id="in-order"),
        pytest.param(Outcome.CONFIG, "error", None, id="a-human-must-act"),
        pytest.param(Outcome.TRANSIENT, "error", 1.0, id="passing"),
        pytest.param(Outcome.TIMEOUT, "error", 1.0, id="too-long"),
    ],
)
def test_passes_are_counted_by_outcome(outcome: Outcome, result: str, retries: float | None) -> None:
    metrics = made()
    metrics.passed("vaultstaticsecrets", KEY, outcome, 0.2)
    labels = {"controller": "vaultstaticsecrets", "result": result, "outcome": outcome.value}
    assert value(metrics, "controller_runtime_reconcile_total", **labels) == 1
    assert value(metrics, "controller_runtime_reconcile_time_seconds_sum", controller="vaultstaticsecrets") == 0.2
    assert value(metrics, "workqueue_retries_total", name="vaultstaticsecrets") == retries


def test_bugs_and_broken_watches_are_counted() -> None:
    metrics = made()
    metrics.failed("vaultauths", KEY, Outcome.BUG, BUG, 5.0)
    metrics.interrupted("vaultauths", TransientError(Reason.KUBERNETES_UNAVAILABLE, "away"))
    metrics.relisted("vaultauths", 5, 1)
    assert value(metrics, "controller_runtime_reconcile_panics_total", controller="vaultauths") == 1
    reason = {"informer": "vaultauths", "reason": "KubernetesUnavailable"}
    assert value(metrics, "vso_informer_interruptions_total", **reason) == 1
    assert value(metrics, "vso_informer_relists_total", informer="vaultauths") == 1


@pytest.mark.parametrize(
    ("outcome", "error", "again_in", "line"),
    [
        pytest.param(
            Outcome.TRANSIENT,
            TransientError(Reason.VAULT_SEALED, "sealed"),
            7.25,
            {
                "event": "pass failed",
                "log_level": "warning",
                "reason": "VaultSealed",
                "error": "sealed",
                "next_pass_in": 7.25,
                "next_pass_at": "2026-01-01T12:00:07.250Z",
            },
            id="with-the-seconds-and-the-instant",
        ),
        pytest.param(
            Outcome.TERMINAL,
            TerminalError(Reason.UNSUPPORTED, "no"),
            None,
            {"event": "pass failed", "log_level": "warning", "reason": "Unsupported", "error": "no"},
            id="without-a-next-time",
        ),
        pytest.param(
            Outcome.TIMEOUT,
            TimeoutError(),
            5.0,
            {
                "event": "pass timed out",
                "log_level": "warning",
                "controller": "vaultauths",
                "key": KEY,
                "next_pass_in": 5.0,
                "next_pass_at": "2026-01-01T12:00:05.000Z",
            },
            id="out-of-time",
        ),
        pytest.param(
            Outcome.BUG,
            BUG,
            5.0,
            {
                "event": "bug",
                "log_level": "error",
                "controller": "vaultauths",
                "key": KEY,
                "exc_info": BUG,
                "next_pass_in": 5.0,
                "next_pass_at": "2026-01-01T12:00:05.000Z",
            },
            id="a-bug",
        ),
    ],
)
def test_a_failed_pass_is_one_line_with_the_time_of_the_next(
    outcome: Outcome, error: Exception, again_in: float | None, line: dict[str, object]
) -> None:
    metrics = made()
    with capture_logs() as lines:
        metrics.passed("vaultauths", KEY, outcome, 0.1)
        metrics.failed("vaultauths", KEY, outcome, error, again_in)
    assert [told for told in lines if told["log_level"] != "debug"] == [line]


def test_requests_to_the_api_server_are_counted_by_verb_resource_and_code() -> None:
    metrics = made()
    metrics.kube.request("patch", "secrets", 200, 0.1)
    metrics.kube.request("patch", "secrets", 0, 0.1)
    assert value(metrics, "vso_kubernetes_requests_total", verb="patch", resource="secrets", code="200") == 1
    assert value(metrics, "vso_kubernetes_requests_total", verb="patch", resource="secrets", code="0") == 1
    assert value(metrics, "vso_kubernetes_request_duration_seconds_count", verb="patch") == 2


def test_requests_to_vault_bear_the_reference_operators_names() -> None:
    metrics = made()
    metrics.vault.request("team/vault", "read", 0.1, ok=True)
    metrics.vault.request("team/vault", "read", 0.1, ok=False)
    labels = {"operation": "read", "vault_connection": "team/vault"}
    assert value(metrics, "vso_client_operations_total", **labels) == 2
    assert value(metrics, "vso_client_operations_errors_total", **labels) == 1
    assert value(metrics, "vso_client_operations_time_seconds_count", **labels) == 2


def test_a_connection_without_failures_shows_zero_failures() -> None:
    metrics = made()
    metrics.vault.request("team/vault", "login", 0.1, ok=True)
    assert value(metrics, "vso_client_operations_errors_total", operation="login") == 0


def test_a_farewell_to_the_vault_of_a_connection_that_is_gone_counts_no_more() -> None:
    metrics = made()
    metrics.vault.request("team/vault", "login", 0.1, ok=True)
    metrics.vault.request("team/vault", "revoke", 0.1, ok=True)
    assert 'operation="revoke"' in metrics.render().decode()
    metrics.gone(Kind.VAULT_CONNECTION, ObjectKey("team", "vault"))
    metrics.vault.request("team/vault", "revoke", 0.1, ok=True)
    assert "team/vault" not in metrics.render().decode()


def test_what_is_gone_leaves_no_series() -> None:
    metrics = made()
    metrics.vault.request("team/vault", "read", 0.1, ok=True)
    metrics.vault.breaker("team/vault", is_open=True)
    metrics.vault.request("team/other", "read", 0.1, ok=True)
    metrics.vault.login("team/auth", ok=True)
    metrics.vault.login("team/auth", ok=False)
    metrics.assessed(STATIC, KEY, ready=True, reason="Ready")
    for kind, name in ((Kind.VAULT_CONNECTION, "vault"), (Kind.VAULT_AUTH, "auth"), (STATIC, "app")):
        metrics.gone(kind, ObjectKey("team", name))
        metrics.gone(kind, ObjectKey("team", "never-seen"))
    metrics.gone(Kind.VAULT_CONNECTION, ObjectKey("team", "other"))
    shown = metrics.render().decode()
    assert "team/" not in shown
    assert 'namespace="team"' not in shown


def test_the_breaker_opens_and_closes() -> None:
    metrics = made()
    metrics.vault.breaker("team/vault", is_open=True)
    assert value(metrics, "vso_vault_breaker_open", vault_connection="team/vault") == 1
    metrics.vault.breaker("team/vault", is_open=False)
    assert value(metrics, "vso_vault_breaker_open", vault_connection="team/vault") == 0


def test_bugs_are_counted_from_zero_on_so_that_the_first_is_seen() -> None:
    metrics = made()
    assert {value(metrics, "controller_runtime_reconcile_panics_total", controller=kind.plural) for kind in Kind} == {0}


async def test_an_object_that_stops_being_ready_keeps_the_time_at_which_it_was() -> None:
    clock = FakeClock()
    metrics = made(clock=clock)
    start = clock.now().timestamp()
    metrics.assessed(STATIC, KEY, ready=True, reason="Ready")
    await clock.advance(100)
    assert value(metrics, "vso_resource_ready", **NAMED) == 1
    assert value(metrics, "vso_resource_last_ready_timestamp_seconds", **NAMED) == start + 100
    for _ in range(2):
        metrics.assessed(STATIC, KEY, ready=False, reason="VaultSealed")
        await clock.advance(50)
    assert value(metrics, "vso_resource_ready", **NAMED) == 0
    assert value(metrics, "vso_resource_last_ready_timestamp_seconds", **NAMED) == start + 100
    assert value(metrics, "vso_resource_not_ready_reason", **NAMED) == 1
    assert value(metrics, "vso_resources", kind="VaultStaticSecret", ready="false", reason="VaultSealed") == 1


def test_an_object_that_never_was_ready_has_no_time_of_it() -> None:
    metrics = made()
    metrics.assessed(STATIC, KEY, ready=False, reason="SourceNotFound")
    assert value(metrics, "vso_resource_last_ready_timestamp_seconds") is None
    assert value(metrics, "vso_resource_not_ready_reason", reason="SourceNotFound") == 1


def test_without_names_only_totals_are_shown() -> None:
    metrics = made("--metrics-per-object=false")
    for name in ("a", "b"):
        metrics.assessed(STATIC, ObjectKey("team", name), ready=True, reason="Ready")
    assert not {name for name in names(metrics) if name.startswith(("vso_resource_", "controller_resource"))}
    assert value(metrics, "vso_resources", kind="VaultStaticSecret", ready="true", reason="Ready") == 2


def test_the_reference_operators_gauge_is_there_for_its_kinds() -> None:
    metrics = made()
    metrics.assessed(Kind.VAULT_AUTH, KEY, ready=True, reason="Ready")
    metrics.assessed(STATIC, KEY, ready=True, reason="Ready")
    assert value(metrics, "controller_resource_status", controller="vaultauth", name="app", namespace="team") == 1


def test_a_standby_does_not_speak_for_the_objects() -> None:
    metrics = made()
    metrics.leader(leading=True)
    metrics.assessed(STATIC, KEY, ready=True, reason="Ready")
    assert value(metrics, "leader_election_master_status") == 1
    metrics.leader(leading=False)
    assert value(metrics, "leader_election_master_status") == 0
    assert value(metrics, "vso_resource_ready") is None


class Silent:
    """A source of records that never says anything."""

    async def list(self) -> AsyncIterator[Page[Record]]:
        """No page."""
        pages: tuple[Page[Record], ...] = ()
        for page in pages:
            yield page

    async def watch(self, resource_version: str) -> AsyncIterator[WatchEvent[Record]]:
        """No event."""
        events: tuple[WatchEvent[Record], ...] = ()
        for event in events:
            yield event


async def test_the_parts_are_read_at_the_scrape() -> None:
    clock = FakeClock()
    metrics = made(clock=clock)
    feed: Feed = Informer("vaultauths", Silent(), clock, random.Random(1))
    queue = QueueStatistics(ready_urgent=1, ready_refresh=2, delayed=3, processing=4, failures=5, parked=6)
    poller = PollerStatistics(sources=1, subscribers=2, waiting=3, workers=4, looks=5, changes=6)
    metrics.watch(
        Readings(
            clock,
            {"vaultauths": lambda: queue},
            [feed],
            lambda: poller,
            lambda: SessionStatistics(sessions=3, logged_in=2),
            lambda: EventStatistics(waiting=0, sent=1, dropped=2, failed=3),
            lambda: StreamStatistics(streams=3, up=2, received=9, matched=4),
            lambda: LeaseStatistics(in_order=7, failing=1, first_end=90),
        )
    )
    await clock.advance(30)
    assert value(metrics, "workqueue_depth", name="vaultauths", lane="urgent") == 1
    assert value(metrics, "workqueue_depth", name="vaultauths", lane="refresh") == 2
    assert value(metrics, "workqueue_backing_off", name="vaultauths") == 5
    assert value(metrics, "vso_informer_synced", informer="vaultauths") == 0
    assert value(metrics, "vso_informer_silence_seconds", informer="vaultauths") == 30
    assert value(metrics, "vso_source_polls_total") == 5
    assert value(metrics, "vso_vault_sessions", logged_in="false") == 1
    assert value(metrics, "vso_vault_event_streams", up="true") == 2
    assert value(metrics, "vso_vault_event_streams", up="false") == 1
    assert value(metrics, "vso_vault_events_received_total") == 9
    assert value(metrics, "vso_vault_events_matched_total") == 4
    assert value(metrics, "vso_events_total", result="dropped") == 2
    assert value(metrics, "vso_leases", state="in_order") == 7
    assert value(metrics, "vso_leases", state="failing") == 1
    assert value(metrics, "vso_leases_failing_first_end_seconds") == 90
