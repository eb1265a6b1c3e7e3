"""What the operator did, by the audit log and by its own count."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.conformance.stage import OPERATOR_USER, Stage
from tests.testbed.bed import Mark, always


def read_in(stage: Stage, mark: Mark, namespace: str) -> set[tuple[str, str]]:
    """The Secrets and ConfigMaps of a namespace that the operator has asked for."""
    calls = [call for call in stage.bed.kube_audit(mark) if call.user == OPERATOR_USER and call.namespace == namespace]
    asked = {"secrets", "configmaps"}
    return {(call.resource, call.name) for call in calls if call.resource in asked and call.verb == "get"}


def passes(stage: Stage, controller: str) -> float:
    """How many passes over objects of a kind have ended."""
    families = text_string_to_metric_families(stage.operator.metrics())
    named = (sample for family in families for sample in family.samples)
    ended = "controller_runtime_reconcile_total"
    return sum(s.value for s in named if s.name == ended and s.labels["controller"] == controller)


def at_rest(stage: Stage, controller: str) -> bool:
    """Whether no pass ends within a second: those of earlier scenarios are over."""
    before = passes(stage, controller)
    always(lambda: True, during=1)
    return passes(stage, controller) == before
