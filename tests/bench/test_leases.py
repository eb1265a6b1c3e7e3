"""A thousand VaultDynamicSecrets on the real servers and a real PostgreSQL: what leases cost, and a crash.

One story in this order: issued, renewed through three periods, the operator killed and started anew, deleted;
then twenty that live as briefly as those that the reference was measured with. Counts are gates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from time import perf_counter

import pytest

from tests.bench.borrowers import Borrowers
from tests.bench.figures import Figures
from tests.conformance.stage import Stage
from tests.testbed.bed import always, eventually
from tests.testbed.real import RealBed

pytestmark = pytest.mark.bench

SIZE = 1000
LIFE, RENEWED_AT = 120, 0.67
PERIOD = LIFE * RENEWED_AT
PERIODS = 3
BIN = 10.0
UNDER_WAY = 30
"""Renewals whose status is not written yet at a moment, at the most."""
RENEWALS, ISSUES = "sys/leases/renew", "database/creds/"
FEW, BRIEF = 20, 100.0
PATIENCE = 600.0


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Servers of its own, with an operator as in a pod."""
    with RealBed(tmp_path_factory.mktemp("bank")) as bed:
        stage = Stage(bed)
        stage.set_up()
        stage.start_operator()
        yield stage
        stage.close()


@pytest.fixture(scope="module")
def borrowers(stage: Stage) -> Borrowers:
    """A thousand objects to be, on leases of two minutes."""
    borrowers = Borrowers(stage.team("bench-db"), stage.bed.database(), SIZE)
    borrowers.found(default_ttl=f"{LIFE}s", max_ttl="24h")
    return borrowers


def issues(asked: Counter[str]) -> int:
    return sum(count for path, count in asked.items() if path.startswith(ISSUES))


def test_a_thousand_credentials_cost_four_requests_and_an_event_each(borrowers: Borrowers, figures: Figures) -> None:
    mark, began = borrowers.team.bed.mark(), perf_counter()
    borrowers.borrow(PATIENCE)
    seconds = perf_counter() - began
    calls, asked = borrowers.calls(mark), borrowers.asked(mark)
    events, tokens = calls.pop("create event"), calls.pop("create serviceaccounts")
    figures.gate(
        "dynamic secret, first issue, Kubernetes requests",
        f"{(calls.total() - asked[RENEWALS]) / SIZE:g} + {events / SIZE:g} event",
        "4 + 1 event",
    )
    figures.gate("the same, requests to Vault", f"{issues(asked) / SIZE:g} issue", "1 issue")
    figures.inform("first issue of 1 000, wall, their creation included", f"{seconds:.1f} s")
    # Those that were issued first are renewed before the last one is issued; some of that is under way at the end.
    renewed = calls.pop("patch status") - 2 * SIZE
    assert asked[RENEWALS] - UNDER_WAY <= renewed <= asked[RENEWALS]
    assert calls == {"patch object": SIZE, "create Secret": SIZE}
    assert events == SIZE
    assert tokens == 1
    assert issues(asked) == SIZE
    assert borrowers.named() == borrowers.live()
    assert len(borrowers.live()) == SIZE


def test_each_renewal_costs_a_request_to_vault_and_a_status_write(borrowers: Borrowers, figures: Figures) -> None:
    before = borrowers.live()
    mark = borrowers.team.bed.mark()
    always(lambda: True, during=PERIOD * PERIODS)
    moments = borrowers.renewed_at(mark)
    calls, asked = borrowers.calls(mark), borrowers.asked(mark)
    figures.gate(
        f"{PERIODS} periods of 1 000 leases, requests",
        f"{len(moments)} renewals, {issues(asked)} issues, {calls.total()} status writes",
        "a renewal and a status write each",
    )
    most = max(Counter(int((moment - moments[0]) // BIN) for moment in moments).values())
    mean = len(moments) * BIN / (moments[-1] - moments[0])
    figures.inform(f"the same, most renewals in {BIN:g} s over the mean", f"{most / mean:.2f}", "1.3")
    assert set(calls) == {"patch status"}
    assert set(asked) == {RENEWALS}
    assert abs(calls.total() - len(moments)) <= UNDER_WAY
    assert len(moments) >= SIZE * PERIODS * 0.98
    assert borrowers.live() == before == borrowers.named()


def test_a_killed_operator_issues_nothing_anew_when_it_starts(
    borrowers: Borrowers, stage: Stage, figures: Figures
) -> None:
    operator = stage.operator
    before = borrowers.live()
    operator.kill()
    mark = stage.bed.mark()
    operator.start()
    operator.wait_ready(timeout=60)
    always(lambda: True, during=PERIOD * 1.25)
    asked, calls = borrowers.asked(mark), borrowers.calls(mark)
    figures.gate(
        "kill -9 with 1 000 dynamic secrets",
        f"{issues(asked)} issues, {calls['patch deployments']} restarts, {asked[RENEWALS]} renewals in {PERIOD * 1.25:.0f} s",
        "0 issues, 0 restarts",
        "20 of 20 issued anew, 20 restarts in 8 s",
    )
    assert borrowers.issued_anew(before) == {}
    assert issues(asked) == 0
    assert calls.pop("create serviceaccounts") == 1  # for its one login
    assert set(calls) == {"patch status"}
    assert borrowers.live() == before == borrowers.named()


def test_nothing_is_left_of_a_thousand_deleted(borrowers: Borrowers, figures: Figures) -> None:
    began = perf_counter()
    borrowers.give_up(PATIENCE)
    figures.gate("1 000 dynamic secrets deleted, leases left", f"{len(borrowers.live())}", "0", "all, to their end")
    figures.inform("the same, wall", f"{perf_counter() - began:.1f} s")
    assert borrowers.live() == []
    assert borrowers.database.users(borrowers.role) == []


def test_brief_lives_never_have_more_than_two_users_each(stage: Stage, figures: Figures) -> None:
    few = Borrowers(stage.team("bench-brief"), stage.bed.database(), FEW)
    few.found(default_ttl="20s", max_ttl="45s")
    few.borrow(60)
    mark = stage.bed.mark()
    owners: dict[str, str] = {}
    most = 0

    def watched() -> bool:
        nonlocal most
        most = max(most, few.most_users_each(owners))
        return most <= 2

    always(watched, during=BRIEF)
    rotations = issues(few.asked(mark))
    figures.gate(
        f"{FEW} dynamic secrets, TTL 20 s / max 45 s, {rotations} rotations: users alive for one",
        f"at most {most}",
        "2",
        "3",
    )
    assert rotations >= FEW * 2
    few.give_up(60)
    eventually(lambda: few.database.users(few.role) == [], timeout=30, message="no user is left")
