"""Alerts and dashboard: each query is of what the operator really tells."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.clock import FakeClock
from tests.promql import TARGET, Question, question, selects
from tests.unit.app.test_metrics import Silent
from vso.api import generated
from vso.app.chart.alerts import ALERTS
from vso.app.chart.dashboard import dashboard
from vso.app.chart.monitoring import MODULE, files
from vso.app.chart.panels import ROWS
from vso.app.gauges import Readings
from vso.app.metrics import Metrics
from vso.app.settings import from_args
from vso.controllers.lease_times import LeaseStatistics
from vso.core.errors import Reason, TransientError
from vso.core.keys import Kind, ObjectKey
from vso.kube.event_recorder import EventStatistics
from vso.runtime.controller import Outcome
from vso.runtime.informer import Informer
from vso.runtime.poller import PollerStatistics
from vso.runtime.workqueue import QueueStatistics
from vso.vault.events import StreamStatistics
from vso.vault.sessions import SessionStatistics

COMPONENTS = Path(__file__).resolve().parents[3] / "manifests" / "components"
KEY = ObjectKey("team", "app")
AWAY = TransientError(Reason.KUBERNETES_UNAVAILABLE, "away")
QUERIES = {
    f"{panel.title}: {query.expr}": query.expr for row in ROWS for panel in row.panels for query in panel.queries
}
VARIABLES = {"$job": "j", "$namespace": "n", "$__rate_interval": "5m"}

Told = dict[str, list[dict[str, str]]]
"""The series of each metric, by their labels."""


def whole() -> Metrics:
    """Everything that an operator can tell, told once."""
    clock = FakeClock()
    metrics = Metrics(from_args([], {}, lambda _path: None), clock)
    for outcome in Outcome:
        metrics.passed("vaultauths", KEY, outcome, 0.1)
    metrics.failed("vaultauths", KEY, Outcome.BUG, KeyError("x"), 5.0)
    metrics.relisted("vaultauths", 1, 1)
    metrics.interrupted("vaultauths", AWAY)
    metrics.leader(leading=True)
    for reason in ("Ready", "VaultSealed", "Suspended"):
        metrics.assessed(Kind.VAULT_AUTH, ObjectKey("team", reason.lower()), ready=reason == "Ready", reason=reason)
    metrics.assessed(Kind.VAULT_AUTH, ObjectKey("team", "was"), ready=True, reason="Ready")
    for code in (0, 200, 403, 429, 500):
        metrics.kube.request("get", "secrets", code, 0.1)
    metrics.vault.request("team/vault", "read", 0.1, ok=False)
    metrics.vault.breaker("team/vault", is_open=True)
    metrics.vault.login("team/auth", ok=True)
    metrics.vault.login("team/auth", ok=False)
    queue = QueueStatistics(ready_urgent=1, ready_refresh=2, delayed=3, processing=4, failures=5, parked=6)
    poller = PollerStatistics(sources=1, subscribers=2, waiting=3, workers=4, looks=5, changes=6)
    metrics.watch(
        Readings(
            clock,
            {"vaultauths": lambda: queue},
            [Informer("vaultauths", Silent(), clock, random.Random(1))],
            lambda: poller,
            lambda: SessionStatistics(sessions=3, logged_in=2),
            lambda: EventStatistics(waiting=0, sent=1, dropped=2, failed=3),
            lambda: StreamStatistics(streams=3, up=2, received=9, matched=4),
            lambda: LeaseStatistics(in_order=7, failing=1, first_end=90),
        )
    )
    return metrics


@pytest.fixture(scope="module")
def told() -> Told:
    found: Told = defaultdict(list)
    for family in text_string_to_metric_families(whole().render().decode()):
        for sample in family.samples:
            found[sample.name].append(sample.labels)
    found["up"].append({})  # Prometheus' own
    return dict(found)


@pytest.fixture(scope="module")
def counters() -> set[str]:
    families = text_string_to_metric_families(whole().render().decode())
    return {sample.name for family in families if family.type in {"counter", "histogram"} for sample in family.samples}


def hold(asked: Question, told: Told, counters: set[str]) -> None:
    """Hold what is asked for against what is told."""
    assert asked.series
    known = {label for name in asked.names for series in told[name] for label in series}
    assert asked.labels <= known | TARGET
    for selector in asked.series:
        assert selects(selector, told[selector.name or ""]), f"no series is {selector}"
    assert asked.counted <= counters


@pytest.mark.parametrize("alert", [pytest.param(alert, id=alert.name) for alert in ALERTS])
def test_an_alert_asks_for_what_is_told(alert: Any, told: Told, counters: set[str]) -> None:
    asked = question(alert.expr)
    hold(asked, told, counters)
    for selector in asked.series:
        chosen = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
        assert chosen["job"] == "vault-secrets-operator-metrics"
        of_objects = "namespace" in told[selector.name or ""][0]
        assert chosen.get("namespace") == (None if of_objects else "vso-system")


@pytest.mark.parametrize("query", QUERIES)
def test_a_panel_asks_for_what_is_told(query: str, told: Told, counters: set[str]) -> None:
    text = QUERIES[query]
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    assert "$" not in text
    hold(question(text), told, counters)


@pytest.mark.parametrize(
    ("expr", "why"),
    [
        pytest.param('vso_nothing{job="j"}', "vso_nothing", id="no-such-metric"),
        pytest.param("sum by (colour) (vso_leases)", "colour", id="no-such-label"),
        pytest.param('vso_leases{state="sleeping"}', "no series is", id="no-such-value"),
        pytest.param('vso_kubernetes_requests_total{code=~"3.."}', "no series is", id="no-such-code"),
        pytest.param("rate(vso_leases[5m])", "vso_leases", id="a-gauge-is-no-counter"),
    ],
)
def test_what_is_not_told_is_found_out(expr: str, why: str, told: Told, counters: set[str]) -> None:
    with pytest.raises((AssertionError, KeyError), match=why):
        hold(question(expr), told, counters)


@pytest.mark.parametrize("expr", ["sum by (", "rate(vso_leases)", "vso_leases{state=failing}"])
def test_what_prometheus_would_refuse_is_refused(expr: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the parser has words of its own
        question(expr)


def test_every_alert_says_what_and_what_to_do_and_names_labels_that_it_has(told: Told) -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
    for alert in ALERTS:
        assert alert.severity in {"critical", "warning"}
        assert re.fullmatch(r"[0-9]+m", alert.lasting)
        assert alert.description.count(" ") > 5
        named = set(re.findall(r"\$labels\.(\w+)", alert.summary + alert.description))
        asked = question(alert.expr)
        # Only what is grouped by is left on the result.
        assert named <= asked.labels


def test_the_panels_do_not_overlap_and_fill_no_more_than_the_width() -> None:
    panels = json.loads(dashboard())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)

    def cells(panel: dict[str, Any]) -> Iterator[tuple[int, int]]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        yield from (
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        )

    for one, other in combinations([set(cells(panel)) for panel in panels], 2):
        assert not one & other


def test_the_generated_files_are_as_they_would_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generated.main(["--check", str(COMPONENTS)], MODULE, files, alone=False) == 0
    copy = tmp_path / "components"
    shutil.copytree(COMPONENTS, copy)
    (copy / "dashboard" / "dashboard.json").write_text("{}")
    assert generated.main(["--check", str(copy)], MODULE, files, alone=False) == 1
    assert "dashboard.json: differs" in capsys.readouterr().err
    assert generated.main(["--write", str(copy)], MODULE, files, alone=False) == 0
    assert generated.main(["--check", str(copy)], MODULE, files, alone=False) == 0


def test_the_chart_and_the_manifests_have_the_same_alerts_and_dashboard() -> None:
    chart = COMPONENTS.parents[1] / "charts" / "vault-secrets-operator" / "files"
    (rule,) = yaml.safe_load_all((COMPONENTS / "alerts" / "prometheus-rule.yaml").read_text())
    assert yaml.safe_load((chart / "alerts.yaml").read_text()) == rule["spec"]
    assert (chart / "dashboard.json").read_text() == (COMPONENTS / "dashboard" / "dashboard.json").read_text()
