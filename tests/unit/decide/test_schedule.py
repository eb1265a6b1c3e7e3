from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vso.core.errors import ConfigError, Reason
from vso.decide.schedule import duration_of, phase, refresh_period, stale_after

MINUTE = timedelta(minutes=1)


@settings(deadline=None)
@given(st.text())
def test_a_phase_is_a_fraction_and_depends_on_the_text_alone(text: str) -> None:
    assert 0 <= phase(text) < 1
    assert phase(text) == phase(text)


def test_phases_are_spread() -> None:
    tenths = {int(phase(f"source-{number}") * 10) for number in range(200)}
    assert tenths == set(range(10))


def test_phases_stay_what_they_are() -> None:
    """Another value would make every source due at once after an upgrade."""
    assert phase("kv/app") == pytest.approx(PHASE_OF_KV_APP)


PHASE_OF_KV_APP = 0.28455202606928753


@pytest.mark.parametrize(
    ("text", "expected"), [(None, None), ("", None), ("0s", timedelta(0)), ("90s", 1.5 * MINUTE), ("1.5h", 90 * MINUTE)]
)
def test_duration_of(text: str | None, expected: timedelta | None) -> None:
    assert duration_of(text, "spec.refreshAfter") == expected


def test_duration_of_names_the_field() -> None:
    with pytest.raises(ConfigError, match=r"spec\.refreshAfter: 'soon'") as caught:
        duration_of("soon", "spec.refreshAfter")
    assert caught.value.reason is Reason.INVALID_SPEC


@pytest.mark.parametrize(
    ("refresh_after", "compared", "expected"),
    [
        pytest.param(5 * MINUTE, True, 5 * MINUTE, id="asked"),
        pytest.param(5 * MINUTE, False, 5 * MINUTE, id="asked-without-comparing"),
        pytest.param(None, True, MINUTE, id="unasked-is-a-minute"),
        pytest.param(None, False, None, id="unasked-and-not-compared-is-never"),
        pytest.param(timedelta(0), True, MINUTE, id="zero-is-unasked"),
        pytest.param(timedelta(0), False, None, id="zero-and-not-compared-is-never"),
    ],
)
def test_refresh_period(refresh_after: timedelta | None, compared: bool, expected: timedelta | None) -> None:
    assert refresh_period(refresh_after, compared=compared) == expected


@pytest.mark.parametrize(
    ("refresh_after", "asked", "expected"),
    [
        pytest.param(None, None, 10 * MINUTE, id="default"),
        pytest.param(MINUTE, None, 10 * MINUTE, id="three-times-a-short-period-is-less"),
        pytest.param(timedelta(hours=1), None, timedelta(hours=3), id="three-times-a-long-period"),
        pytest.param(timedelta(hours=1), MINUTE, MINUTE, id="asked"),
        pytest.param(None, timedelta(0), timedelta(0), id="asked-for-at-once"),
    ],
)
def test_stale_after(refresh_after: timedelta | None, asked: timedelta | None, expected: timedelta) -> None:
    assert stale_after(refresh_after, asked) == expected
