"""What the audit log says that the operator has asked for."""

from __future__ import annotations

from tests.conformance.stage import OPERATOR_USER, Stage
from tests.testbed.bed import Mark


def read_in(stage: Stage, mark: Mark, namespace: str) -> set[tuple[str, str]]:
    """The Secrets and ConfigMaps of a namespace that the operator has asked for."""
    calls = [call for call in stage.bed.kube_audit(mark) if call.user == OPERATOR_USER and call.namespace == namespace]
    asked = {"secrets", "configmaps"}
    return {(call.resource, call.name) for call in calls if call.resource in asked and call.verb == "get"}
