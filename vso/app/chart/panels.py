"""What the Grafana dashboard shows: panels in rows.

Invariant: as in `vso.app.chart.alerts`, every query is of metrics that the operator has; which job and namespace are
shown is chosen in Grafana.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

JOB: Final = 'job="$job"'
_OURS: Final = f'{JOB},namespace="$namespace"'
_OVER: Final = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and what its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """What is seen in one place."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    width: int = 8
    """Of the 24 columns of a dashboard."""
    height: int = 7


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that belong together."""

    title: str
    panels: tuple[Panel, ...]


def _rate(metric: str, by: str, selector: str = "") -> str:
    more = f",{selector}" if selector else ""
    return f"sum by ({by}) (rate({metric}{{{_OURS}{more}}}[{_OVER}]))"


def _slowest(metric: str, by: str) -> Query:
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return Query(f"histogram_quantile(0.99, {_rate(f'{metric}_bucket', f'le, {by}')})", legend)


def _number(title: str, expr: str, unit: str = "short") -> Panel:
    return Panel(title, unit, (Query(expr),), kind="stat", width=3, height=4)


ROWS: Final = (
    Row(
        "At a glance",
        (
            _number("Replicas", f"sum(up{{{_OURS}}})"),
            _number("Leaders", f"sum(leader_election_master_status{{{_OURS}}})"),
            _number("Objects", f"sum(vso_resources{{{_OURS}}})"),
            _number("Not ready", f'sum(vso_resources{{{_OURS},ready="false"}}) or vector(0)'),
            _number("Vaults away", f"sum(vso_vault_breaker_open{{{_OURS}}}) or vector(0)"),
            _number("Leases", f"sum(vso_leases{{{_OURS}}})"),
            _number("Leases failing", f'sum(vso_leases{{{_OURS},state="failing"}})'),
            _number("First of them ends", f"min(vso_leases_failing_first_end_seconds{{{_OURS}}})", "s"),
        ),
    ),
    Row(
        "Objects",
        (
            Panel("Ready", "short", (Query(f'sum by (kind) (vso_resources{{{_OURS},ready="true"}})', "{{kind}}"),)),
            Panel(
                "Not ready, by reason",
                "short",
                (Query(f'sum by (kind, reason) (vso_resources{{{_OURS},ready="false"}})', "{{kind}} {{reason}}"),),
            ),
            Panel(
                "Not ready for the longest",
                "s",
                (
                    Query(
                        f"topk(20, time() - vso_resource_last_ready_timestamp_seconds{{{JOB}}} > 60)",
                        "{{kind}} {{namespace}}/{{name}}",
                    ),
                ),
                kind="bargauge",
            ),
        ),
    ),
    Row(
        "Vault",
        (
            Panel(
                "Requests",
                "reqps",
                (
                    Query(
                        _rate("vso_client_operations_total", "vault_connection, operation"),
                        "{{vault_connection}} {{operation}}",
                    ),
                ),
            ),
            Panel(
                "Requests that fail",
                "reqps",
                (
                    Query(
                        _rate("vso_client_operations_errors_total", "vault_connection, operation"),
                        "{{vault_connection}} {{operation}}",
                    ),
                ),
            ),
            Panel(
                "Time to answer, 99 %",
                "s",
                (_slowest("vso_client_operations_time_seconds", "vault_connection, operation"),),
            ),
            Panel(
                "Logins",
                "ops",
                (Query(_rate("vso_vault_logins_total", "vault_auth, result"), "{{vault_auth}} {{result}}"),),
            ),
            Panel(
                "Sessions",
                "short",
                (Query(f"sum by (logged_in) (vso_vault_sessions{{{_OURS}}})", "logged in: {{logged_in}}"),),
            ),
            Panel(
                "Event streams",
                "short",
                (Query(f"sum by (up) (vso_vault_event_streams{{{_OURS}}})", "up: {{up}}"),),
            ),
        ),
    ),
    Row(
        "Leases",
        (
            Panel("Leases", "short", (Query(f"sum by (state) (vso_leases{{{_OURS}}})", "{{state}}"),)),
            Panel(
                "First end of those that fail",
                "s",
                (Query(f"min(vso_leases_failing_first_end_seconds{{{_OURS}}})", "first end"),),
            ),
            Panel(
                "Deadlines missed, leases leaked",
                "short",
                (
                    Query(f"sum(vso_lease_timers_lost_total{{{_OURS}}})", "missed"),
                    Query(f"sum(vso_leases_leaked_total{{{_OURS}}})", "leaked"),
                ),
            ),
        ),
    ),
    Row(
        "The work",
        (
            Panel(
                "Passes",
                "ops",
                (
                    Query(
                        _rate("controller_runtime_reconcile_total", "controller, outcome"), "{{controller}} {{outcome}}"
                    ),
                ),
            ),
            Panel("Time of a pass, 99 %", "s", (_slowest("controller_runtime_reconcile_time_seconds", "controller"),)),
            Panel(
                "Queues",
                "short",
                (
                    Query(f"sum by (name, lane) (workqueue_depth{{{_OURS}}})", "{{name}} {{lane}}"),
                    Query(f"sum by (name) (workqueue_backing_off{{{_OURS}}}) > 0", "{{name}} backing off"),
                ),
            ),
            Panel(
                "Polls",
                "ops",
                (
                    Query(f"sum(rate(vso_source_polls_total{{{_OURS}}}[{_OVER}]))", "polls"),
                    Query(f"sum(rate(vso_source_changes_total{{{_OURS}}}[{_OVER}]))", "that found something new"),
                ),
            ),
            Panel(
                "Sources",
                "short",
                (
                    Query(f"sum(vso_sources{{{_OURS}}})", "places"),
                    Query(f"sum(vso_source_subscribers{{{_OURS}}})", "objects that follow them"),
                    Query(f"sum(vso_source_polls_waiting{{{_OURS}}})", "polls that wait"),
                ),
            ),
            Panel(
                "Keys held by a worker",
                "short",
                (Query(f"sum by (name) (workqueue_processing{{{_OURS}}})", "{{name}}"),),
            ),
        ),
    ),
    Row(
        "The API server",
        (
            Panel(
                "Requests",
                "reqps",
                (Query(_rate("vso_kubernetes_requests_total", "verb, resource"), "{{verb}} {{resource}}"),),
            ),
            Panel(
                "Requests that fail",
                "reqps",
                (
                    Query(
                        _rate("vso_kubernetes_requests_total", "verb, resource, code", 'code!~"2.."'),
                        "{{verb}} {{resource}} {{code}}",
                    ),
                ),
            ),
            Panel("Time to answer, 99 %", "s", (_slowest("vso_kubernetes_request_duration_seconds", "verb"),)),
            Panel(
                "Watches that broke",
                "ops",
                (Query(_rate("vso_informer_interruptions_total", "informer, reason"), "{{informer}} {{reason}}"),),
            ),
            Panel(
                "Objects cached",
                "short",
                (Query(f"max by (informer) (vso_informer_objects{{{_OURS}}})", "{{informer}}"),),
            ),
            Panel("Events", "ops", (Query(_rate("vso_events_total", "result"), "{{result}}"),)),
        ),
    ),
    Row(
        "The process",
        (
            Panel(
                "Processor time",
                "percentunit",
                (Query(f"rate(process_cpu_seconds_total{{{_OURS}}}[{_OVER}])", "{{instance}}"),),
            ),
            Panel("Memory", "bytes", (Query(f"process_resident_memory_bytes{{{_OURS}}}", "{{instance}}"),)),
            Panel("Open files", "short", (Query(f"process_open_fds{{{_OURS}}}", "{{instance}}"),)),
        ),
    ),
)
