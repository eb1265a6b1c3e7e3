"""What a status says after each act on a lease, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fakes.clock import T0
from vso.api.scheme import dump_status
from vso.api.secrets import LeaseRef, PendingLease, SecretLease, StaticCredsMetaData, VaultDynamicSecretStatus
from vso.api.shared import DestinationStatus, HistoryEntry, VaultClientMeta
from vso.controllers import dynamic_status
from vso.controllers.dynamic_status import HISTORY, Grant, Settled
from vso.controllers.restarts import Restarted
from vso.core.errors import Reason, TransientError
from vso.decide.lease import Because
from vso.kube.secret_plan import Recorded, Written

NOW = T0 + timedelta(seconds=0.75)
"""Between two seconds: what a status tells is cut to whole ones."""
OVERLAP = timedelta(minutes=5)


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def lasting(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


GRANT = Grant("lease-new", lasting(600), renewable=True, request_id="r", token_ends=after(3600.9), client_id="client")
NO_LEASE = Grant("", lasting(0), renewable=False, request_id="r", token_ends=None)
DONE = Settled(
    because=Because.ASKED,
    grant=GRANT,
    digest="digest-of-new",
    written=Written("db", "uid", "7", "patched", ""),
    restarted=None,
    shape="shape",
    resync="again",
    asked="restart-1",
    cache_key="cache",
    pod_uid="pod",
)
OLD = VaultDynamicSecretStatus(
    secret_lease=SecretLease(id="old", duration=600, renewable=True, token_expire_time=after(1800)),
    last_renewal_time=int(T0.timestamp()) - 100,
    expires=after(500),
    pending_lease=PendingLease(id="lease-new", not_after=after(600)),
    rolled_out_digest="digest-of-old",
    secret_mac="mac",
    static_creds_meta_data=StaticCredsMetaData(last_vault_rotation=1),
    last_generation=3,
)
TOOK = Restarted(("Deployment/web",), ())
FAILED = Restarted((), (("Deployment/web", TransientError(Reason.ROLLOUT_RESTART_FAILED, "not found")),))


def test_new_credentials_take_the_place_of_all_that_was_said_of_the_old_ones() -> None:
    status = dynamic_status.settled(OLD, DONE, NOW, OVERLAP)
    assert status == OLD.model_copy(
        update={
            "secret_lease": SecretLease(
                id="lease-new", duration=600, renewable=True, request_id="r", token_expire_time=after(3600)
            ),
            "last_renewal_time": int(T0.timestamp()),
            "expires": after(600),
            "pending_lease": None,
            "retired_leases": (LeaseRef(id="old", not_after=after(300)),),
            "secret_mac": "",
            "static_creds_meta_data": None,
            "destination": DestinationStatus(name="db", uid="uid", resource_version="7"),
            "source_version": "shape",
            "rolled_out_digest": "digest-of-new",
            "last_handled_resync": "again",
            "last_handled_restart": "restart-1",
            "last_sync_time": T0,
            "last_runtime_pod_uid": "pod",
            "vault_client_meta": VaultClientMeta(cache_key="cache", id="client"),
            "history": (HistoryEntry(time=T0, lease="digest-of-new", reason="ForceSync"),),
        }
    )


@pytest.mark.parametrize(
    ("grant", "expires", "token"),
    [
        pytest.param(GRANT, 600, 3600, id="ends-by-itself"),
        pytest.param(replace(GRANT, token_ends=after(90.9)), 90, 90, id="ends-with-its-token"),
        pytest.param(replace(GRANT, token_ends=None), 600, None, id="token-without-a-known-end"),
        pytest.param(replace(GRANT, age=lasting(100)), 500, 3600, id="granted-a-while-ago"),
        pytest.param(replace(GRANT, duration=lasting(0.2)), 0, 3600, id="shorter-than-a-second"),
        pytest.param(replace(GRANT, duration=lasting(0)), None, 3600, id="without-a-life"),
        pytest.param(NO_LEASE, None, None, id="no-lease"),
        pytest.param(replace(NO_LEASE, token_ends=after(90)), None, None, id="no-lease-hangs-on-no-token"),
        pytest.param(replace(NO_LEASE, duration=lasting(60)), None, None, id="no-lease-has-no-life"),
    ],
)
def test_times_are_cut_to_whole_seconds_and_the_end_is_the_first_of_two(
    grant: Grant, expires: float | None, token: float | None
) -> None:
    status = dynamic_status.settled(OLD, replace(DONE, grant=grant), NOW, OVERLAP)
    assert status.expires == (None if expires is None else after(expires))
    assert status.secret_lease.token_expire_time == (None if token is None else after(token))


def test_a_token_without_an_end_bounds_nothing() -> None:
    endless = replace(GRANT, token_ends=datetime.max.replace(tzinfo=UTC))
    status = dynamic_status.settled(OLD, replace(DONE, grant=endless), NOW, OVERLAP)
    assert status.expires == after(600)
    assert dump_status(status)["secretLease"]["tokenExpireTime"] == "9999-12-31T23:59:59Z"
    assert dynamic_status.pending(OLD, endless, NOW).pending_lease == PendingLease(
        id="lease-new", not_after=after(600), token_expire_time=endless.token_ends, client_id="client"
    )


@pytest.mark.parametrize(("age", "at"), [(0, 0), (0.5, 0), (0.9, -1), (100, -100)])
def test_the_renewal_is_told_as_of_when_it_was(age: float, at: int) -> None:
    status = dynamic_status.settled(OLD, replace(DONE, grant=replace(GRANT, age=lasting(age))), NOW, OVERLAP)
    assert status.last_renewal_time == int(T0.timestamp()) + at


@pytest.mark.parametrize(
    ("changes", "overlap", "retired"),
    [
        pytest.param({}, 300, [("old", 300)], id="when-the-overlap-is-over"),
        pytest.param({}, 900, [("old", 500)], id="its-own-end-is-first"),
        pytest.param({"expires": None}, 900, [("old", 900)], id="without-a-known-end"),
        pytest.param({}, 0, [("old", 0)], id="no-overlap"),
        pytest.param({"secret_lease": SecretLease()}, 300, [], id="nothing-was-lent-before"),
        pytest.param(
            {"retired_leases": (LeaseRef(id="older", not_after=after(9)),)},
            300,
            [("older", 9), ("old", 300)],
            id="behind-those-before",
        ),
    ],
)
def test_a_replaced_lease_lives_on_until_its_overlap_or_its_life_is_over(
    changes: dict[str, object], overlap: float, retired: list[tuple[str, float]]
) -> None:
    status = dynamic_status.settled(OLD.model_copy(update=changes), DONE, NOW, lasting(overlap))
    assert status.retired_leases == tuple(LeaseRef(id=name, not_after=after(end)) for name, end in retired)


@pytest.mark.parametrize(
    ("restarted", "digest", "told"),
    [
        pytest.param(None, "digest-of-new", "", id="nobody-to-restart"),
        pytest.param(TOOK, "digest-of-new", "Triggered", id="restarted"),
        pytest.param(FAILED, "digest-of-old", "Failed", id="owed-still"),
        pytest.param(replace(TOOK, failed=FAILED.failed), "digest-of-old", "Failed", id="owed-still-to-one-of-two"),
    ],
)
def test_a_restart_that_failed_is_owed_still(restarted: Restarted | None, digest: str, told: str) -> None:
    status = dynamic_status.settled(OLD, replace(DONE, restarted=restarted), NOW, OVERLAP)
    assert (status.rolled_out_digest, status.history[0].restart) == (digest, told)


def test_the_server_says_when_the_secret_was_written_and_five_rotations_are_remembered() -> None:
    status, written = OLD, replace(DONE.written, set_at=after(-7.5))
    for number in range(HISTORY + 2):
        status = dynamic_status.settled(status, replace(DONE, digest=str(number), written=written), NOW, OVERLAP)
    assert [entry.lease for entry in status.history] == ["6", "5", "4", "3", "2"]
    assert status.last_sync_time == status.history[0].time == after(-8)


@pytest.mark.parametrize(
    ("ends", "not_after", "token"),
    [
        pytest.param(after(90.9), 90, 90, id="its-token-ends-first"),
        pytest.param(after(3600.9), 600, 3600, id="it-ends-first"),
        pytest.param(None, 600, None, id="token-without-a-known-end"),
    ],
)
def test_a_pending_lease_is_named_with_its_ends_and_nothing_else_moves(
    ends: datetime | None, not_after: float, token: float | None
) -> None:
    status = dynamic_status.pending(OLD, replace(GRANT, token_ends=ends), NOW)
    named = PendingLease(
        id="lease-new",
        not_after=after(not_after),
        token_expire_time=None if token is None else after(token),
        client_id="client",
    )
    assert status == OLD.model_copy(update={"pending_lease": named})


@pytest.mark.parametrize(
    ("grant", "changes"),
    [
        pytest.param(
            replace(GRANT, lease_id="old"),
            {"expires": after(600), "token": after(3600), "duration": 600},
            id="by-its-own-token",
        ),
        pytest.param(
            replace(GRANT, lease_id="old", token_ends=None),
            {"expires": after(600), "token": after(1800), "duration": 600},
            id="by-another-token-that-moves-no-end",
        ),
        pytest.param(
            replace(GRANT, lease_id="old", duration=lasting(2400), token_ends=None),
            {"expires": after(1800), "token": after(1800), "duration": 2400},
            id="by-another-token-and-past-that-end",
        ),
    ],
)
def test_a_renewal_moves_the_ends_and_nothing_else(grant: Grant, changes: dict[str, object]) -> None:
    status = dynamic_status.renewed(OLD, grant, NOW)
    assert status == OLD.model_copy(
        update={
            "last_renewal_time": int(T0.timestamp()),
            "expires": changes["expires"],
            "secret_lease": SecretLease(
                id="old",
                duration=changes["duration"],
                renewable=True,
                request_id="r",
                token_expire_time=changes["token"],
            ),
        }
    )


MOVED = Recorded("other", "8")
HELD = OLD.model_copy(update={"destination": DestinationStatus(name="db", uid="uid", resource_version="7")})


@pytest.mark.parametrize(
    ("status", "written", "restarted", "changes"),
    [
        pytest.param(HELD, None, None, {}, id="nothing"),
        pytest.param(
            HELD,
            MOVED,
            None,
            {"destination": DestinationStatus(name="db", uid="other", resource_version="8")},
            id="metadata",
        ),
        pytest.param(OLD, MOVED, None, {}, id="a-secret-that-was-never-recorded"),
        pytest.param(HELD, None, TOOK, {"rolled_out_digest": "owed"}, id="restarted"),
        pytest.param(HELD, None, FAILED, {}, id="restart-owed-still"),
    ],
)
def test_what_follows_the_spec_leaves_the_lease_alone(
    status: VaultDynamicSecretStatus,
    written: Recorded | None,
    restarted: Restarted | None,
    changes: dict[str, object],
) -> None:
    assert dynamic_status.followed(status, written, restarted, "owed", "asked") == status.model_copy(
        update={"last_handled_restart": "asked", **changes}
    )


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        pytest.param([], "abb", id="none"),
        pytest.param(["a"], "bb", id="one"),
        pytest.param(["b"], "a", id="named-twice"),
        pytest.param(["a", "b"], "", id="all"),
        pytest.param(["old", "new", "x"], "abb", id="others"),
    ],
)
def test_only_replaced_leases_are_forgotten(gone: list[str], left: str) -> None:
    status = OLD.model_copy(update={"retired_leases": tuple(LeaseRef(id=name) for name in "abb")})
    found = dynamic_status.without_retired(status, iter(gone))
    assert "".join(ref.id for ref in found.retired_leases) == left
    assert found == status.model_copy(update={"retired_leases": found.retired_leases})


@pytest.mark.parametrize(
    ("changes", "first", "type_", "reason"),
    [
        pytest.param({}, True, "Normal", Reason.SECRET_SYNCED, id="first"),
        pytest.param({}, False, "Normal", Reason.SECRET_ROTATED, id="later"),
        pytest.param({"restarted": TOOK}, False, "Normal", Reason.SECRET_ROTATED, id="restarted"),
        pytest.param({"restarted": FAILED}, True, "Warning", Reason.ROLLOUT_RESTART_FAILED, id="not-restarted"),
        pytest.param(
            {"grant": replace(GRANT, duration=lasting(89))}, True, "Warning", Reason.LEASE_TOO_SHORT, id="short"
        ),
        pytest.param({"grant": NO_LEASE}, True, "Normal", Reason.SECRET_SYNCED, id="no-lease-is-not-short"),
    ],
)
def test_the_event_says_what_matters_most(changes: dict[str, Any], first: bool, type_: str, reason: Reason) -> None:
    news = dynamic_status.news_of(replace(DONE, **changes), first=first)
    assert (news.type, news.reason) == (type_, reason)
    assert "lease-new" not in news.message
