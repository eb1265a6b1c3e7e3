"""The circuit breaker's transitions."""

from __future__ import annotations

import pytest

from vso.runtime.breaker import Breaker, BreakerConfig, BreakerState, Closed, Open, after_asking, after_failure

CONFIG = BreakerConfig(threshold=3, probe_every=1.0)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(Closed(0), Closed(1), id="first"),
        pytest.param(Closed(1), Closed(2), id="second"),
        pytest.param(Closed(2), Open(10.0, 11.0), id="third-opens"),
        pytest.param(Open(5.0, 9.0), Open(5.0, 9.0), id="late-failures-change-nothing"),
    ],
)
def test_failures_in_a_row_open_it(state: BreakerState, expected: BreakerState) -> None:
    assert after_failure(state, 10.0, CONFIG) == expected


@pytest.mark.parametrize(
    ("state", "allowed", "expected"),
    [
        pytest.param(Closed(2), True, Closed(2), id="closed-lets-all-pass"),
        pytest.param(Open(9.5, 10.5), False, Open(9.5, 10.5), id="open-refuses"),
        pytest.param(Open(9.0, 10.0), True, Open(9.0, 11.0), id="a-probe-when-it-is-time"),
    ],
)
def test_who_may_pass(state: BreakerState, allowed: bool, expected: BreakerState) -> None:
    assert after_asking(state, 10.0, CONFIG) == (allowed, expected)


def test_while_open_one_probe_passes_per_second() -> None:
    breaker = Breaker()
    for _ in range(3):
        breaker.failure(0.0)
    tenths = [number / 10 for number in range(51)]
    assert [now for now in tenths if breaker.allow(now)] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert breaker.is_open


def test_a_success_closes_it_and_the_count_starts_anew() -> None:
    breaker = Breaker()
    breaker.failure(0.0)
    breaker.failure(0.0)
    breaker.success()
    breaker.failure(0.0)
    assert breaker.state == Closed(1)
    for _ in range(2):
        breaker.failure(0.0)
    assert breaker.is_open
    breaker.success()
    assert breaker.state == Closed(0)
    assert breaker.allow(0.0)


def test_it_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="threshold"):
        Breaker(threshold=0)
