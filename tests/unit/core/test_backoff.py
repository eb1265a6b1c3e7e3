from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vso.core.backoff import Backoff

STEADY = Backoff(initial=5.0, maximum=60.0, multiplier=2.0, randomization=0.0)
DRAWS = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        pytest.param(0, 5.0, id="none-counts-as-the-first"),
        pytest.param(1, 5.0, id="first"),
        pytest.param(2, 10.0, id="second"),
        pytest.param(4, 40.0, id="fourth"),
        pytest.param(5, 60.0, id="capped"),
        pytest.param(10**9, 60.0, id="after-a-week-of-failures"),
    ],
)
def test_the_delay_grows_to_its_maximum(failures: int, expected: float) -> None:
    assert STEADY.delay(failures, 0.3) == expected


@pytest.mark.parametrize(("draw", "expected"), [(0.0, 2.5), (0.5, 5.0), (0.75, 6.25)])
def test_the_draw_spreads_it_both_ways(draw: float, expected: float) -> None:
    assert Backoff(initial=5.0, randomization=0.5).delay(1, draw) == pytest.approx(expected)


@given(
    initial=st.floats(0.001, 1e4),
    grow=st.floats(1, 1e4),
    multiplier=st.floats(1, 1e6),
    spread=st.floats(0, 0.99),
    failures=st.integers(0, 10**6),
    draw=DRAWS,
)
def test_every_delay_is_positive_and_bounded(
    initial: float, grow: float, multiplier: float, spread: float, failures: int, draw: float
) -> None:
    backoff = Backoff(initial, initial * grow, multiplier, spread)
    delay = backoff.delay(failures, draw)
    assert 0 < delay <= backoff.maximum * (1 + spread) * 1.001
    assert delay >= initial * (1 - spread) * 0.999


@given(st.integers(0, 500), DRAWS)
def test_one_more_failure_never_shortens_the_wait(failures: int, draw: float) -> None:
    assert Backoff().delay(failures + 1, draw) >= Backoff().delay(failures, draw)


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param((0.0, 60.0, 1.5, 0.5), id="no-initial"),
        pytest.param((5.0, 4.0, 1.5, 0.5), id="maximum-below-initial"),
        pytest.param((5.0, 60.0, 0.9, 0.5), id="shrinking"),
        pytest.param((5.0, 60.0, 1.5, 1.0), id="spread-to-nothing"),
        pytest.param((5.0, 60.0, 1.5, -0.1), id="negative-spread"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(numbers: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="back-off"):
        Backoff(*numbers)
