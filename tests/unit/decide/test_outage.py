"""An outage is told once, whatever becomes of its cause."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from vso.api.access import VaultConnectionStatus
from vso.api.meta import Status
from vso.api.secrets import VaultDynamicSecretStatus, VaultStaticSecretStatus
from vso.core.errors import ConfigError, Reason, TransientError
from vso.decide.assess import assess
from vso.decide.conditions import changed, find_condition
from vso.decide.outcome import Failing, InOrder, Outcome, Policy, Standing

T0 = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
POLICY = Policy(stale_after=timedelta(minutes=10))
MINUTE = timedelta(minutes=1)
VAULT = "app/vault"


def failing(reason: Reason, message: str, connection: str = VAULT) -> Failing:
    return Failing.of(TransientError(reason, message), connection)


REFUSED = failing(Reason.VAULT_UNAVAILABLE, "Vault at http://v: the connection was refused or dropped")
SILENT = failing(Reason.VAULT_UNAVAILABLE, "Vault at http://v: no answer")
SEALED = failing(Reason.VAULT_SEALED, "Vault at http://v is sealed")
STANDBY = failing(Reason.VAULT_STANDBY, "Vault at http://v is a standby that finds no active node")
THROTTLED = failing(Reason.VAULT_THROTTLED, "Vault at http://v limits the rate of requests (429)")
UNTRUSTED = failing(Reason.VAULT_TLS_ERROR, "Vault at http://v: the certificate is not trusted")
NOT_VAULT = failing(Reason.VAULT_ANSWER_INVALID, "Vault at http://v: not JSON; this is not Vault's")
NO_API = failing(Reason.KUBERNETES_UNAVAILABLE, "patch secrets app/db: answer 500")
DENIED = Failing.of(ConfigError(Reason.VAULT_PERMISSION_DENIED, "permission denied on kv/data/app"), VAULT)
OUTAGES = [REFUSED, SILENT, SEALED, STANDBY]


def after(*outcomes: Outcome, start: Status, generation: int = 1, at: timedelta = MINUTE) -> Status:
    status = start
    for outcome in outcomes:
        status = assess(outcome, status, generation, T0 + at, POLICY).on(status)
    return status


SYNCED = after(InOrder(), start=VaultStaticSecretStatus())
NEW = VaultStaticSecretStatus()


@pytest.mark.parametrize("start", [SYNCED, NEW], ids=["synced-before", "never-synced"])
@pytest.mark.parametrize("then", OUTAGES)
@pytest.mark.parametrize("first", OUTAGES)
def test_another_cause_says_nothing_new_and_is_no_news(first: Failing, then: Failing, start: Status) -> None:
    told = after(first, start=start)
    assessment = assess(then, told, 1, T0 + 3 * MINUTE, POLICY)
    assert assessment.on(told) == told
    assert assessment.news is None
    healthy = find_condition(told.conditions, "Healthy")
    assert healthy is not None
    assert healthy.reason == first.reason
    assert healthy.message.startswith(first.message)
    assert healthy.message.endswith("; VaultConnection app/vault tells how it is now")


@pytest.mark.parametrize("then", [THROTTLED, UNTRUSTED, NOT_VAULT, NO_API, DENIED])
def test_what_is_no_plain_outage_is_told_and_so_is_the_outage_after_it(then: Failing) -> None:
    told = after(REFUSED, start=SYNCED)
    other = after(then, start=told)
    assert changed(told, other)
    assert "tells how it is now" not in str(other.conditions)
    assert changed(other, after(SEALED, start=other))


def test_the_end_of_an_outage_is_told_and_a_later_one_in_its_own_words() -> None:
    told = after(REFUSED, start=SYNCED)
    well = after(InOrder(), start=told)
    assert changed(told, well)
    healthy = find_condition(after(SEALED, start=well).conditions, "Healthy")
    assert healthy is not None
    assert healthy.reason == "VaultSealed"


def test_another_standing_is_told_with_the_cause_of_then() -> None:
    told = after(REFUSED, start=SYNCED)
    assessment = assess(SEALED, told, 1, T0 + 12 * MINUTE, POLICY)
    assert assessment.standing is Standing.UNDER_WAY
    stale = assessment.on(told)
    healthy = find_condition(stale.conditions, "Healthy")
    assert healthy is not None
    assert healthy.reason == "VaultSealed"
    assert after(REFUSED, STANDBY, start=stale, at=20 * MINUTE) == stale


def test_another_generation_is_told_anew() -> None:
    told = after(REFUSED, start=SYNCED)
    other = after(SEALED, start=told, generation=2)
    healthy = find_condition(other.conditions, "Healthy")
    assert healthy is not None
    assert (healthy.reason, healthy.observed_generation) == ("VaultSealed", 2)


def test_the_outage_of_another_vault_is_another() -> None:
    told = after(REFUSED, start=SYNCED)
    other = after(replace(SEALED, connection="app/other"), start=told)
    healthy = find_condition(other.conditions, "Healthy")
    assert healthy is not None
    assert healthy.message.endswith("; VaultConnection app/other tells how it is now")


def test_a_connection_that_is_not_known_is_spoken_of_in_general() -> None:
    told = after(replace(REFUSED, connection=""), start=SYNCED)
    healthy = find_condition(told.conditions, "Healthy")
    assert healthy is not None
    assert healthy.message.endswith("; the VaultConnection's status tells how it is now")
    assert after(replace(SEALED, connection=""), start=told) == told


@pytest.mark.parametrize("then", [SILENT, SEALED, STANDBY])
def test_a_connection_follows_the_cause_and_points_nowhere(then: Failing) -> None:
    told = after(REFUSED, start=VaultConnectionStatus())
    assert "tells how it is now" not in str(told.conditions)
    other = after(then, start=told)
    healthy = find_condition(other.conditions, "Healthy")
    assert healthy is not None
    assert healthy.reason == then.reason
    assert healthy.message.startswith(then.message)


def test_every_kind_of_secret_tells_it_once() -> None:
    told = after(REFUSED, start=VaultDynamicSecretStatus(last_generation=1))
    assert after(SEALED, start=told) == told


def test_a_status_that_somebody_else_has_torn_is_told_anew() -> None:
    told = after(REFUSED, start=SYNCED)
    torn = told.model_copy(
        update={"conditions": tuple(condition for condition in told.conditions if condition.type != "Ready")}
    )
    assert find_condition(after(SEALED, start=torn).conditions, "Ready") is not None
