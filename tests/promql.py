"""What a PromQL expression asks for, by a real parser."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    Matcher,
    MatchOp,
    MatrixSelector,
    VectorSelector,
    parse,
    walk,
)

TARGET = frozenset({"job", "namespace", "instance", "pod", "service", "endpoint", "container"})
"""The labels that Prometheus adds to every series of a target."""
OF_COUNTERS = frozenset({"rate", "irate", "increase"})


@dataclass
class Question:
    """The series that an expression selects, and the labels that it names beside."""

    series: list[VectorSelector] = field(default_factory=list)
    counted: set[str] = field(default_factory=set)
    """The metrics that are taken for counters."""
    labels: set[str] = field(default_factory=set)

    @property
    def names(self) -> set[str]:
        """The metrics that are asked for."""
        return {selector.name or "" for selector in self.series}


def question(text: str) -> Question:
    """Read an expression; ValueError for what Prometheus would refuse."""
    found = Question()

    def look(expr: Expr) -> None:
        if isinstance(expr, VectorSelector):
            found.series.append(expr)
        elif isinstance(expr, Call) and expr.func.name in OF_COUNTERS:
            found.counted |= {arg.vector_selector.name or "" for arg in expr.args if isinstance(arg, MatrixSelector)}
        elif isinstance(expr, AggregateExpr) and expr.modifier is not None:
            found.labels |= set(expr.modifier.labels)
        elif isinstance(expr, BinaryExpr) and expr.modifier is not None:
            matching = expr.modifier.matching
            found.labels |= set(matching.labels if matching is not None else ())
            found.labels |= set(expr.modifier.group_labels or ())

    walk(parse(text), look)
    return found


def matches(matcher: Matcher, value: str) -> bool:
    """Tell whether a label of that value is meant."""
    whole = re.escape(matcher.value) if matcher.op in (MatchOp.Equal, MatchOp.NotEqual) else matcher.value
    return bool(re.fullmatch(whole, value)) is (matcher.op in (MatchOp.Equal, MatchOp.Re))


def selects(selector: VectorSelector, series: Iterable[dict[str, str]]) -> bool:
    """Tell whether one of the series of the metric is meant, whatever target it is of."""
    wanted = [matcher for matcher in selector.matchers.matchers if matcher.name not in TARGET]
    return any(all(matches(matcher, labels.get(matcher.name, "")) for matcher in wanted) for labels in series)
