"""Workloads that secrets are for.

Invariant: no pod of them runs, so that they work on a bed without nodes.
"""

from __future__ import annotations

from tests.conformance.stage import Json
from tests.testbed.bed import Bed, KubeError, eventually


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


def rollout(namespace: str) -> Json:
    """An Argo Rollout `app`."""
    meta = {"name": "app", "namespace": namespace}
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": meta, "spec": {"replicas": 1}}


def serve_rollouts(bed: Bed) -> None:
    """Have the API server serve Argo Rollouts, as far as a restart needs them."""
    names = {"kind": "Rollout", "plural": "rollouts", "singular": "rollout", "listKind": "RolloutList"}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    bed.kube.apply(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "rollouts.argoproj.io"},
            "spec": {"group": "argoproj.io", "scope": "Namespaced", "names": names, "versions": [version]},
        }
    )

    def served() -> bool:
        try:
            return bool(bed.kube.get("/apis/argoproj.io/v1alpha1")["resources"])
        except KubeError:
            return False

    eventually(served, message="the API server serves Rollouts")
