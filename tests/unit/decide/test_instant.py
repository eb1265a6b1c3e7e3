"""What a message of Vault means, how a stream fares, and what the status says of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.clock import T0
from tests.fakes.vault_events import written
from vso.api.meta import Condition
from vso.core.backoff import Backoff
from vso.core.errors import Reason
from vso.decide.instant import (
    INSTANT_UPDATES,
    PATIENCE,
    STABLE,
    UP,
    Change,
    Course,
    change_of,
    conditions_with,
    down,
    news,
    plain_namespace,
    without,
)

AWAY = down(Reason.VAULT_UNAVAILABLE, "Vault is away")
FORBIDDEN = down(Reason.EVENTS_FORBIDDEN, "permission denied on sys/events/subscribe/kv*.")
READY = Condition(type="Ready", status="True", reason="Ready", observed_generation=1, last_transition_time=T0)
RECONCILING = Condition(type="Reconciling", status="True", reason="VaultUnavailable", last_transition_time=T0)


@pytest.mark.parametrize("modified", [True, "true", "True", "1", "t"])
def test_a_write_changes_its_path(modified: str | bool) -> None:
    assert change_of(written("kv/data/app", modified=modified)) == Change("", frozenset({"kv/data/app"}))


@pytest.mark.parametrize("modified", [False, "false", "0", "", "yes", None, 1, ["true"]])
def test_what_modifies_nothing_is_no_change(modified: Any) -> None:
    assert change_of(written("kv/data/app", modified=modified)) is None


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"data": None},
        {"data": {"event": "text"}},
        {"data": {"event": {"metadata": []}}},
        {"data": {"event": {"metadata": {"modified": "true"}}}},
        {"data": {"event": {"metadata": {"modified": "true", "path": 7, "data_path": "/"}}}},
    ],
)
def test_what_is_no_notification_is_no_change(message: Any) -> None:
    assert change_of(message) is None


def test_an_undelete_changes_what_it_brings_back() -> None:
    found = change_of(written("kv/undelete/app", data_path="kv/data/app", namespace="ns/team/"))
    assert found == Change("ns/team", frozenset({"kv/undelete/app", "kv/data/app"}))


@pytest.mark.parametrize(
    ("name", "plain"),
    [("", ""), ("/", ""), ("root", ""), ("team", "team"), ("/ns/team/", "ns/team"), ("root/x", "root/x")],
)
def test_a_namespace_is_compared_without_its_slashes(name: str, plain: str) -> None:
    assert plain_namespace(name) == plain


def test_one_loss_of_a_stream_says_nothing() -> None:
    lost = Course().opened(0.0).failed(AWAY, STABLE)
    assert lost.standing is UP
    assert lost.pause(Backoff(), 0.5) == 0.5


def test_trouble_that_lasts_is_told_once_and_with_its_first_reason() -> None:
    course = Course().opened(0.0)
    for _ in range(PATIENCE - 1):
        course = course.failed(AWAY, 1.0)
    assert course.standing is UP
    course = course.failed(AWAY, 1.0)
    assert course.standing == AWAY
    assert course.failed(down(Reason.VAULT_ANSWER_INVALID, "a page"), 1.0).standing == AWAY


def test_a_stream_that_breaks_all_the_time_is_told_down_once_and_up_when_it_lasts() -> None:
    course, told = Course(), []
    for number in range(40):
        course = course.opened(number * 10.0).settled(number * 10.0 + 5)
        told.append(course.standing)
        course = course.failed(AWAY, number * 10.0 + 5)
        told.append(course.standing)
    assert told == [UP] * 15 + [AWAY] * 65
    open_again = course.opened(1000.0)
    assert open_again.settled(1000.0 + STABLE - 1).standing == AWAY
    assert open_again.settled(1000.0 + STABLE).standing is UP
    assert open_again.settled(1000.0 + STABLE).failures == 0


def test_trouble_from_the_start_is_unknown_until_it_lasts() -> None:
    course = Course()
    for number in range(PATIENCE):
        assert course.standing is None, number
        course = course.failed(AWAY, 0.0)
    assert course.standing == AWAY


def test_pauses_grow_and_begin_anew_after_a_time_in_order() -> None:
    backoff = Backoff(initial=5, maximum=60, multiplier=2, randomization=0)
    course, pauses = Course(), []
    for _ in range(7):
        course = course.failed(AWAY, 0.0)
        pauses.append(course.pause(backoff, 0.5))
    assert pauses == [0.5, 5, 10, 20, 40, 60, 60]
    assert course.opened(100.0).failed(AWAY, 100.0 + STABLE - 1).pause(backoff, 0.5) == 60
    assert course.opened(100.0).failed(AWAY, 100.0 + STABLE).pause(backoff, 0.5) == 0.5


def test_another_token_is_no_failure_unless_they_come_too_often() -> None:
    course = Course().opened(0.0).renewed(STABLE)
    assert (course.standing, course.failures, course.pause(Backoff(), 0.5)) == (UP, 0, 0.0)
    often = Course().opened(0.0).renewed(1.0).opened(1.0).renewed(2.0)
    assert often.failures == 2
    assert often.pause(Backoff(), 0.5) == 5.0


def test_a_refusal_is_told_at_once() -> None:
    assert Course().refused(FORBIDDEN).standing is FORBIDDEN
    assert FORBIDDEN.message.startswith("permission denied on sys/events/subscribe/kv*; ")
    assert FORBIDDEN.message.endswith("; polling goes on as spec.refreshAfter says")


def test_the_condition_stands_beside_the_others_and_changes_none() -> None:
    conditions = conditions_with((RECONCILING, READY), FORBIDDEN, 3, T0, asked=True)
    assert conditions[:2] == (RECONCILING, READY)
    assert (conditions[2].type, conditions[2].status, conditions[2].reason) == (
        INSTANT_UPDATES,
        "False",
        "EventsForbidden",
    )
    assert conditions_with(conditions, FORBIDDEN, 3, T0, asked=True) == conditions


def test_while_nothing_is_known_what_was_said_stays() -> None:
    conditions = conditions_with((READY,), UP, 3, T0, asked=True)
    assert conditions_with(conditions, None, 3, T0, asked=True) == conditions
    assert conditions_with((READY,), None, 3, T0, asked=True) == (READY,)


def test_the_condition_goes_with_the_wish() -> None:
    conditions = conditions_with((READY,), UP, 3, T0, asked=True)
    assert conditions_with(conditions, UP, 4, T0, asked=False) == (READY,) == without(conditions)


def test_an_event_goes_out_when_the_standing_changes_and_not_again() -> None:
    first = news((READY,), UP, asked=True)
    assert first is not None
    assert (first.type, first.reason) == ("Normal", Reason.EVENT_WATCHER_STARTED)
    said = conditions_with((READY,), UP, 3, T0, asked=True)
    assert news(said, UP, asked=True) is None
    second = news(said, FORBIDDEN, asked=True)
    assert second is not None
    assert (second.type, second.reason) == ("Warning", Reason.EVENT_WATCHER_ERROR)
    assert second.message.startswith("EventsForbidden: ")
    assert news(said, None, asked=True) is news(said, FORBIDDEN, asked=False) is None
