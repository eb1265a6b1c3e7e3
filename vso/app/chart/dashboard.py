"""The Grafana dashboard as JSON.

Invariant: a panel's place and number follow from its order in `vso.app.chart.panels` alone.
"""

from __future__ import annotations

import json
from itertools import count
from typing import Any, Final

from vso.app.chart.panels import JOB, ROWS, Panel

TITLE: Final = "Vault Secrets Operator"
UID: Final = "vault-secrets-operator"
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS: Final = 24


def dashboard() -> str:
    """Return the dashboard as Grafana's JSON."""
    numbers = count(1)
    panels: list[dict[str, Any]] = []
    top = 0
    for row in ROWS:
        panels.append({"id": next(numbers), "type": "row", "title": row.title, "collapsed": False, "panels": []})
        panels[-1]["gridPos"] = {"x": 0, "y": top, "w": _COLUMNS, "h": 1}
        top += 1
        left = 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                left, top = 0, top + panel.height
            panels.append({"id": next(numbers), **_panel(panel), "gridPos": _place(panel, left, top)})
            left += panel.width
        top += row.panels[-1].height
    return json.dumps(_frame(panels), indent=1, ensure_ascii=False) + "\n"


def _place(panel: Panel, left: int, top: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": panel.width, "h": panel.height}


def _panel(panel: Panel) -> dict[str, Any]:
    targets: list[dict[str, Any]] = [
        {"refId": chr(ord("A") + place), "datasource": _SOURCE, "expr": query.expr, "legendFormat": query.legend}
        for place, query in enumerate(panel.queries)
    ]
    if panel.kind == "bargauge":  # how it is now, not how it was
        targets = [{**target, "instant": True, "range": False} for target in targets]
    return {
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def _frame(panels: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "uid": UID,
        "title": TITLE,
        "tags": ["vault", "kubernetes"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
                _variable("job", "label_values(vso_build_info, job)"),
                _variable("namespace", f"label_values(vso_build_info{{{JOB}}}, namespace)"),
            ]
        },
        "panels": panels,
    }


def _variable(name: str, query: str) -> dict[str, Any]:
    asked = {"query": query, "refId": name}
    return {"name": name, "type": "query", "datasource": _SOURCE, "query": asked, "refresh": 2, "sort": 1}
