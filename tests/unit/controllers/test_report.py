"""Which error goes back to the queue, and what was said on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.house import STATIC, Freshness, reporter_for
from tests.fakes.kube_transport import connected, serving, status
from vso.api.scheme import parse_as
from vso.api.secrets import VaultStaticSecret, VaultStaticSecretStatus
from vso.controllers.looks import Look
from vso.controllers.memory import Memory
from vso.controllers.report import Reporter, Telling
from vso.core.errors import ConfigError, Reason, TerminalError, TransientError
from vso.decide.assess import News
from vso.decide.outcome import InOrder
from vso.kube.errors import ConflictError
from vso.kube.event_recorder import EventRecorder
from vso.vault.errors import BreakerOpenError, VaultDownError

DANGLING = ConfigError(Reason.REFERENCE_NOT_FOUND, "VaultAuth app/x does not exist")
DENIED = ConfigError(Reason.VAULT_PERMISSION_DENIED, "permission denied")
BUSY = TransientError(Reason.VAULT_THROTTLED, "slow down", 7.0)
AWAY = BreakerOpenError(Reason.VAULT_UNAVAILABLE, "no answer")


@dataclass
class Desk:
    reporter: Reporter[VaultStaticSecretStatus]
    events: EventRecorder
    freshness: Freshness
    cluster: FakeCluster
    clock: FakeClock
    notes: Memory[VaultStaticSecretStatus]
    writes: list[Any]

    def look(self) -> Look[Any, VaultStaticSecretStatus]:
        record = self.cluster.record(STATIC, "db")
        cr = parse_as(VaultStaticSecret, record.body)
        return Look(record, cr, cr.status, self.notes, self.clock.now(), self.clock.monotonic())

    async def said(self) -> list[tuple[str, str]]:
        await self.events.flush()
        return [(event["type"], event["reason"]) for event in self.cluster.events if "reason" in event]

    async def synced(self) -> None:
        await self.reporter.in_order(self.look(), lambda status: status, InOrder())


@pytest.fixture
async def desk(clock: FakeClock) -> AsyncIterator[Desk]:
    cluster = FakeCluster()
    spec = {"mount": "kv", "path": "a", "type": "kv-v2", "destination": {"name": "db"}}
    record = cluster.put(STATIC, "db", spec)
    async with serving(cluster) as api, connected(api, clock=clock) as kube:
        reporter, events, freshness = reporter_for(kube, STATIC, clock)
        yield Desk(reporter, events, freshness, cluster, clock, Memory(record.uid, record.look), api.requests)


async def test_a_passing_failure_goes_back_as_it_is(desk: Desk) -> None:
    assert await desk.reporter.failed(desk.look(), BUSY) is BUSY


async def test_what_a_human_must_mend_goes_back_as_it_is(desk: Desk) -> None:
    terminal = TerminalError(Reason.UNSUPPORTED, "no")
    assert await desk.reporter.failed(desk.look(), DENIED) is DENIED
    assert await desk.reporter.failed(desk.look(), terminal) is terminal


async def test_a_missing_right_is_looked_for_again_soon_since_no_watch_tells_of_it(desk: Desk) -> None:
    told = await desk.reporter.failed(desk.look(), ConfigError(Reason.KUBERNETES_FORBIDDEN, "no right"))
    assert type(told) is TransientError
    assert told.retry_after is None


async def test_a_vault_that_is_away_is_waited_for_since_its_return_wakes_everybody(desk: Desk) -> None:
    told = await desk.reporter.failed(desk.look(), AWAY)
    assert type(told) is TransientError
    assert (told.reason, told.retry_after) == (Reason.VAULT_UNAVAILABLE, 300.0)


async def test_a_single_failure_that_opens_no_breaker_is_tried_again_soon_since_nothing_will_wake_it(
    desk: Desk,
) -> None:
    once = VaultDownError(Reason.VAULT_UNAVAILABLE, "no answer")
    assert await desk.reporter.failed(desk.look(), once) is once
    assert once.retry_after is None


async def test_an_outage_is_looked_at_again_when_the_data_gets_too_old(desk: Desk) -> None:
    await desk.synced()
    told = await desk.reporter.failed(desk.look(), AWAY, Telling(timedelta(seconds=40)))
    assert isinstance(told, TransientError)
    assert told.retry_after == 40.0
    await desk.clock.advance(40)
    await desk.reporter.failed(desk.look(), AWAY, Telling(timedelta(seconds=40)))
    conditions = desk.cluster.status(STATIC, "db")["conditions"]
    assert next(c["status"] for c in conditions if c["type"] == "Ready") == "False"


async def test_an_outage_names_the_connection_that_it_was_met_on_and_is_told_once(desk: Desk) -> None:
    await desk.synced()
    desk.notes.failing_on = "app/vault"
    for reason in (Reason.VAULT_UNAVAILABLE, Reason.VAULT_SEALED, Reason.VAULT_STANDBY):
        told = await desk.reporter.failed(desk.look(), TransientError(reason, f"it is {reason}"))
        assert told.reason is reason  # the log tells each
    conditions = desk.cluster.status(STATIC, "db")["conditions"]
    message = next(c["message"] for c in conditions if c["type"] == "Healthy")
    assert message.startswith("it is VaultUnavailable; ")
    assert message.endswith("; VaultConnection app/vault tells how it is now")
    assert len([seen for seen in desk.writes if seen.path.endswith("/status")]) == 2
    assert await desk.said() == [("Warning", "VaultUnavailable")]


async def test_a_dangling_reference_is_waited_for_until_patience_ends(desk: Desk) -> None:
    told = await desk.reporter.failed(desk.look(), DANGLING)
    assert isinstance(told, TransientError)
    assert told.reason is Reason.REFERENCE_NOT_FOUND
    assert told.retry_after is not None
    assert 0 < told.retry_after <= 30
    await desk.clock.advance(31)
    assert await desk.reporter.failed(desk.look(), DANGLING) is DANGLING


async def test_a_conflict_says_nothing(desk: Desk) -> None:
    conflict = ConflictError("moved on")
    assert await desk.reporter.failed(desk.look(), conflict) is conflict
    assert desk.writes == []
    assert desk.freshness.told == []
    assert await desk.said() == []


async def test_a_failure_that_cannot_be_said_gives_way_to_the_reason_why(desk: Desk) -> None:
    desk.cluster.refuse = lambda request: status(409, "Conflict") if "/status" in request.path else None
    told = await desk.reporter.failed(desk.look(), DENIED)
    assert isinstance(told, ConflictError)
    assert await desk.said() == []


async def test_an_event_goes_out_only_with_a_status_that_was_written(desk: Desk) -> None:
    for _ in range(3):
        await desk.reporter.failed(desk.look(), DENIED)
    assert await desk.said() == [("Warning", "VaultPermissionDenied")]
    assert len([seen for seen in desk.writes if seen.path.endswith("/status")]) == 1


async def test_a_recovery_is_told_unless_there_is_better_news(desk: Desk) -> None:
    await desk.reporter.failed(desk.look(), DENIED)
    await desk.synced()
    assert (await desk.said())[1:] == [("Normal", "Recovered")]
    await desk.reporter.failed(desk.look(), DENIED)
    news = News("Normal", Reason.SECRET_SYNCED, "Secret db created")
    await desk.reporter.in_order(desk.look(), lambda status: status, InOrder(), news)
    assert (await desk.said())[-1] == ("Normal", "SecretSynced")


async def test_the_kinds_own_fields_are_written_along(desk: Desk) -> None:
    await desk.reporter.in_order(
        desk.look(), lambda status: status.model_copy(update={"source_version": "7"}), InOrder()
    )
    stored = desk.cluster.status(STATIC, "db")
    assert (stored["sourceVersion"], stored["lastGeneration"], stored["observedGeneration"]) == ("7", 1, 1)


async def test_freshness_hears_of_every_pass_written_or_not(desk: Desk) -> None:
    await desk.synced()
    await desk.synced()
    await desk.reporter.failed(desk.look(), DENIED)
    desk.reporter.forget(desk.look().key)
    assert [(ready, reason) for _, ready, reason in desk.freshness.told] == [
        (True, "Ready"),
        (True, "Ready"),
        (False, "VaultPermissionDenied"),
    ]
    assert desk.freshness.left == [desk.look().key]


async def test_a_good_pass_clears_the_connection_that_the_last_one_failed_on(desk: Desk) -> None:
    desk.notes.failing_on = "app/vault"
    await desk.synced()
    assert desk.notes.failing_on == ""


async def test_suspended(desk: Desk) -> None:
    await desk.reporter.suspended(desk.look())
    await desk.reporter.suspended(desk.look())
    assert len(desk.writes) == 1
    assert desk.cluster.status(STATIC, "db")["conditions"][0]["reason"] == "Suspended"
