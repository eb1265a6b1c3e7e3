from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vso.api.access import VaultConnectionStatus
from vso.api.meta import Condition, Status
from vso.api.secrets import VaultStaticSecretStatus
from vso.core.errors import ConfigError, ExpiredError, Reason, TerminalError, TransientError, VsoError
from vso.decide.assess import Assessment, News, assess
from vso.decide.conditions import Finding, changed, find_condition
from vso.decide.outcome import Cure, Failing, InOrder, Outcome, Policy, Standing, Suspended

T0 = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
POLICY = Policy(stale_after=timedelta(minutes=10))
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

AWAY = Failing.of(TransientError(Reason.VAULT_UNAVAILABLE, "Vault at https://vault:8200 does not answer"))
SEALED = Failing.of(TransientError(Reason.VAULT_SEALED, "Vault at https://vault:8200 is sealed"))
THROTTLED = Failing.of(TransientError(Reason.VAULT_THROTTLED, "slow down (429)"))
DANGLING = Failing.of(
    ConfigError(Reason.REFERENCE_NOT_FOUND, "vaultAuthRef names VaultAuth a/va, which does not exist")
)
FORBIDDEN = Failing.of(ConfigError(Reason.VAULT_PERMISSION_DENIED, "read on kv/data/app is denied"))
MISSING = Failing.of(ConfigError(Reason.SOURCE_KEY_MISSING, "kv/app has no field 'x'"))
UNSUPPORTED = Failing.of(TerminalError(Reason.UNSUPPORTED, "HCPAuth has no controller"))
GONE = Failing.of(ConfigError(Reason.SOURCE_NOT_FOUND, "nothing at kv/app"))

NEW = VaultStaticSecretStatus()


def after(*steps: tuple[Outcome, timedelta], start: Status = NEW, generation: int = 1) -> Status:
    """Return the status that a series of passes leaves, each so long after T0."""
    status = start
    for outcome, at in steps:
        status = assess(outcome, status, generation, T0 + at, POLICY).on(status)
    return status


def shape(assessment: Assessment) -> dict[str, tuple[str, str]]:
    return {condition.type: (condition.status, condition.reason) for condition in assessment.conditions}


SYNCED = after((InOrder(), timedelta(0)))
HELD = after((AWAY, MINUTE), start=SYNCED)
STALE = after((AWAY, 12 * MINUTE), start=HELD)
STUCK = after((FORBIDDEN, MINUTE), start=SYNCED)

IN_ORDER = {"Ready": ("True", "Ready"), "Healthy": ("True", "Healthy"), "SecretSynced": ("True", "Synced")}


def holding(reason: str) -> dict[str, tuple[str, str]]:
    return {"Ready": ("True", "Ready"), "Healthy": ("False", reason), "SecretSynced": ("False", "Synced")}


def under_way(reason: str) -> dict[str, tuple[str, str]]:
    failed = ("False", reason)
    return {"Reconciling": ("True", reason), "Ready": failed, "Healthy": failed, "SecretSynced": ("False", "Synced")}


def stalled(reason: str) -> dict[str, tuple[str, str]]:
    failed = ("False", reason)
    return {"Stalled": ("True", reason), "Ready": failed, "Healthy": failed, "SecretSynced": ("False", "Synced")}


@pytest.mark.parametrize(
    ("outcome", "previous", "generation", "at", "standing", "expected"),
    [
        pytest.param(InOrder(), NEW, 1, 0 * MINUTE, Standing.IN_ORDER, IN_ORDER, id="in-order"),
        pytest.param(InOrder(), STALE, 1, 20 * MINUTE, Standing.IN_ORDER, IN_ORDER, id="in-order-again"),
        pytest.param(
            AWAY,
            NEW,
            1,
            0 * MINUTE,
            Standing.UNDER_WAY,
            under_way("VaultUnavailable"),
            id="first-sync-while-vault-is-away",
        ),
        pytest.param(
            AWAY,
            SYNCED,
            2,
            MINUTE,
            Standing.UNDER_WAY,
            under_way("VaultUnavailable"),
            id="first-sync-of-a-new-generation",
        ),
        pytest.param(
            AWAY, SYNCED, 1, MINUTE, Standing.HOLDING, holding("VaultUnavailable"), id="vault-away-after-a-sync"
        ),
        pytest.param(SEALED, HELD, 1, 5 * MINUTE, Standing.HOLDING, holding("VaultUnavailable"), id="then-sealed"),
        pytest.param(
            AWAY,
            HELD,
            1,
            11 * MINUTE - SECOND,
            Standing.HOLDING,
            holding("VaultUnavailable"),
            id="just-before-it-is-stale",
        ),
        pytest.param(AWAY, HELD, 1, 11 * MINUTE, Standing.UNDER_WAY, under_way("VaultUnavailable"), id="stale"),
        pytest.param(AWAY, STALE, 1, 30 * MINUTE, Standing.UNDER_WAY, under_way("VaultUnavailable"), id="stays-stale"),
        pytest.param(
            replace(AWAY, data_age=9 * MINUTE),
            SYNCED,
            1,
            MINUTE,
            Standing.HOLDING,
            holding("VaultUnavailable"),
            id="known-age",
        ),
        pytest.param(
            replace(AWAY, data_age=10 * MINUTE),
            SYNCED,
            1,
            MINUTE,
            Standing.UNDER_WAY,
            under_way("VaultUnavailable"),
            id="known-age-is-stale",
        ),
        pytest.param(
            replace(AWAY, remaining=60 * MINUTE),
            HELD,
            1,
            50 * MINUTE,
            Standing.HOLDING,
            holding("VaultUnavailable"),
            id="a-lease-that-lives-on",
        ),
        pytest.param(
            replace(AWAY, remaining=timedelta(0)),
            SYNCED,
            1,
            MINUTE,
            Standing.UNDER_WAY,
            under_way("VaultUnavailable"),
            id="a-lease-that-has-ended",
        ),
        pytest.param(
            AWAY,
            STUCK,
            1,
            2 * MINUTE,
            Standing.UNDER_WAY,
            under_way("VaultUnavailable"),
            id="an-outage-makes-nothing-ready",
        ),
        pytest.param(
            DANGLING, NEW, 1, 0 * MINUTE, Standing.UNDER_WAY, under_way("ReferenceNotFound"), id="dangling-at-first"
        ),
        pytest.param(
            DANGLING,
            after((DANGLING, timedelta(0))),
            1,
            29 * SECOND,
            Standing.UNDER_WAY,
            under_way("ReferenceNotFound"),
            id="dangling-for-29-s",
        ),
        pytest.param(
            DANGLING,
            after((DANGLING, timedelta(0))),
            1,
            30 * SECOND,
            Standing.STALLED,
            stalled("ReferenceNotFound"),
            id="dangling-for-30-s",
        ),
        pytest.param(
            DANGLING,
            after((DANGLING, timedelta(0)), (DANGLING, MINUTE)),
            1,
            2 * MINUTE,
            Standing.STALLED,
            stalled("ReferenceNotFound"),
            id="dangling-on-stays-stalled",
        ),
        pytest.param(
            DANGLING,
            after((DANGLING, timedelta(0)), (DANGLING, MINUTE)),
            2,
            2 * MINUTE,
            Standing.UNDER_WAY,
            under_way("ReferenceNotFound"),
            id="a-new-generation-has-its-own-patience",
        ),
        pytest.param(
            replace(DANGLING, lasting=31 * SECOND),
            after((AWAY, timedelta(0))),
            1,
            SECOND,
            Standing.STALLED,
            stalled("ReferenceNotFound"),
            id="a-known-duration-counts",
        ),
        pytest.param(
            DANGLING, SYNCED, 1, MINUTE, Standing.UNDER_WAY, under_way("ReferenceNotFound"), id="dangling-after-a-sync"
        ),
        pytest.param(MISSING, NEW, 1, 0 * MINUTE, Standing.STALLED, stalled("SourceKeyMissing"), id="missing-field"),
        pytest.param(FORBIDDEN, SYNCED, 1, MINUTE, Standing.STALLED, stalled("VaultPermissionDenied"), id="forbidden"),
        pytest.param(UNSUPPORTED, NEW, 1, 0 * MINUTE, Standing.STALLED, stalled("Unsupported"), id="unsupported"),
        pytest.param(GONE, NEW, 1, 0 * MINUTE, Standing.STALLED, stalled("SourceNotFound"), id="never-there"),
        pytest.param(GONE, SYNCED, 1, MINUTE, Standing.STALLED, stalled("SourceDeleted"), id="there-before"),
        pytest.param(GONE, SYNCED, 2, MINUTE, Standing.STALLED, stalled("SourceNotFound"), id="another-path-perhaps"),
        pytest.param(Suspended(), SYNCED, 1, MINUTE, Standing.RESTING, IN_ORDER, id="suspended"),
        pytest.param(
            Suspended(), HELD, 2, 2 * MINUTE, Standing.RESTING, holding("VaultUnavailable"), id="suspended-in-an-outage"
        ),
        pytest.param(
            Suspended(),
            STUCK,
            2,
            2 * MINUTE,
            Standing.RESTING,
            {key: value for key, value in stalled("VaultPermissionDenied").items() if key != "Stalled"},
            id="suspended-while-stalled",
        ),
        pytest.param(
            Suspended(),
            NEW,
            1,
            0 * MINUTE,
            Standing.RESTING_UNSYNCED,
            {"Ready": ("False", "Suspended")},
            id="suspended-and-never-synced",
        ),
        pytest.param(
            Suspended(),
            after((AWAY, timedelta(0))),
            2,
            MINUTE,
            Standing.RESTING_UNSYNCED,
            {"Ready": ("False", "Suspended"), "SecretSynced": ("False", "Synced")},
            id="suspended-before-it-could-sync",
        ),
    ],
)
def test_the_contract(
    outcome: Outcome,
    previous: Status,
    generation: int,
    at: timedelta,
    standing: Standing,
    expected: dict[str, tuple[str, str]],
) -> None:
    found = assess(outcome, previous, generation, T0 + at, POLICY)
    assert found.standing is standing
    assert shape(found) == expected
    assert found.observed_generation == generation


VALID = VaultConnectionStatus()
REACHED = after((InOrder(), timedelta(0)), start=VALID)


@pytest.mark.parametrize(
    ("outcome", "previous", "generation", "expected"),
    [
        pytest.param(InOrder(), VALID, 1, {"Ready": "True", "Healthy": "True"}, id="in-order"),
        pytest.param(AWAY, VALID, 1, {"Reconciling": "True", "Ready": "False", "Healthy": "False"}, id="never-reached"),
        pytest.param(AWAY, REACHED, 1, {"Ready": "True", "Healthy": "False"}, id="away"),
        pytest.param(
            AWAY, REACHED, 2, {"Reconciling": "True", "Ready": "False", "Healthy": "False"}, id="away-and-edited"
        ),
        pytest.param(FORBIDDEN, REACHED, 1, {"Stalled": "True", "Ready": "False", "Healthy": "False"}, id="human"),
    ],
)
def test_kinds_without_a_secret_have_the_same_contract(
    outcome: Outcome, previous: Status, generation: int, expected: dict[str, str]
) -> None:
    found = assess(outcome, previous, generation, T0 + MINUTE, POLICY)
    assert {condition.type: condition.status for condition in found.conditions} == expected
    assert found.last_generation is None
    assert found.on(previous).observed_generation == generation


@pytest.mark.parametrize(
    ("outcome", "previous", "generation", "expected"),
    [
        pytest.param(InOrder(), NEW, 4, 4, id="success"),
        pytest.param(AWAY, SYNCED, 4, 1, id="a-failure-keeps-the-old-one"),
        pytest.param(Suspended(), SYNCED, 4, 1, id="rest-keeps-the-old-one"),
        pytest.param(MISSING, NEW, 4, 0, id="never-synced"),
    ],
)
def test_last_generation_moves_on_success_alone(
    outcome: Outcome, previous: Status, generation: int, expected: int
) -> None:
    found = assess(outcome, previous, generation, T0, POLICY).on(previous)
    assert isinstance(found, VaultStaticSecretStatus)
    assert (found.observed_generation, found.last_generation) == (generation, expected)


@pytest.mark.parametrize(
    ("outcome", "previous", "at", "expected"),
    [
        pytest.param(InOrder(), NEW, timedelta(0), None, id="in-order"),
        pytest.param(AWAY, NEW, timedelta(0), None, id="not-ready-anyway"),
        pytest.param(AWAY, SYNCED, MINUTE, 600.0, id="ready-until-stale"),
        pytest.param(AWAY, HELD, 4 * MINUTE, 420.0, id="ready-for-a-while-yet"),
        pytest.param(replace(AWAY, remaining=90 * SECOND), SYNCED, MINUTE, 90.0, id="ready-until-the-lease-ends"),
        pytest.param(DANGLING, NEW, timedelta(0), 5.0, id="dangling-is-looked-at-often"),
        pytest.param(DANGLING, after((DANGLING, timedelta(0))), 28 * SECOND, 2.0, id="the-end-of-patience"),
        pytest.param(FORBIDDEN, SYNCED, MINUTE, None, id="a-human-must-act"),
        pytest.param(Suspended(), SYNCED, MINUTE, None, id="suspended"),
    ],
)
def test_when_another_look_would_say_something_else(
    outcome: Outcome, previous: Status, at: timedelta, expected: float | None
) -> None:
    assert assess(outcome, previous, 1, T0 + at, POLICY).requeue_after == expected


@pytest.mark.parametrize(
    ("outcome", "previous", "expected"),
    [
        pytest.param(InOrder(), NEW, None, id="first-sync"),
        pytest.param(InOrder(), SYNCED, None, id="still-in-order"),
        pytest.param(InOrder(), HELD, ("Normal", Reason.RECOVERED), id="recovered"),
        pytest.param(AWAY, SYNCED, ("Warning", Reason.VAULT_UNAVAILABLE), id="fails"),
        pytest.param(AWAY, NEW, ("Warning", Reason.VAULT_UNAVAILABLE), id="fails-at-first"),
        pytest.param(AWAY, HELD, None, id="goes-on-failing"),
        pytest.param(AWAY, STALE, None, id="goes-on-failing-when-stale"),
        pytest.param(THROTTLED, HELD, ("Warning", Reason.VAULT_THROTTLED), id="fails-otherwise"),
        pytest.param(SEALED, HELD, None, id="an-outage-with-another-cause"),
        pytest.param(Suspended(), STUCK, None, id="suspended"),
    ],
)
def test_a_transition_is_news(outcome: Outcome, previous: Status, expected: tuple[str, Reason] | None) -> None:
    news = assess(outcome, previous, 1, T0 + 2 * MINUTE, POLICY).news
    assert (None if news is None else (news.type, news.reason)) == expected


RETRIED = "tried again by itself, after about 5s at first and every 1m later on"
RECHECKED = "looked at again every 5m and when an object that it depends on changes"


@pytest.mark.parametrize(
    ("outcome", "previous", "type_", "expected"),
    [
        pytest.param(InOrder(), NEW, "Ready", "in order", id="in-order"),
        pytest.param(
            InOrder("version 3 of kv/app"), NEW, "Healthy", "version 3 of kv/app", id="in-order-in-its-own-words"
        ),
        pytest.param(
            AWAY,
            NEW,
            "Reconciling",
            "Vault at https://vault:8200 does not answer; check that Vault runs and that its address is reachable from "
            f"the operator; {RETRIED}; the VaultConnection's status tells how it is now",
            id="an-outage",
        ),
        pytest.param(
            THROTTLED,
            NEW,
            "Reconciling",
            f"slow down (429); raise Vault's rate limit quota or lengthen refreshAfter; {RETRIED}",
            id="passing",
        ),
        pytest.param(
            AWAY,
            SYNCED,
            "Ready",
            "in use until the last good look is older than 10m; Healthy says what is wrong",
            id="held",
        ),
        pytest.param(
            replace(AWAY, remaining=MINUTE),
            SYNCED,
            "Ready",
            "in use until its lease or certificate ends; Healthy says what is wrong",
            id="held-by-a-lease",
        ),
        pytest.param(
            FORBIDDEN,
            SYNCED,
            "Stalled",
            "read on kv/data/app is denied; grant the capability on the path in the Vault policy of the role; "
            f"{RECHECKED}",
            id="human",
        ),
        pytest.param(
            DANGLING,
            NEW,
            "Ready",
            "vaultAuthRef names VaultAuth a/va, which does not exist; create the named object or correct the reference; "
            "waited for during 30s, then looked at again every 5m and on every change",
            id="dangling",
        ),
        pytest.param(
            UNSUPPORTED,
            NEW,
            "Stalled",
            "HCPAuth has no controller; use another kind; this one has no controller and will have none; "
            "not looked at again before this object changes",
            id="terminal",
        ),
        pytest.param(
            GONE,
            SYNCED,
            "SecretSynced",
            "nothing at kv/app; undelete or write the secret in Vault; the Secret keeps its last good data; "
            f"{RECHECKED}",
            id="deleted",
        ),
        pytest.param(
            Suspended(),
            NEW,
            "Ready",
            "suspended before the first sync; set spec.suspend to false to resume",
            id="suspended",
        ),
    ],
)
def test_messages_say_what_where_the_remedy_and_how_it_goes_on(
    outcome: Outcome, previous: Status, type_: str, expected: str
) -> None:
    condition = find_condition(assess(outcome, previous, 1, T0 + MINUTE, POLICY).conditions, type_)
    assert condition is not None
    assert condition.message == expected


def test_a_long_message_is_cut_before_the_remedy() -> None:
    endless = Failing(Reason.SOURCE_KEY_MISSING, "x" * 5000, Cure.CHANGE)
    (stuck, *_) = assess(endless, NEW, 1, T0, POLICY).conditions
    assert len(stuck.message) < 1300
    assert stuck.message.endswith(RECHECKED)


def test_a_kind_s_own_conditions_are_added_and_kept() -> None:
    restarted = Finding("RolloutRestart", "True", Reason.ROLLOUT_RESTART_TRIGGERED, "Deployment app")
    status = after((InOrder(also=(restarted,)), timedelta(0)), (AWAY, MINUTE))
    kept = find_condition(status.conditions, "RolloutRestart")
    assert kept is not None
    assert (kept.status, kept.reason, kept.last_transition_time) == ("True", "RolloutRestartTriggered", T0)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TransientError(Reason.VAULT_THROTTLED, "m", 3.0), Cure.TIME),
        (ExpiredError(), Cure.TIME),
        (ConfigError(Reason.INVALID_REFERENCE, "m"), Cure.CHANGE),
        (VsoError(Reason.REFERENCE_NOT_FOUND, "m"), Cure.CHANGE),
        (TerminalError(Reason.TYPE_IMMUTABLE, "m"), Cure.EDIT),
    ],
)
def test_the_family_of_an_error_says_what_cures_it(error: VsoError, expected: Cure) -> None:
    assert Failing.of(error) == Failing(error.reason, error.message, expected)


def test_an_outage_costs_two_status_writes_until_the_data_is_stale() -> None:
    status: Status = SYNCED
    writes = []
    for second in range(0, 600, 7):
        new = assess(AWAY, status, 1, T0 + second * SECOND, POLICY).on(status)
        if changed(status, new):
            writes.append(second)
            status = new
    recovered = assess(InOrder(), status, 1, T0 + 601 * SECOND, POLICY).on(status)
    assert (writes, changed(status, recovered)) == ([0], True)


def kstatus(status: Status, generation: int) -> str:
    """Read a status as kstatus does."""
    if status.observed_generation != generation:
        return "InProgress"
    for condition in status.conditions:
        if condition.status == "True" and condition.type in {"Reconciling", "Stalled"}:
            return "InProgress" if condition.type == "Reconciling" else "Failed"
    ready = find_condition(status.conditions, "Ready")
    return "Current" if ready is None or ready.status == "True" else "InProgress"


KSTATUS = {
    Standing.IN_ORDER: "Current",
    Standing.HOLDING: "Current",
    Standing.UNDER_WAY: "InProgress",
    Standing.STALLED: "Failed",
    Standing.RESTING_UNSYNCED: "InProgress",
}

FAILURES = st.builds(
    Failing,
    reason=st.sampled_from(Reason),
    message=st.text(max_size=10),
    cure=st.sampled_from(Cure),
    data_age=st.none() | st.timedeltas(timedelta(0), timedelta(hours=1)),
    remaining=st.none() | st.timedeltas(timedelta(0), timedelta(hours=1)),
    lasting=st.none() | st.timedeltas(timedelta(0), timedelta(hours=1)),
    connection=st.sampled_from(["", "app/vault", "app/other"]),
)
OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(st.builds(InOrder), FAILURES, st.builds(Suspended))
STARTS: st.SearchStrategy[Any] = st.sampled_from([NEW, VALID])


@settings(deadline=None)
@given(STARTS, st.lists(st.tuples(OUTCOMES, st.integers(0, 900), st.booleans()), min_size=1, max_size=8))
@example(VALID, [(InOrder(), 0, False), (GONE, 0, False)])
def test_whatever_happens(start: Status, steps: list[tuple[Outcome, int, bool]]) -> None:
    status, generation, now = start, 1, T0
    for outcome, seconds, edited in steps:
        generation, now = generation + edited, now + seconds * SECOND
        found = assess(outcome, status, generation, now, POLICY)
        new = found.on(status)
        types = [condition.type for condition in new.conditions]
        assert len(set(types)) == len(types)
        assert not {"Reconciling", "Stalled"} <= set(types)
        assert not set(types[1:]) & {"Reconciling", "Stalled"}
        assert kstatus(new, generation) == KSTATUS.get(found.standing, kstatus(new, generation))
        assert_times(status.conditions, new.conditions, now)
        assert found.requeue_after is None or found.requeue_after > 0
        # The same outcome at the same moment is nothing new.
        again = assess(outcome, new, generation, now, POLICY)
        assert not changed(new, again.on(new)) or again.standing is not found.standing
        status = new


def assert_times(old: tuple[Condition, ...], new: tuple[Condition, ...], now: datetime) -> None:
    for condition in new:
        before = find_condition(old, condition.type)
        moved = before is None or before.status != condition.status
        assert condition.last_transition_time == (now if moved or before is None else before.last_transition_time)


def test_news_is_a_plain_value() -> None:
    found = assess(InOrder(), HELD, 1, T0, POLICY)
    assert found.news == News("Normal", Reason.RECOVERED, "in order again")
