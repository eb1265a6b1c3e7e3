"""`python -m vso.app.chart.monitoring --write FOLDER | --check FOLDER`: the alerts and the dashboard for kustomize.

Invariant: the same rules and panels as in the chart; the folder is manifests/components.
"""

from __future__ import annotations

import sys
from typing import Final

from pydantic import JsonValue

from vso.api import generated
from vso.api.yaml_text import to_yaml
from vso.app.chart.alerts import groups
from vso.app.chart.dashboard import dashboard
from vso.app.rbac import NAME, NAMESPACE

MODULE: Final = "vso.app.chart.monitoring"
HEAD: Final = generated.header(MODULE, "vso/app/chart/alerts.py")


def files() -> generated.Files:
    """Return both files."""
    labels: JsonValue = {"app.kubernetes.io/name": NAME}
    rule: JsonValue = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels},
        "spec": groups(),
    }
    return {"alerts/prometheus-rule.yaml": HEAD + to_yaml(rule), "dashboard/dashboard.json": dashboard()}


if __name__ == "__main__":
    sys.exit(generated.main(sys.argv[1:], MODULE, files, alone=False))
