from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vso.api.meta import Condition
from vso.api.secrets import VaultDynamicSecretStatus, VaultStaticSecretStatus
from vso.api.shared import DestinationStatus, VaultClientMeta
from vso.core.errors import Reason
from vso.decide.conditions import Finding, changed, find_condition, in_order, merge_conditions

T0 = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
T1 = T0 + timedelta(minutes=1)


def condition(
    type_: str, status: str = "True", message: str = "m", *, at: datetime = T0, generation: int = 1
) -> Condition:
    return Condition.model_validate(
        {
            "type": type_,
            "status": status,
            "reason": "Ready",
            "message": message,
            "observedGeneration": generation,
            "lastTransitionTime": at,
        }
    )


READY = condition("Ready")


@pytest.mark.parametrize(
    ("existing", "findings", "expected"),
    [
        pytest.param((), (Finding("Ready", "True", Reason.READY, "m"),), (condition("Ready", at=T1),), id="first"),
        pytest.param((READY,), (Finding("Ready", "True", Reason.READY, "m"),), (READY,), id="unchanged"),
        pytest.param(
            (READY,),
            (Finding("Ready", "True", Reason.READY, "other"),),
            (condition("Ready", message="other"),),
            id="another-message-moves-no-time",
        ),
        pytest.param(
            (READY,),
            (Finding("Ready", "False", Reason.READY, "m"),),
            (condition("Ready", "False", at=T1),),
            id="another-status-moves-the-time",
        ),
        pytest.param(
            (condition("Available"), READY),
            (Finding("Ready", "True", Reason.READY, "m"),),
            (condition("Available"), READY),
            id="others-stay",
        ),
        pytest.param((condition("Stalled"), READY), (), (READY,), id="stalled-goes-when-it-does-not-hold"),
        pytest.param(
            (READY, condition("Healthy")),
            (Finding("Reconciling", "True", Reason.READY, "m"),),
            (condition("Reconciling", at=T1), READY, condition("Healthy")),
            id="reconciling-stands-first",
        ),
        pytest.param(
            (condition("Stalled"),),
            (Finding("Stalled", "True", Reason.READY, "m"),),
            (condition("Stalled"),),
            id="stalled-that-goes-on-keeps-its-time",
        ),
    ],
)
def test_merge(existing: tuple[Condition, ...], findings: tuple[Finding, ...], expected: tuple[Condition, ...]) -> None:
    assert merge_conditions(existing, findings, 1, T1) == expected


def test_times_are_whole_seconds_in_utc() -> None:
    now = datetime(2026, 1, 1, 14, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    (made,) = merge_conditions((), (Finding("Ready", "True", Reason.READY),), 7, now)
    assert (made.last_transition_time, made.observed_generation) == (T0, 7)


STATUSES = st.sampled_from(["True", "False", "Unknown"])
TYPES = st.sampled_from(["Ready", "Healthy", "Reconciling", "Stalled", "RolloutRestart"])
EXISTING = st.lists(
    st.builds(condition, TYPES, STATUSES, st.text(max_size=3)), unique_by=lambda found: found.type, max_size=5
)
FINDINGS = st.lists(
    st.builds(Finding, TYPES, STATUSES, st.sampled_from(Reason), st.text(max_size=3)),
    unique_by=lambda found: found.type,
    max_size=5,
)


@settings(deadline=None)
@given(EXISTING, FINDINGS)
def test_the_time_moves_iff_the_status_does(existing: list[Condition], findings: list[Finding]) -> None:
    merged = merge_conditions(existing, findings, 1, T1)
    assert len({found.type for found in merged}) == len(merged)
    for found in merged:
        old = find_condition(existing, found.type)
        moved = old is None or old.status != found.status
        assert found.last_transition_time == (T1 if moved else T0)


@settings(deadline=None)
@given(EXISTING, FINDINGS)
def test_merging_twice_changes_nothing(existing: list[Condition], findings: list[Finding]) -> None:
    once = merge_conditions(existing, findings, 1, T0)
    assert merge_conditions(once, findings, 1, T1) == once


GOOD = (condition("Ready"), condition("Healthy"))


@pytest.mark.parametrize(
    ("observed", "conditions", "expected"),
    [
        pytest.param(3, GOOD, True, id="in-order"),
        pytest.param(2, GOOD, False, id="another-generation"),
        pytest.param(3, (), False, id="nothing-said"),
        pytest.param(3, (condition("Ready"), condition("Healthy", "False")), False, id="unhealthy"),
        pytest.param(3, (condition("Ready", "False"), condition("Healthy")), False, id="not-ready"),
        pytest.param(3, (condition("Ready"),), False, id="health-unknown"),
    ],
)
def test_in_order(observed: int, conditions: tuple[Condition, ...], expected: bool) -> None:
    status = VaultStaticSecretStatus(observed_generation=observed, conditions=conditions)
    assert in_order(status, 3) is expected


BASE = VaultStaticSecretStatus(
    observed_generation=1,
    last_generation=1,
    conditions=(condition("Ready"), condition("Healthy")),
    secret_mac="mac",
    destination=DestinationStatus(name="out", uid="u", resource_version="5"),
    vault_client_meta=VaultClientMeta(cache_key="key", id="one"),
)


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        pytest.param({}, False, id="same"),
        pytest.param({"conditions": tuple(reversed(BASE.conditions))}, False, id="order-of-conditions"),
        pytest.param({"conditions": (condition("Ready", at=T1), condition("Healthy"))}, False, id="a-time-alone"),
        pytest.param({"conditions": (condition("Ready"), condition("Healthy", "False"))}, True, id="a-status"),
        pytest.param({"conditions": (condition("Ready"), condition("Healthy", message="x"))}, True, id="a-message"),
        pytest.param({"conditions": (condition("Ready", generation=2), condition("Healthy"))}, True, id="a-generation"),
        pytest.param({"conditions": (condition("Ready"),)}, True, id="a-condition-gone"),
        pytest.param({"observed_generation": 2}, True, id="observed-generation"),
        pytest.param({"last_generation": 0}, True, id="last-generation"),
        pytest.param({"secret_mac": "other"}, True, id="mac"),
        pytest.param({"destination": DestinationStatus(name="out", uid="u", resource_version="6")}, True, id="version"),
        pytest.param({"last_sync_time": T1}, True, id="sync-time"),
        pytest.param({"vault_client_meta": VaultClientMeta(cache_key="key", id="two")}, False, id="another-login"),
        pytest.param({"vault_client_meta": None}, True, id="login-not-known"),
    ],
)
def test_changed(update: dict[str, object], expected: bool) -> None:
    other = BASE.model_copy(update=update)
    assert (changed(BASE, other), changed(other, BASE)) == (expected, expected)


def test_another_pod_of_the_operator_is_no_news() -> None:
    old, new = (VaultDynamicSecretStatus(last_runtime_pod_uid=uid) for uid in ("a", "b"))
    assert not changed(old, new)
