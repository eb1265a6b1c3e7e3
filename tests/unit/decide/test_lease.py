from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fakes.clock import T0
from vso.decide.lease import (
    SPARE,
    Because,
    Lease,
    LeaseAction,
    LeasePolicy,
    Probe,
    Renew,
    Replace,
    Wait,
    plan_lease,
    renew_at,
    retry_in,
    truncated,
)
from vso.decide.schedule import phase


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


LEASE = Lease("db/creds/app/1", T0, timedelta(seconds=100), renewable=True, parent_end=after(10_000), parent_kept=True)
SHORT = replace(LEASE, duration=timedelta(seconds=6))
BRIEF = replace(LEASE, duration=timedelta(seconds=31.5))
FIXED = replace(LEASE, renewable=False)
ADOPTED = replace(LEASE, parent_kept=False, parent_end=after(1000))
STRAY = replace(LEASE, parent_kept=False, parent_end=None)
FINAL = replace(LEASE, parent_end=after(30), parent_final=True)
POLICY = LeasePolicy(renewal_percent=60, phase=0.0, adopted_at=T0)
# T0 is a whole number of minutes, hence of the period of 60 s: the grid point of phase 0.5 is 30 s on.
HALF = replace(POLICY, phase=0.5)
EARLY = replace(POLICY, renewal_percent=10)
LATE = replace(POLICY, adopted_at=after(95))


@pytest.mark.parametrize(
    ("lease", "seconds", "policy", "expected"),
    [
        pytest.param(None, 0, POLICY, Replace(Because.NO_LEASE), id="none-yet"),
        pytest.param(LEASE, 10, POLICY, Wait(after(60)), id="early"),
        pytest.param(LEASE, 59.9, POLICY, Wait(after(60)), id="just-before"),
        pytest.param(LEASE, 60, POLICY, Renew(after(100)), id="at-its-share"),
        pytest.param(LEASE, 99, POLICY, Renew(after(100)), id="late-and-alive"),
        pytest.param(LEASE, 100, POLICY, Replace(Because.EXPIRED), id="over"),
        pytest.param(LEASE, 10, HALF, Wait(after(30)), id="the-first-renewal-joins-the-grid"),
        pytest.param(replace(LEASE, granted_at=after(30)), 40, HALF, Wait(after(90)), id="then-a-period-each"),
        pytest.param(replace(LEASE, granted_at=after(29)), 40, HALF, Wait(after(90)), id="told-in-whole-seconds"),
        pytest.param(SHORT, 1, HALF, Wait(after(1.5)), id="too-short-for-a-grid"),
        pytest.param(BRIEF, 1, POLICY, Wait(after(10)), id="short-and-renewed-with-twenty-seconds-left"),
        pytest.param(BRIEF, 1, HALF, Wait(after(5)), id="short-and-on-a-grid"),
        pytest.param(BRIEF, 1, EARLY, Wait(after(3.15)), id="short-and-renewed-early-as-asked"),
        pytest.param(
            replace(BRIEF, renewable=False), 1, POLICY, Wait(after(18.9)), id="what-cannot-be-renewed-keeps-its-share"
        ),
        pytest.param(replace(LEASE, parent_end=after(70)), 10, POLICY, Wait(after(60)), id="token-ends-later"),
        pytest.param(replace(LEASE, parent_end=after(40)), 10, POLICY, Wait(after(40)), id="token-ends-sooner"),
        pytest.param(replace(LEASE, parent_end=after(40)), 40, POLICY, Replace(Because.EXPIRED), id="token-has-ended"),
        pytest.param(FIXED, 10, POLICY, Wait(after(60)), id="not-renewable-waits"),
        pytest.param(FIXED, 60, POLICY, Replace(Because.NOT_RENEWABLE), id="not-renewable-is-replaced-before-its-end"),
        pytest.param(ADOPTED, 10, POLICY, Wait(after(60)), id="adopted-and-renewed-meanwhile"),
        pytest.param(ADOPTED, 60, POLICY, Renew(after(100)), id="adopted-is-renewed-by-another-token"),
        pytest.param(ADOPTED, 100, POLICY, Replace(Because.EXPIRED), id="granted-here-and-over"),
        pytest.param(ADOPTED, 100, LATE, Renew(after(100)), id="adopted-and-over-as-far-as-the-status-knows"),
        pytest.param(
            replace(ADOPTED, renewable=False), 100, LATE, Replace(Because.EXPIRED), id="adopted-over-and-not-renewable"
        ),
        pytest.param(
            replace(ADOPTED, parent_end=after(100)),
            100,
            LATE,
            Replace(Because.EXPIRED),
            id="adopted-and-its-token-over",
        ),
        pytest.param(
            replace(ADOPTED, granted_at=after(90)),
            100,
            POLICY,
            Replace(Because.TOKEN_ENDS),
            id="its-token-nears-its-end",
        ),
        pytest.param(replace(FINAL, parent_end=after(200)), 10, POLICY, Wait(after(60)), id="final-and-renewed-before"),
        pytest.param(
            replace(FINAL, granted_at=after(100), parent_end=after(200)),
            160,
            POLICY,
            Replace(Because.TOKEN_ENDS),
            id="final-and-replaced-as-early-as-it-is-renewed",
        ),
        pytest.param(
            replace(FINAL, parent_end=after(95)),
            60,
            HALF,
            Wait(after(61.75)),
            id="a-renewal-would-grant-no-more-than-there-is",
        ),
        pytest.param(FINAL, 0, POLICY, Wait(after(15)), id="granted-near-the-tokens-end-is-not-replaced-at-once"),
        pytest.param(FINAL, 15, POLICY, Replace(Because.TOKEN_ENDS), id="granted-near-the-tokens-end"),
        pytest.param(FINAL, 19, HALF, Wait(after(19.5)), id="granted-near-the-tokens-end-each-at-its-own-place"),
        pytest.param(
            replace(FINAL, renewable=False), 15, POLICY, Replace(Because.TOKEN_ENDS), id="not-renewable-by-its-token"
        ),
        pytest.param(
            replace(FIXED, parent_kept=False, parent_end=after(50)),
            5,
            POLICY,
            Replace(Because.TOKEN_ENDS),
            id="not-renewable-and-adopted",
        ),
        pytest.param(STRAY, 1, POLICY, Wait(after(6)), id="unknown-token-soon"),
        pytest.param(STRAY, 6, POLICY, Replace(Because.TOKEN_ENDS), id="unknown-token-by-the-first-renewal"),
    ],
)
def test_plan(lease: Lease | None, seconds: float, policy: LeasePolicy, expected: LeaseAction) -> None:
    assert plan_lease(lease, after(seconds), policy) == expected


LONG = replace(LEASE, duration=timedelta(hours=1))
# A probe every five minutes, at half past: T0 is a whole number of them.
PROBED = replace(HALF, renewal_percent=60, phase=0.5, probe_every=timedelta(minutes=5))


@pytest.mark.parametrize(
    ("lease", "seconds", "policy", "expected"),
    [
        pytest.param(LONG, 10, PROBED, Wait(after(150)), id="waits-for-its-first-probe"),
        pytest.param(LONG, 150, PROBED, Probe(), id="is-probed"),
        pytest.param(LONG, 151, replace(PROBED, probed_at=after(150)), Wait(after(450)), id="and-again-a-period-later"),
        pytest.param(LONG, 1000, replace(PROBED, adopted_at=after(999)), Wait(after(1050)), id="not-at-a-restart"),
        pytest.param(LONG, 3599, PROBED, Renew(after(3600)), id="what-is-due-comes-first"),
        pytest.param(LEASE, 10, PROBED, Wait(after(30)), id="renewals-ask-often-enough"),
        pytest.param(replace(LONG, renewable=False), 200, PROBED, Probe(), id="not-renewable-is-probed"),
        pytest.param(
            replace(LONG, id=""), 200, PROBED, Wait(after(1080)), id="without-a-lease-there-is-nothing-to-ask"
        ),
        pytest.param(LONG, 200, replace(PROBED, probe_every=None), Wait(after(1080)), id="never-asked"),
    ],
)
def test_a_lease_is_looked_up_now_and_then(
    lease: Lease, seconds: float, policy: LeasePolicy, expected: LeaseAction
) -> None:
    assert plan_lease(lease, after(seconds), policy) == expected


leases = st.builds(
    Lease,
    st.just("x"),
    st.integers(0, 10_000).map(after),
    st.integers(1, 100_000).map(lambda seconds: timedelta(seconds=seconds)),
    renewable=st.booleans(),
    parent_end=st.none() | st.integers(0, 200_000).map(after),
    parent_kept=st.booleans(),
)
policies = st.builds(
    LeasePolicy, st.integers(0, 90), st.floats(0, 1, exclude_max=True), st.integers(0, 10_000).map(after)
)


@given(leases, policies, st.floats(0, 200_000))
def test_no_plan_waits_past_the_end_and_none_waits_for_the_past(
    lease: Lease, policy: LeasePolicy, seconds: float
) -> None:
    now = after(seconds)
    plan = plan_lease(lease, now, policy)
    if isinstance(plan, Wait):
        assert now < plan.until <= lease.ends
    elif isinstance(plan, Renew):
        assert lease.renewable
        assert now < lease.ends or policy.adopted_at > lease.granted_at


@given(leases, policies)
def test_a_renewal_is_at_most_a_period_away_and_never_at_the_very_end(lease: Lease, policy: LeasePolicy) -> None:
    waited = renew_at(lease, policy) - lease.granted_at
    share = max(0.05, policy.renewal_percent / 100)
    assert waited <= max(timedelta(seconds=1), lease.duration - min(SPARE, lease.duration / 2))
    assert waited <= max(timedelta(seconds=1), lease.duration * share + timedelta(seconds=1.5))
    assert waited <= max(timedelta(seconds=1), lease.duration * 0.95)
    assert waited > timedelta(0)


@given(leases, policies)
def test_a_renewal_at_its_time_leads_to_another_one_and_not_to_the_same_again(
    lease: Lease, policy: LeasePolicy
) -> None:
    due = renew_at(lease, policy)
    renewed = replace(lease, granted_at=due.replace(microsecond=0))
    assert renew_at(renewed, policy) > due


def test_ten_thousand_leases_that_were_issued_together_are_renewed_evenly() -> None:
    lease = replace(LEASE, duration=timedelta(seconds=60))
    period, periods = 40, 3
    due: Counter[int] = Counter()
    for number in range(10_000):
        policy = LeasePolicy(67, phase(f"uid-{number}"), T0)
        mine = lease
        while (at := renew_at(mine, policy)) < after(period * (periods + 1)):
            due[int((at - T0).total_seconds())] += 1
            mine = replace(mine, granted_at=at.replace(microsecond=0))
    steady = [due[second] for second in range(period, period * periods)]
    assert max(steady) <= 1.3 * sum(steady) / len(steady)
    assert max(due.values()) <= 1.3 * sum(steady) / len(steady)


@pytest.mark.parametrize(("granted", "expected"), [(31, False), (30, False), (29.1, False), (29, True), (1, True)])
def test_a_renewal_that_grants_less_is_truncated(granted: float, expected: bool) -> None:
    assert truncated(timedelta(seconds=30), timedelta(seconds=granted)) is expected


@given(st.integers(20, 3600), st.integers(2, 24), st.integers(0, 90), st.floats(0, 0.99))
def test_the_end_that_nothing_moves_is_seen_by_the_first_renewal_that_meets_it(
    seconds: int, times: int, percent: int, place: float
) -> None:
    life = timedelta(seconds=seconds)
    lease, policy = replace(LEASE, duration=life, parent_end=None), LeasePolicy(percent, place, T0)
    latest = T0 + times * life
    while True:
        due = renew_at(lease, policy)
        granted = timedelta(seconds=int(min(lease.duration, latest - due).total_seconds()))
        if truncated(lease.duration, granted):
            break
        assert granted >= life - timedelta(seconds=1)
        lease = replace(lease, granted_at=due, duration=granted)
    assert latest - due >= min(SPARE, life / 2) - timedelta(seconds=2), "its consumers have time to follow"


@given(st.integers(10, 3600), st.integers(10, 5000), st.integers(0, 90), st.floats(0, 0.99))
def test_under_a_token_at_its_end_credentials_stay_for_half_of_what_life_they_are_given(
    life: int, rest: int, percent: int, place: float
) -> None:
    lease = replace(LEASE, duration=timedelta(seconds=min(life, rest)), parent_end=after(rest), parent_final=True)
    policy = LeasePolicy(percent, place, T0)
    half = T0 + (lease.ends - T0) * 0.499
    assert not isinstance(plan_lease(lease, half, policy), Replace)
    assert isinstance(
        plan_lease(lease, lease.ends - timedelta(seconds=min(life, rest) * 0.04), policy), Replace | Renew
    )


@given(st.integers(10, 3600), st.integers(10, 5000), st.integers(0, 90), st.floats(0, 0.99))
@example(20, 30, 90, 0.0)
@example(20, 21, 90, 0.0)
def test_a_lease_under_a_token_at_its_end_is_seen_to_before_its_own_end(
    life: int, rest: int, percent: int, place: float
) -> None:
    lease = replace(LEASE, duration=timedelta(seconds=life), parent_end=after(rest), parent_final=True)
    plan = plan_lease(lease, T0, LeasePolicy(percent, place, T0))
    assert isinstance(plan, Wait)
    assert plan.until < lease.ends


@pytest.mark.parametrize(("seconds", "expected"), [(0, 12.5), (60, 5), (95, 1), (99.9, 1)])
def test_a_failed_renewal_is_tried_again_several_times_in_what_life_remains(seconds: float, expected: float) -> None:
    assert retry_in(LEASE, after(seconds)).total_seconds() == expected


def test_the_end_is_that_of_the_lease_or_of_its_token() -> None:
    assert LEASE.ends == after(100)
    assert replace(LEASE, parent_end=after(40)).ends == after(40)
    assert STRAY.ends == after(100)
