"""Passes whose restarts wait for the company of others: they end at once, and are taken up where they ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.cluster import Json
from tests.fakes.dynamic_house import DYNAMIC, DynamicHouse, dynamic_house
from tests.fakes.house import STATIC, House, house
from tests.fakes.kube_transport import status
from vso.api.shared import RolloutTarget
from vso.controllers.restarts import Owed
from vso.core.errors import TransientError
from vso.core.keys import ObjectKey
from vso.runtime.reconcile import Result

DEPLOYMENTS = "/apis/apps/v1/namespaces/app/deployments"
WINDOW = 10.0
TARGETS = [{"kind": "Deployment", "name": "web"}]
WAITS = Result(requeue_after=WINDOW, urgent=True)
PAID = ["PATCH deployments/web", "PATCH deployments/web"]  # the former is a dry run


@pytest.fixture
async def shared() -> AsyncIterator[House]:
    """A secret in order, whose workload others restart too."""
    async with house(company=WINDOW) as home:
        home.cluster.workload(DEPLOYMENTS, "web")
        home.holds({"password": "s3cret-1"})
        home.static(rolloutRestartTargets=TARGETS)
        await home.pass_over()
        yield home


async def change(home: House, password: str = "s3cret-2", version: int = 2) -> None:
    await home.clock.advance(10)
    home.holds({"password": password}, version=version)
    home.notes().source_changed = True


def restarts(home: House) -> list[Json]:
    return [seen.json for seen in home.requests("PATCH", "deployments/web") if "dryRun" not in seen.query]


def settled(home: House) -> bool:
    told = home.status()
    return bool(told["rolledOutDigest"] == told["secretMAC"] and told["history"][0].get("restart") == "Triggered")


async def test_the_pass_ends_and_the_next_one_pays_and_tells_without_reading_or_writing_again(shared: House) -> None:
    await change(shared)
    before, reads = shared.writes(), shared.reads()
    assert await shared.pass_over() == WAITS
    assert shared.writes()[len(before) :] == ["PATCH secrets/db"]
    await shared.clock.advance(WINDOW / 2)
    assert await shared.pass_over() == Result(requeue_after=WINDOW / 2, urgent=True)  # something else has woken it
    await shared.clock.advance(WINDOW / 2)
    assert await shared.pass_over() == Result()
    assert shared.writes()[len(before) :] == ["PATCH secrets/db", *PAID, "PATCH vaultstaticsecrets/db/status"]
    assert shared.reads() == reads + 1
    assert settled(shared)
    assert shared.status()["lastSyncTime"] == shared.status()["history"][0]["time"]


async def test_data_that_changes_meanwhile_is_written_and_restarted_for_once(shared: House) -> None:
    await change(shared)
    await shared.pass_over()
    await shared.clock.advance(6)
    shared.holds({"password": "s3cret-3"}, version=3)
    shared.notes().source_changed = True
    assert (await shared.pass_over()).requeue_after == 4
    await shared.clock.advance(4)
    await shared.pass_over()
    assert len(restarts(shared)) == 1
    assert settled(shared)
    assert shared.cluster.secret_data("db")["password"] == "s3cret-3"


async def test_data_that_changes_back_meanwhile_restarts_nobody(shared: House) -> None:
    await change(shared)
    await shared.pass_over()
    await shared.clock.advance(6)
    shared.holds({"password": "s3cret-1"}, version=3)
    shared.notes().source_changed = True
    assert await shared.pass_over() == Result()
    other = Owed(STATIC, ObjectKey("app", "other"), {"other": "digest"}, None)
    await shared.restarts.restart(other, [RolloutTarget(kind="Deployment", name="web")])
    await shared.clock.advance(WINDOW)
    await shared.restarts.restart(other, [RolloutTarget(kind="Deployment", name="web")])
    assert [patch["spec"]["template"]["metadata"]["annotations"] for patch in restarts(shared)] == [{"other": "digest"}]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"metadata": {"labels": {"touched": "yes"}}}, id="label"),
        pytest.param({"refreshAfter": "2m"}, id="spec"),
    ],
)
async def test_an_object_that_changes_meanwhile_is_looked_at_anew_and_restarts_once(
    shared: House, changes: dict[str, Any]
) -> None:
    await change(shared)
    await shared.pass_over()
    reads = shared.reads()
    await shared.clock.advance(6)
    shared.static(rolloutRestartTargets=TARGETS, **changes)
    await shared.pass_over()
    await shared.clock.advance(4)
    await shared.pass_over()
    assert shared.reads() == reads + 1
    assert len(restarts(shared)) == 1
    assert settled(shared)
    assert shared.status()["lastGeneration"] == shared.status()["observedGeneration"]


async def test_a_secret_that_somebody_edits_meanwhile_is_put_right(shared: House) -> None:
    await change(shared)
    await shared.pass_over()
    shared.cluster.edit_secret("db", password="foreign")
    await shared.pass_over()
    assert shared.cluster.secret_data("db")["password"] == "s3cret-2"
    await shared.clock.advance(WINDOW)
    await shared.pass_over()
    assert len(restarts(shared)) == 1
    assert settled(shared)


async def test_a_crash_meanwhile_leads_to_one_restart(shared: House) -> None:
    await change(shared)
    await shared.pass_over()
    key = shared.restarted()
    shared.restarts.leave(STATIC, key)
    await shared.clock.advance(60)
    assert await shared.pass_over() == WAITS
    await shared.clock.advance(WINDOW)
    await shared.pass_over()
    assert len(restarts(shared)) == 1
    assert settled(shared)


async def test_a_status_that_could_not_be_written_is_written_by_the_next_pass(shared: House) -> None:
    await change(shared)
    await shared.pass_over()
    await shared.clock.advance(WINDOW)
    answers = iter([status(500, "InternalError")])
    shared.cluster.refuse = lambda seen: next(answers, None) if seen.path.endswith("/status") else None
    with pytest.raises(TransientError):
        await shared.pass_over()
    await shared.clock.advance(10)
    assert await shared.pass_over() == Result()
    assert len(restarts(shared)) == 1
    assert settled(shared)


async def test_a_missing_target_is_told_and_tried_again_ever_more_slowly(shared: House) -> None:
    shared.cluster.workloads.clear()
    await change(shared)
    assert await shared.pass_over() == WAITS
    await shared.clock.advance(WINDOW)
    for _ in range(3):  # without a good pass between, which would end the queue's patience
        with pytest.raises(TransientError):
            await shared.pass_over()
    shared.cluster.workload(DEPLOYMENTS, "web")
    await shared.pass_over()
    assert settled(shared)


@pytest.mark.parametrize("gone", [True, False], ids=["deleted", "suspended"])
async def test_nobody_is_restarted_for_an_object_that_left_meanwhile(shared: House, gone: bool) -> None:
    await change(shared)
    await shared.pass_over()
    if gone:
        shared.watches.writers[STATIC].replace([])
        await shared.reconciler.reconcile(ObjectKey("app", "db"))
    else:
        shared.static(rolloutRestartTargets=TARGETS, suspend=True)
        await shared.pass_over()
    await shared.clock.advance(WINDOW)
    other = Owed(STATIC, ObjectKey("app", "other"), {"other": "digest"}, None)
    web = [RolloutTarget(kind="Deployment", name="web")]
    for _ in range(2):
        await shared.restarts.restart(other, web)
        await shared.clock.advance(WINDOW)
    assert [patch["spec"]["template"]["metadata"]["annotations"] for patch in restarts(shared)] == [{"other": "digest"}]


# The same for credentials with a lease.


@pytest.fixture
async def lent() -> AsyncIterator[DynamicHouse]:
    async with dynamic_house(company=WINDOW) as opened:
        opened.home.cluster.workload(DEPLOYMENTS, "web")
        opened.wants(rolloutRestartTargets=TARGETS)
        await opened.pass_over()
        opened.wants(metadata={"annotations": {"vso.hashicorp.com/resync": "now"}})
        yield opened


async def test_new_credentials_are_settled_without_asking_for_them_again(lent: DynamicHouse) -> None:
    assert await lent.pass_over() == WAITS
    assert lent.due_in() == WINDOW
    asked, written = len(lent.home.vault.seen), lent.home.writes()
    assert "pendingLease" in lent.status
    await lent.until_due()
    assert lent.home.writes()[len(written) :][:3] == [*PAID, "PATCH vaultdynamicsecrets/db/status"]
    assert [seen.path for seen in lent.home.vault.seen[asked:] if "creds" in seen.path or "lookup" in seen.path] == []
    assert lent.status["rolledOutDigest"] == lent.digest(lent.lease) == lent.mark
    assert lent.status["history"][0]["restart"] == "Triggered"
    assert "pendingLease" not in lent.status
    assert lent.status["lastHandledResync"] == "now"


async def test_a_lease_counts_from_when_it_was_issued_and_not_from_when_it_was_told(lent: DynamicHouse) -> None:
    issued = lent.home.clock.now()
    await lent.pass_over()
    await lent.home.clock.advance(WINDOW)
    await lent.pass_over()
    assert lent.status["lastRenewalTime"] == int(issued.timestamp())


async def test_a_crash_before_the_restart_keeps_the_credentials_and_restarts_once(lent: DynamicHouse) -> None:
    await lent.pass_over()
    mark = lent.mark
    lent.restart()
    lent.home.restarts.leave(DYNAMIC, ObjectKey("app", "db"))
    assert await lent.pass_over() == WAITS
    await lent.home.clock.advance(WINDOW)
    await lent.pass_over()
    assert lent.status["rolledOutDigest"] == lent.digest(lent.lease) == lent.mark == mark
    assert len(restarts(lent.home)) == 1


async def test_a_secret_that_is_deleted_meanwhile_is_issued_anew_once_its_restart_is_told(lent: DynamicHouse) -> None:
    await lent.pass_over()
    notes = lent.running.memories.find(ObjectKey("app", "db"))
    assert notes is not None
    notes.deleted_uid = lent.home.cluster.secrets.stored.pop("db")["metadata"]["uid"]
    for _ in range(2):
        await lent.until_due()
    assert lent.status["rolledOutDigest"] == lent.digest(lent.lease) == lent.mark


async def test_a_restart_that_is_asked_for_waits_for_company_too(lent: DynamicHouse) -> None:
    lent.wants(metadata={"annotations": {"vso.hashicorp.com/restart": "now"}})
    held = lent.mark
    assert await lent.pass_over() == WAITS
    assert restarts(lent.home) == []
    await lent.home.clock.advance(WINDOW)
    await lent.pass_over()
    assert (len(restarts(lent.home)), lent.status["lastHandledRestart"]) == (1, "now")
    assert lent.mark == held
