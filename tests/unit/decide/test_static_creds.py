from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.clock import T0
from vso.api.secrets import StaticCredsMetaData, VaultDynamicSecretStatus
from vso.core.errors import ConfigError, Reason
from vso.core.numbers import JsonNumber
from vso.decide.static_creds import (
    PATIENCE,
    Question,
    Rotation,
    boundary,
    due_at,
    lasting,
    look_at,
    moved,
    rotation_of,
    wait_for,
)


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


HOURLY = Rotation(T0, 3600, "", 3600)
CRON = Rotation(T0, 0, "0 * * * *", 3600)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param({}, None, id="not-rotated"),
        pytest.param({"last_vault_rotation": "2026-01-01T12:00:00Z"}, None, id="no-rule"),
        pytest.param({"rotation_period": JsonNumber("60"), "ttl": JsonNumber("5")}, None, id="never-rotated"),
        pytest.param(
            {
                "last_vault_rotation": "2026-01-01T12:00:00.123456789Z",
                "rotation_period": JsonNumber("60"),
                "ttl": JsonNumber("5"),
            },
            Rotation(after(0.123456), 60, "", 5),
            id="period-and-nanoseconds",
        ),
        pytest.param(
            {"last_vault_rotation": "2026-01-01T14:00:00+02:00", "rotation_schedule": "0 * * * *", "ttl": 7},
            Rotation(T0, 0, "0 * * * *", 7),
            id="schedule",
        ),
    ],
)
def test_what_an_answer_tells(data: dict[str, object], expected: Rotation | None) -> None:
    assert rotation_of(data, "database/static-creds/app") == expected


def test_a_time_that_is_none_is_refused_with_the_path_and_without_the_text() -> None:
    with pytest.raises(ConfigError, match="database/static-creds/app") as caught:
        rotation_of({"last_vault_rotation": "s3cret", "rotation_period": 5}, "database/static-creds/app")
    assert caught.value.reason is Reason.SOURCE_INVALID
    assert "s3cret" not in str(caught.value)


def test_exactly_the_volatile_keys_are_left_out() -> None:
    kept = ("username", "password", "ttl_of_mine", "my_raw", "x_rotation_period_x", "attl")
    left_out = ("ttl", "rotation_schedule", "rotation_period", "last_vault_rotation", "_raw")
    assert set(lasting(dict.fromkeys((*kept, *left_out), 1))) == set(kept)


KNOWN = HOURLY.told()
SEEN = Question(KNOWN, due=False, needed=False, waited=timedelta(0))
DUE = Question(KNOWN, due=True, needed=False, waited=timedelta(0))
ASKED = Question(KNOWN, due=False, needed=True, waited=timedelta(0))
FIRST = Question(None, due=False, needed=True, waited=timedelta(0))
PAUSE = 0.5


def told(rotated: float = 0, ttl: int = 3600, period: int = 3600, schedule: str = "") -> Rotation:
    return Rotation(after(rotated), period, schedule, ttl)


@pytest.mark.parametrize(
    ("rotation", "question", "seconds", "expected"),
    [
        pytest.param(told(ttl=1800), FIRST, 1800, None, id="first-and-quiet"),
        pytest.param(told(ttl=0), FIRST, 3600, PAUSE, id="first-and-the-ttl-is-over"),
        pytest.param(told(ttl=3600), FIRST, 3600, PAUSE, id="first-and-the-ttl-started-again-early"),
        pytest.param(told(ttl=1790), FIRST, 1840, None, id="first-and-clocks-that-differ"),
        pytest.param(told(ttl=1800), ASKED, 1800, None, id="asked-for-between-rotations"),
        pytest.param(told(ttl=0), ASKED, 3600, PAUSE, id="asked-for-at-a-rotation"),
        pytest.param(told(ttl=1800), SEEN, 1800, None, id="the-same-between-rotations"),
        pytest.param(told(ttl=0), DUE, 3601, PAUSE, id="due-and-the-ttl-is-over"),
        pytest.param(told(ttl=3600), DUE, 3601, PAUSE, id="due-and-the-ttl-started-again-early"),
        pytest.param(told(ttl=1), DUE, 3600, 1.5, id="due-and-vault-rounds"),
        pytest.param(told(3600), DUE, 3601, None, id="due-and-rotated"),
        pytest.param(told(3600, ttl=0), DUE, 3601, PAUSE, id="rotated-and-at-the-next-already"),
        pytest.param(told(1000, ttl=2700), SEEN, 1900, None, id="rotated-by-hand"),
        pytest.param(told(-60, ttl=2700), SEEN, 900, PAUSE, id="older-than-what-we-have"),
        pytest.param(told(ttl=7200, period=7200), DUE, 3601, None, id="another-period"),
        pytest.param(told(ttl=60, period=0, schedule="* * * * *"), DUE, 3601, None, id="another-rule"),
    ],
)
def test_an_answer_is_taken_or_waited_for(
    rotation: Rotation, question: Question, seconds: float, expected: float | None
) -> None:
    waits = wait_for(rotation, question, after(seconds))
    assert waits == (None if expected is None else timedelta(seconds=expected))


@pytest.mark.parametrize(
    ("rotation", "question", "taken"),
    [
        pytest.param(told(ttl=0), FIRST, True, id="the-first-password-in-the-end"),
        pytest.param(told(ttl=0), ASKED, True, id="what-was-asked-for-in-the-end"),
        pytest.param(told(ttl=0), DUE, False, id="nothing-new-is-waited-for"),
        pytest.param(told(ttl=3600), DUE, True, id="a-rotation-that-was-left-out"),
        pytest.param(told(-60), DUE, True, id="a-vault-that-was-put-back"),
    ],
)
def test_patience_has_an_end(rotation: Rotation, question: Question, taken: bool) -> None:
    waits = wait_for(rotation, Question(question.known, question.due, question.needed, PATIENCE), after(3601))
    assert (waits is None) is taken
    if waits is not None:
        assert waits == timedelta(seconds=30)


def test_the_waits_grow_by_half_from_half_a_second_to_half_a_minute() -> None:
    waited, pauses = 0.0, []
    while waited < 300:
        pause = wait_for(told(ttl=0), Question(KNOWN, True, False, timedelta(seconds=waited)), after(3600))
        assert pause is not None
        pauses.append(pause.total_seconds())
        waited += pauses[-1]
    assert pauses[:3] == [0.5, 0.5, 0.5]
    assert max(pauses) == 30
    assert all(later <= sooner * 1.5 + 1e-6 or later == 0.5 for sooner, later in itertools.pairwise(pauses))


@given(st.integers(-2, 5), st.floats(0, 50), st.booleans(), st.booleans())
def test_a_password_that_the_ttl_says_is_over_is_never_taken_while_patience_lasts(
    ttl: int, waited: float, due: bool, needed: bool
) -> None:
    question = Question(KNOWN, due, needed, timedelta(seconds=waited))
    waits = wait_for(told(ttl=ttl), question, after(3600))
    assert waits is not None or ttl > 0
    assert waits is None or waits >= timedelta(seconds=0.5)


def status(seen: StaticCredsMetaData | None, at: float = 0) -> VaultDynamicSecretStatus:
    return VaultDynamicSecretStatus(last_renewal_time=int(after(at).timestamp()), static_creds_meta_data=seen)


def test_the_next_look_is_a_little_after_the_rotation() -> None:
    assert boundary(status(KNOWN)) == after(3600)
    assert due_at(status(KNOWN), 0.0) == after(3600.5)
    assert after(3600.5) < (due_at(status(KNOWN), 0.999) or T0) < after(3600.65)
    assert due_at(status(None), 0.0) is None


def test_looks_for_a_rotation_by_hand_lie_on_a_grid_that_a_restart_keeps() -> None:
    first = look_at(after(1), timedelta(minutes=1), 0.25)
    assert first == after(15)
    assert look_at(after(14.9), timedelta(minutes=1), 0.25) == first
    assert look_at(first, timedelta(minutes=1), 0.25) == after(75)


@pytest.mark.parametrize(
    ("rotation", "seconds", "expected"),
    [
        pytest.param(told(ttl=2600), 1000, False, id="counted-down"),
        pytest.param(told(ttl=2597), 1000, False, id="rounded"),
        pytest.param(told(ttl=3600), 1000, True, id="counted-anew"),
        pytest.param(told(1000), 1000, True, id="rotated"),
        pytest.param(told(ttl=2600, period=7200), 1000, True, id="another-period"),
        pytest.param(None, 1000, True, id="not-rotated-any-more"),
    ],
)
def test_counting_down_is_nothing_new(rotation: Rotation | None, seconds: float, expected: bool) -> None:
    assert moved(status(KNOWN), rotation, after(seconds)) is expected


def test_a_rule_that_appears_is_new() -> None:
    assert moved(status(None), CRON, T0)
    assert not moved(status(None), None, T0)
