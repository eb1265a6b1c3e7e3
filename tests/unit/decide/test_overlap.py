from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.clock import T0
from vso.decide.lease import LeasePolicy
from vso.decide.overlap import Overlap, prolong_by


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


OVERLAP = Overlap("x", since=T0, ends=after(100), latest=after(1000), life=timedelta(seconds=100))
POLICY = LeasePolicy(renewal_percent=60, phase=0.0, adopted_at=T0)


@pytest.mark.parametrize(
    ("changes", "seconds", "expected"),
    [
        pytest.param({}, 59, None, id="early"),
        pytest.param({}, 60, 100, id="at-its-share"),
        pytest.param({}, 99, 100, id="late-and-alive"),
        pytest.param({}, 100, None, id="over"),
        pytest.param({"latest": after(120)}, 60, 60, id="no-longer-than-the-overlap"),
        pytest.param({"latest": after(100)}, 60, None, id="it-lasts-as-long-as-the-overlap"),
        pytest.param({"latest": after(102.5)}, 60, None, id="two-seconds-are-nothing"),
        pytest.param({"life": timedelta(seconds=40)}, 60, None, id="its-successor-lives-shorter"),
        pytest.param({"life": timedelta(0)}, 60, None, id="its-successor-has-no-life"),
        pytest.param({"since": after(40), "ends": after(140)}, 60, None, id="renewed-a-while-ago"),
        pytest.param({"ends": after(9)}, 3, 100, id="hardly-anything-left"),
        pytest.param({"ends": after(-5)}, 0, None, id="over-before-it-was-replaced"),
    ],
)
def test_what_to_ask_for(changes: dict[str, Any], seconds: float, expected: float | None) -> None:
    asked = prolong_by(replace(OVERLAP, **changes), after(seconds), POLICY)
    assert asked == (None if expected is None else timedelta(seconds=expected))


@given(st.integers(1, 5000), st.integers(-100, 5000), st.integers(0, 5000), st.integers(0, 90), st.floats(0, 0.99))
def test_no_renewal_moves_the_end_past_the_overlap_nor_back(
    left: int, more: int, life: int, percent: int, place: float
) -> None:
    overlap = Overlap("x", T0, after(left), after(left + more), timedelta(seconds=life))
    for tenth in range(11):
        now = after(left * tenth / 10)
        asked = prolong_by(overlap, now, LeasePolicy(percent, place, T0))
        assert asked is None or overlap.ends < now + asked <= overlap.latest
