"""The circuit breaker's transitions."""

from __future__ import annotations

import pytest

from vso.runtime.breaker import (
    Breaker,
    BreakerConfig,
    BreakerState,
    Closed,
    Open,
    Trying,
    after_answer,
    after_failure,
    after_leaving,
    after_probe,
    entering,
    settled,
)

NOW = 1000.0
CONFIG = BreakerConfig()


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(Closed(0), Closed(1), id="first"),
        pytest.param(Closed(1), Closed(2), id="second"),
        pytest.param(Closed(2), Open(1001.0), id="third-opens"),
        pytest.param(Closed(2, since=940.0, relapses=4), Open(1001.0, 0), id="after-a-sound-minute-it-is-a-new-story"),
        pytest.param(Closed(2, since=941.0, relapses=4), Open(1030.0, 5), id="sooner-it-is-a-relapse"),
        pytest.param(Closed(2, since=999.0), Open(1002.0, 1), id="the-first-relapse-doubles-the-pause"),
        pytest.param(Open(1009.0, 2), Open(1009.0, 2), id="late-failures-change-nothing"),
        pytest.param(
            Trying(1004.0, 2, 1, 1, 0), Trying(1001.0, 2, 1, 0, 1), id="one-of-a-trial-leaves-others-a-moment"
        ),
        pytest.param(Trying(1000.5, 0, 1, 2, 1), Trying(1000.5, 0, 1, 1, 2), id="a-moment-is-not-prolonged"),
        pytest.param(Trying(1004.0, 0, 1, 1, 2), Open(1004.0, 2), id="the-third-of-a-trial-is-a-relapse"),
    ],
)
def test_failures_in_a_row_open_it(state: BreakerState, expected: BreakerState) -> None:
    assert after_failure(state, NOW, CONFIG) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (Closed(2, 5.0, 1), Closed(0, 5.0, 1)),
        (Trying(1004.0, 1, 2, 2, 1), Closed(0, NOW, 2)),
        (Open(1009.0), Open(1009.0)),
    ],
)
def test_an_answer_ends_a_trial_and_a_row_of_failures(state: BreakerState, expected: BreakerState) -> None:
    assert after_answer(state, NOW) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(Closed(2), Closed(2), id="closed-lets-all-pass"),
        pytest.param(Open(0.0), None, id="open-refuses"),
        pytest.param(Trying(1004.0, 1, 0, 2), Trying(1004.0, 0, 0, 3), id="a-ticket"),
        pytest.param(Trying(1004.0, 0, 0, 3), None, id="no-ticket-left"),
    ],
)
def test_who_may_pass(state: BreakerState, expected: BreakerState | None) -> None:
    assert entering(state) == expected
    if isinstance(expected, Trying):
        assert after_leaving(expected) == state


@pytest.mark.parametrize(
    ("state", "well", "expected"),
    [
        (Open(NOW, 3), False, Open(1001.0, 3)),
        (Open(NOW, 3), True, Trying(1005.0, 3, 3)),
        (Closed(1), False, Closed(1)),
        (Trying(1005.0, 3), False, Trying(1005.0, 3)),
    ],
)
def test_a_good_probe_begins_a_trial_and_closes_nothing(
    state: BreakerState, well: bool, expected: BreakerState
) -> None:
    assert after_probe(state, NOW, CONFIG, well=well) == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(Trying(1000.1, 3), Trying(1000.1, 3), id="it-has-time-left"),
        pytest.param(Trying(NOW, 2, 0, 1, 0), Trying(1001.0, 2, 0, 1, 0), id="one-is-under-way"),
        pytest.param(Trying(NOW, 3, 1), Closed(0, NOW, 1), id="nobody-came-and-nothing-speaks-against-it"),
        pytest.param(Trying(NOW, 2, 1, 0, 1), Open(1004.0, 2), id="the-only-one-failed"),
        pytest.param(Closed(1), Closed(1), id="closed"),
        pytest.param(Open(1.0), Open(1.0), id="open"),
    ],
)
def test_a_trial_ends_by_its_time_as_well(state: BreakerState, expected: BreakerState) -> None:
    assert settled(state, NOW, CONFIG) == expected


def test_pauses_double_up_to_the_longest() -> None:
    assert [CONFIG.pause(relapses) for relapses in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert CONFIG.pause(100_000) == 30


def test_what_was_sent_before_the_opening_says_nothing_about_now() -> None:
    breaker = Breaker()
    late = [breaker.enter() for _ in range(6)]
    for ticket in late[:3]:
        breaker.failed(ticket, 0.0)
    breaker.probed(1.0, well=True)
    trial = breaker.enter()
    breaker.answered(late[3], 1.0)
    breaker.failed(late[4], 1.0)
    breaker.left(late[5])
    states = [breaker.state]
    breaker.answered(trial, 1.0)
    breaker.failed(late[4], 2.0)
    states.append(breaker.state)
    assert states == [Trying(6.0, 2, 0, 1, 0), Closed(0, 1.0, 0)]


def test_a_server_that_only_says_that_it_is_well_is_tried_ever_more_rarely() -> None:
    breaker, now, passed, probes = Breaker(), 0.0, 0, []
    while now < 300:
        if breaker.passable:
            breaker.failed(breaker.enter(), now)
            passed += 1
        elif now >= (breaker.next_at() or 0.0):
            probes.append(now)
            breaker.probed(now, well=True)
        else:
            now += 0.5
    assert probes == [1, 3, 7, 15, 31, 61, 91, 121, 151, 181, 211, 241, 271]
    assert passed == 3 + 3 * len(probes)


def test_it_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="threshold"):
        Breaker(BreakerConfig(threshold=0))
