"""What is said of an outcome, by table: the conditions, the generations, and when to look again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.fakes.assessed import (
    AWAY,
    DANGLING,
    FORBIDDEN,
    GONE,
    HELD,
    MINUTE,
    MISSING,
    NEW,
    POLICY,
    SEALED,
    SECOND,
    STALE,
    STUCK,
    SYNCED,
    UNSUPPORTED,
    VALID,
    after,
)
from tests.fakes.clock import T0
from vso.api.meta import Status
from vso.api.secrets import VaultStaticSecretStatus
from vso.core.errors import ConfigError, ExpiredError, Reason, TerminalError, TransientError, VsoError
from vso.decide.assess import Assessment, assess
from vso.decide.conditions import Finding, find_condition
from vso.decide.outcome import Cure, Failing, InOrder, Outcome, Standing, Suspended


def shape(assessment: Assessment) -> dict[str, tuple[str, str]]:
    return {condition.type: (condition.status, condition.reason) for condition in assessment.conditions}


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
            STALE,
            2,
            12 * MINUTE,
            Standing.RESTING,
            {key: value for key, value in under_way("VaultUnavailable").items() if key != "Reconciling"},
            id="suspended-when-stale",
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
