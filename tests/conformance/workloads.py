"""Workloads that secrets are for.

Invariant: no pod of them runs, so that they work on a bed without nodes.
"""

from __future__ import annotations

from tests.conformance.stage import Json


def deployment(namespace: str) -> Json:
    """A Deployment `app` without pods: it is only ever restarted."""
    labels = {"app": "app"}
    container = {"name": "app", "image": "registry.example/app"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "app", "namespace": namespace},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
