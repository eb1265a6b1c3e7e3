from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.clock import T0
from tests.fakes.cluster import FakeCluster
from tests.fakes.house import STATIC, static_spec
from vso.api.scheme import parse_as
from vso.api.secrets import VaultStaticSecret, VaultStaticSecretStatus
from vso.api.shared import DestinationStatus
from vso.controllers.destinations import Landed, StaticLook
from vso.controllers.looks import Look
from vso.controllers.memory import Memory
from vso.controllers.restarts import Restarted
from vso.controllers.static_status import HISTORY, Synced, is_rotation, news_of, outcome_of, status_of
from vso.core.errors import ConfigError, Reason
from vso.decide.sync import SyncPlan, Why
from vso.kube.secret_plan import Outcome
from vso.kube.secrets import Written

BEFORE = VaultStaticSecretStatus(
    destination=DestinationStatus(name="db", uid="s1", resource_version="5"),
    secret_mac="d1",
    rolled_out_digest="d1",
    last_sync_time=T0,
    source_version="1",
)
DONE = Restarted(("Deployment app/web",), ())
FAILED = Restarted((), (("Deployment app/web", ConfigError(Reason.ROLLOUT_RESTART_FAILED, "does not exist")),))
LATER = T0 + timedelta(hours=1, milliseconds=7)
AT = T0 + timedelta(hours=1)


def look(status: VaultStaticSecretStatus = BEFORE, **spec: Any) -> StaticLook:
    record = FakeCluster().put(STATIC, "db", static_spec(**spec))
    cr = parse_as(VaultStaticSecret, record.body)
    return Look(record, cr, status, Memory(record.uid, record.look), LATER, 0.0)


def landed(outcome: Outcome = "patched", *, drifted: bool = False, moved: bool = True, orphan: str = "") -> Landed:
    return Landed(Written("db", "s1", "9", outcome, "m"), drifted=drifted, moved=moved, orphan=orphan)


IDLE = Synced(Why.RESYNC, "d1", "1", None, None, None)
ROTATED = Synced(Why.SOURCE_CHANGED, "d2", "2", landed(), AT, None)
FIRST = Synced(Why.FIRST_SYNC, "d1", "1", landed("created"), AT, None)


def after(
    synced: Synced, status: VaultStaticSecretStatus = BEFORE, resync: str = "", **spec: Any
) -> VaultStaticSecretStatus:
    return status_of(look(status, **spec), status, synced, ("key", "id"), resync)


def test_an_idle_look_changes_nothing() -> None:
    assert after(IDLE) == BEFORE


def test_a_resync_is_acknowledged_and_nothing_else() -> None:
    assert after(IDLE, resync="now") == BEFORE.model_copy(update={"last_handled_resync": "now"})


def test_a_rotation_is_dated_and_recorded() -> None:
    status = after(replace(ROTATED, restarted=DONE))
    assert status.last_sync_time == LATER.replace(microsecond=0)
    assert (status.secret_mac, status.source_version, status.rolled_out_digest) == ("d2", "2", "d2")
    assert status.destination == DestinationStatus(name="db", uid="s1", resource_version="9")
    (entry,) = status.history
    assert (entry.version, entry.reason, entry.restart) == ("2", "SourceChanged", "Triggered")
    assert status.vault_client_meta is not None
    assert (status.vault_client_meta.cache_key, status.vault_client_meta.id) == ("key", "id")


@pytest.mark.parametrize(
    ("synced", "dated"),
    [
        pytest.param(FIRST, True, id="created"),
        pytest.param(ROTATED, True, id="other-data"),
        pytest.param(replace(IDLE, landed=landed()), False, id="written-without-a-change"),
        pytest.param(replace(IDLE, landed=landed(drifted=True)), False, id="repaired"),
        pytest.param(IDLE, False, id="not-written"),
    ],
)
def test_the_last_sync_time_moves_only_when_the_data_did(synced: Synced, dated: bool) -> None:
    status = after(synced)
    assert (status.last_sync_time != T0) is dated
    assert len(status.history) == int(dated)


DATA = SyncPlan(write=True, metadata=False, data_changed=True, orphan="")
SAME = replace(DATA, data_changed=False)


@pytest.mark.parametrize(
    ("written", "plan", "known", "expected"),
    [
        pytest.param(landed(), DATA, True, True, id="other-data"),
        pytest.param(landed(), DATA, False, True, id="the-write-changed-something"),
        pytest.param(landed(moved=False), DATA, False, False, id="the-write-changed-nothing"),
        pytest.param(replace(landed(), untouched=True), DATA, True, False, id="other-digest-of-the-same"),
        pytest.param(landed(drifted=True), SAME, True, False, id="repaired"),
        pytest.param(landed("created", drifted=True), SAME, True, True, id="created-again"),
    ],
)
def test_which_writes_are_rotations(written: Landed, plan: SyncPlan, known: bool, expected: bool) -> None:
    assert is_rotation(written, plan, known=known) is expected


def test_the_history_keeps_the_last_five_newest_first() -> None:
    status = BEFORE
    for number in range(HISTORY + 3):
        status = after(replace(ROTATED, version=str(number)), status)
    assert [entry.version for entry in status.history] == ["7", "6", "5", "4", "3"]


def test_a_restart_that_was_made_up_for_is_recorded_with_its_rotation() -> None:
    failed = after(replace(ROTATED, restarted=FAILED))
    made_up = after(replace(IDLE, restarted=DONE), failed)
    assert [entry.restart for entry in made_up.history] == ["Triggered"]
    assert made_up.last_sync_time == failed.last_sync_time


@pytest.mark.parametrize(
    ("synced", "spec", "rolled_out"),
    [
        pytest.param(FIRST, {}, "d1", id="the-first-sync-adopts"),
        pytest.param(ROTATED, {}, "d2", id="without-targets-nobody-is-behind"),
        pytest.param(replace(ROTATED, restarted=DONE), {}, "d2", id="restarted"),
        pytest.param(replace(ROTATED, restarted=FAILED), {}, "d1", id="a-failed-restart-stays-owed"),
        pytest.param(ROTATED, {"hmacSecretData": False}, "d1", id="without-comparison-nothing-is-known"),
    ],
)
def test_the_rolled_out_digest(synced: Synced, spec: dict[str, Any], rolled_out: str) -> None:
    assert after(synced, **spec).rolled_out_digest == rolled_out


def test_without_comparison_no_digest_is_published() -> None:
    status = after(FIRST, VaultStaticSecretStatus(), hmacSecretData=False)
    assert status.secret_mac == status.rolled_out_digest == ""


def test_a_failed_restart_is_told_in_a_condition_of_its_own() -> None:
    assert outcome_of(ROTATED).also == ()
    (failed,) = outcome_of(replace(ROTATED, restarted=FAILED)).also
    assert (failed.type, failed.status, failed.reason) == ("RolloutRestart", "False", Reason.ROLLOUT_RESTART_FAILED)
    assert failed.message == "Deployment app/web: does not exist"
    (done,) = outcome_of(replace(ROTATED, restarted=DONE)).also
    assert (done.status, done.message) == ("True", "restarted Deployment app/web")
    assert after(replace(ROTATED, restarted=FAILED)).history[0].restart == "Failed"


@pytest.mark.parametrize(
    ("status", "synced", "reason"),
    [
        pytest.param(VaultStaticSecretStatus(), FIRST, Reason.SECRET_SYNCED, id="first"),
        pytest.param(
            VaultStaticSecretStatus(), replace(IDLE, landed=landed("adopted")), Reason.SECRET_SYNCED, id="adopted"
        ),
        pytest.param(BEFORE, ROTATED, Reason.SECRET_SYNCED, id="rotated"),
        pytest.param(BEFORE, replace(IDLE, landed=landed(drifted=True)), Reason.DESTINATION_DRIFTED, id="repaired"),
        pytest.param(BEFORE, replace(ROTATED, restarted=FAILED), Reason.ROLLOUT_RESTART_FAILED, id="restart-failed"),
        pytest.param(BEFORE, replace(ROTATED, landed=landed(orphan="old")), Reason.ORPHANED_SECRET, id="orphan"),
        pytest.param(BEFORE, replace(IDLE, landed=landed()), None, id="written-without-a-change"),
        pytest.param(BEFORE, IDLE, None, id="not-written"),
    ],
)
def test_what_is_worth_an_event(status: VaultStaticSecretStatus, synced: Synced, reason: Reason | None) -> None:
    news = news_of(look(status), synced)
    assert (news and news.reason) == reason


def test_of_an_orphan_it_is_told_whether_it_holds_anything() -> None:
    told = [
        news_of(look(BEFORE), replace(ROTATED, landed=replace(landed(orphan="old"), emptied=emptied)))
        for emptied in (True, False)
    ]
    emptied, left = [news.message for news in told if news is not None]
    assert emptied.startswith("Secret old was emptied")
    assert "it is left as it is" in left
    assert "emptied" not in left
