"""What an operator's metrics say, as a Prometheus server would understand them."""

from __future__ import annotations

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.testbed.operator import Operator


def families(operator: Operator) -> list[Metric]:
    """The metrics as a Prometheus server would understand them."""
    return list(text_string_to_metric_families(operator.metrics()))


def samples(operator: Operator, name: str, /, **labels: str) -> dict[frozenset[tuple[str, str]], float]:
    """The series of that name that have the labels, and their values."""
    return {
        frozenset(sample.labels.items()): sample.value
        for family in families(operator)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    }


def total(operator: Operator, name: str, /, **labels: str) -> float:
    return sum(samples(operator, name, **labels).values())
