"""Passes over a VaultStaticSecret, told from outside: what was asked of Vault, what was written."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.cluster import key
from tests.fakes.house import STATIC, House
from tests.fakes.kube_transport import Reply, Request, status
from tests.fakes.vault_server import Reply as VaultReply
from tests.fakes.vault_server import errors
from vso.core.errors import ConfigError, Reason, TransientError, VsoError

DEPLOYMENTS = "/apis/apps/v1/namespaces/app/deployments"
ROLLOUTS = "/apis/argoproj.io/v1alpha1/namespaces/app/rollouts"


async def test_the_first_pass_creates_the_secret_and_says_so(home: House) -> None:
    result = await home.pass_over()
    assert home.cluster.secret_data("db") == {"password": "s3cret-1"}
    assert home.writes() == ["POST secrets", "PATCH vaultstaticsecrets/db/status"]
    assert home.reads() == 1
    assert home.condition("Ready")["status"] == home.condition("Healthy")["status"] == "True"
    assert home.status()["lastGeneration"] == 1
    assert result.requeue_after is None
    assert await home.told() == [Reason.SECRET_SYNCED]


@pytest.mark.parametrize("watch", [True, False], ids=["after-the-watch-caught-up", "before-the-watch-caught-up"])
async def test_an_object_in_order_asks_nothing(home: House, watch: bool) -> None:
    await home.pass_over()
    before = len(home.api.requests)
    await home.pass_over(caught_up=watch)
    assert len(home.api.requests) == before
    assert home.reads() == 1


async def test_after_a_restart_an_object_in_order_asks_nothing(home: House) -> None:
    await home.pass_over()
    home.restarted()
    before = len(home.api.requests)
    await home.pass_over()
    assert len(home.api.requests) == before
    assert home.reads() == 1


async def test_a_failing_read_leaves_the_secret_alone_and_says_why(home: House) -> None:
    await home.pass_over()
    stored = home.cluster.secrets.stored["db"]
    home.fails(500, "internal error")
    home.notes().source_changed = True
    await home.clock.advance(10)
    with pytest.raises(TransientError) as caught:
        await home.pass_over()
    assert caught.value.reason is Reason.VAULT_UNAVAILABLE
    assert home.cluster.secrets.stored["db"] == stored
    assert home.condition("Healthy")["reason"] == "VaultUnavailable"
    assert home.condition("Ready")["status"] == "True"  # the data is still young
    assert await home.told() == [Reason.SECRET_SYNCED, Reason.VAULT_UNAVAILABLE]


async def test_a_failure_that_goes_on_writes_nothing_more(home: House) -> None:
    home.fails(500, "internal error")
    for _ in range(3):
        with pytest.raises(TransientError):
            await home.pass_over()
        await home.clock.advance(10)
    assert home.writes() == ["PATCH vaultstaticsecrets/db/status"]
    assert home.reads() == 3


async def test_what_recovers_says_so(home: House) -> None:
    home.fails(500, "internal error")
    with pytest.raises(TransientError):
        await home.pass_over()
    home.holds({"password": "s3cret-1"})
    await home.clock.advance(10)
    await home.pass_over()
    assert home.condition("Ready")["status"] == "True"
    assert home.condition("Reconciling") == {}
    assert home.notes().failing_on == ""


async def test_a_failing_pass_names_the_connection_that_it_failed_on(home: House) -> None:
    home.fails(500)
    with pytest.raises(TransientError):
        await home.pass_over()
    assert home.memories.failing_on("app/vault") == [key("db")]


async def test_a_changed_source_is_written_once(home: House) -> None:
    await home.pass_over()
    home.holds({"password": "s3cret-2"}, version=2)
    await home.clock.advance(10)
    home.notes().source_changed = True
    await home.pass_over()
    await home.pass_over()
    assert home.cluster.secret_data("db") == {"password": "s3cret-2"}
    assert home.writes()[2:] == ["PATCH secrets/db", "PATCH vaultstaticsecrets/db/status"]
    assert home.status()["sourceVersion"] == "2"
    assert [entry["reason"] for entry in home.status()["history"]] == ["SourceChanged", "FirstSync"]


async def test_a_source_with_another_version_and_the_same_data_touches_no_secret(home: House) -> None:
    await home.pass_over()
    home.holds({"password": "s3cret-1"}, version=2)
    await home.clock.advance(10)
    home.notes().source_changed = True
    await home.pass_over()
    assert home.writes()[2:] == ["PATCH vaultstaticsecrets/db/status"]
    assert len(home.status()["history"]) == 1


async def test_a_foreign_edit_is_repaired(home: House) -> None:
    await home.pass_over()
    home.cluster.edit_secret("db", password="foreign", more="x")
    await home.pass_over()
    assert home.cluster.secret_data("db") == {"password": "s3cret-1"}
    assert home.writes()[2:] == ["PATCH secrets/db", "PATCH vaultstaticsecrets/db/status"]
    assert await home.told() == [Reason.SECRET_SYNCED, Reason.DESTINATION_DRIFTED]
    before = len(home.api.requests)
    await home.pass_over()
    assert len(home.api.requests) == before


async def test_a_deleted_secret_is_created_again(home: House) -> None:
    await home.pass_over()
    home.notes().deleted_uid = home.status()["destination"]["uid"]
    del home.cluster.secrets.stored["db"]
    await home.pass_over()
    assert home.cluster.secret_data("db") == {"password": "s3cret-1"}
    assert home.status()["destination"]["uid"] == home.cluster.secrets.stored["db"]["metadata"]["uid"]


async def test_a_secret_deleted_while_nobody_looked_is_created_again(home: House) -> None:
    await home.pass_over()
    home.restarted()
    del home.cluster.secrets.stored["db"]
    await home.pass_over()
    assert home.cluster.secret_data("db") == {"password": "s3cret-1"}


# Crashes: what was written and not yet said is found out by the next pass.


def _once(refusal: Reply, method: str, part: str) -> Any:
    left = [refusal]

    def refuse(request: Request) -> Reply | None:
        hit = request.method == method and part in request.path and left
        return left.pop() if hit else None

    return refuse


CONFLICT = status(409, "Conflict", "the object has been modified")


async def test_a_crash_between_write_and_status_leads_to_no_second_change(home: House) -> None:
    home.cluster.refuse = _once(status(500, "InternalError"), "PATCH", "/status")
    with pytest.raises(TransientError):
        await home.pass_over()
    stored = home.cluster.secrets.stored["db"]
    home.restarted()
    await home.pass_over()
    assert home.cluster.secrets.stored["db"] == stored
    assert home.condition("Ready")["status"] == "True"
    assert home.status()["destination"]["uid"] == stored["metadata"]["uid"]


async def test_a_status_that_moved_on_is_not_overwritten_and_looked_at_again(home: House) -> None:
    home.watches.show(STATIC, home.cluster.record(STATIC, "db"))
    home.static(metadata={"labels": {"a": "b"}})  # the watch is behind
    with pytest.raises(TransientError) as caught:
        await home.pass_over(caught_up=False)
    assert caught.value.reason is Reason.KUBERNETES_CONFLICT
    assert home.status() == {}
    await home.pass_over()
    assert home.condition("Ready")["status"] == "True"


# Restarts.


async def _change(home: House, value: str, version: int = 2) -> None:
    home.holds({"password": value}, version=version)
    await home.clock.advance(10)
    home.notes().source_changed = True


def _patches(home: House, name: str) -> list[Any]:
    return [seen.json for seen in home.requests("PATCH", f"deployments/{name}")]


async def test_no_restart_on_the_first_sync_and_one_per_change(home: House) -> None:
    home.static(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    home.cluster.workload(DEPLOYMENTS, "web")
    await home.pass_over()
    await home.pass_over()
    assert _patches(home, "web") == []
    await _change(home, "s3cret-2")
    await home.pass_over()
    await home.pass_over()
    assert len(_patches(home, "web")) == 1
    assert home.condition("RolloutRestart")["status"] == "True"
    assert home.status()["history"][0]["restart"] == "Triggered"


async def test_a_failed_restart_is_owed_and_paid_later(home: House) -> None:
    home.static(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    await home.pass_over()
    await _change(home, "s3cret-2")
    with pytest.raises(TransientError) as caught:
        await home.pass_over()
    assert caught.value.reason is Reason.ROLLOUT_RESTART_FAILED
    assert home.condition("RolloutRestart")["status"] == "False"
    assert "Deployment app/web" in home.condition("RolloutRestart")["message"]
    assert home.condition("Ready")["status"] == "True"
    home.cluster.workload(DEPLOYMENTS, "web")
    await home.clock.advance(10)
    await home.pass_over()
    assert home.condition("RolloutRestart")["status"] == "True"
    assert home.status()["rolledOutDigest"] == home.status()["secretMAC"]


async def test_a_target_that_took_its_restart_is_left_alone_while_another_is_missing(home: House) -> None:
    home.static(rolloutRestartTargets=[{"kind": "Deployment", "name": name} for name in ("web", "missing")])
    home.cluster.workload(DEPLOYMENTS, "web")
    await home.pass_over()
    await _change(home, "s3cret-2")
    for _ in range(3):
        with pytest.raises(TransientError):
            await home.pass_over()
        await home.clock.advance(10)
    assert len({str(patch) for patch in _patches(home, "web")}) == 1
    home.restarted()
    with pytest.raises(TransientError):
        await home.pass_over()
    assert len({str(patch) for patch in _patches(home, "web")}) == 1


async def test_a_restart_that_could_not_be_said_is_not_made_twice(home: House) -> None:
    home.static(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    home.cluster.workload(DEPLOYMENTS, "web")
    await home.pass_over()
    await _change(home, "s3cret-2")
    home.cluster.refuse = _once(CONFLICT, "PATCH", "/status")
    with pytest.raises(TransientError):
        await home.pass_over()
    await home.clock.advance(10)
    await home.pass_over()
    assert len(_patches(home, "web")) == 1
    assert home.status()["sourceVersion"] == "2"
    assert home.status()["rolledOutDigest"] == home.status()["secretMAC"]


@pytest.mark.parametrize("targets", [("Deployment", DEPLOYMENTS), ("argo.Rollout", ROLLOUTS)])
async def test_a_crash_between_restart_and_status_leads_to_one_restart(home: House, targets: tuple[str, str]) -> None:
    kind, path = targets
    home.static(rolloutRestartTargets=[{"kind": kind, "name": "web"}])
    home.cluster.workload(path, "web")
    await home.pass_over()
    await _change(home, "s3cret-2")
    home.cluster.refuse = _once(status(500, "InternalError"), "PATCH", "/status")
    with pytest.raises(TransientError):
        await home.pass_over()
    restarted = home.cluster.workload(path, "web")
    assert "spec" in restarted
    home.restarted()
    await home.clock.advance(10)
    await home.pass_over()
    assert home.cluster.workload(path, "web") == restarted
    assert home.status()["lastSyncTime"] == home.status()["history"][0]["time"] == "2026-01-01T12:00:10Z"
    assert home.status()["rolledOutDigest"] == home.status()["secretMAC"]


async def test_a_crash_after_labels_and_data_changed_together_leads_to_one_restart(home: House) -> None:
    home.static(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    home.cluster.workload(DEPLOYMENTS, "web")
    await home.pass_over()
    await _change(home, "s3cret-2")
    home.static(
        rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}],
        destination={"name": "db", "create": True, "labels": {"tier": "db"}, "transformation": {"excludeRaw": True}},
    )
    home.cluster.refuse = _once(status(500, "InternalError"), "PATCH", "/status")
    with pytest.raises(TransientError):
        await home.pass_over()
    home.restarted()
    await home.clock.advance(10)
    await home.pass_over()
    assert len({str(patch) for patch in _patches(home, "web")}) == 1


async def test_a_restart_that_is_paid_later_has_the_time_of_the_rotation(home: House) -> None:
    home.static(rolloutRestartTargets=[{"kind": "Deployment", "name": name} for name in ("web", "late")])
    home.cluster.workload(DEPLOYMENTS, "web")
    await home.pass_over()
    await _change(home, "s3cret-2")
    with pytest.raises(TransientError):
        await home.pass_over()
    home.cluster.workload(DEPLOYMENTS, "late")
    await home.clock.advance(10)
    await home.pass_over()
    assert str(_patches(home, "late")[-1]) == str(_patches(home, "web")[0])


async def test_a_rotation_that_only_takes_keys_away_restarts_once_too_and_the_history_tells_when(home: House) -> None:
    home.holds({"password": "s3cret-1", "user": "app"})
    home.static(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    home.cluster.workload(DEPLOYMENTS, "web")
    await home.pass_over()
    await _change(home, "s3cret-1")
    home.cluster.refuse = _once(status(500, "InternalError"), "PATCH", "/status")
    with pytest.raises(TransientError):
        await home.pass_over()
    home.restarted()
    await home.clock.advance(10)
    await home.pass_over()
    assert [entry["time"] for entry in home.status()["history"]] == ["2026-01-01T12:00:10Z", "2026-01-01T12:00:00Z"]
    assert len({str(patch) for patch in _patches(home, "web")}) == 1


@pytest.mark.parametrize("refusal", [CONFLICT, status(500, "InternalError")], ids=["conflict", "server-error"])
async def test_a_rotation_that_could_not_be_said_is_said_by_the_next_pass(home: House, refusal: Reply) -> None:
    await home.pass_over()
    await _change(home, "s3cret-2")
    refused = [refusal, refusal]
    home.cluster.refuse = lambda seen: refused.pop() if refused and seen.path.endswith("/status") else None
    with pytest.raises(TransientError):
        await home.pass_over()
    refused.clear()
    await home.pass_over()
    assert home.status()["sourceVersion"] == "2"
    assert len(home.status()["history"]) == 2
    before = len(home.api.requests)
    await home.pass_over()
    assert len(home.api.requests) == before


async def test_targets_that_come_later_are_not_restarted_for_data_they_started_with(home: House) -> None:
    await home.pass_over()
    home.static(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    home.cluster.workload(DEPLOYMENTS, "web")
    await home.pass_over()
    assert _patches(home, "web") == []


# What people ask for.


async def test_a_touched_object_is_looked_at_once_and_afresh(home: House) -> None:
    await home.pass_over()
    home.static(metadata={"labels": {"look": "again"}})
    await home.pass_over()
    await home.pass_over()
    assert home.reads() == 2
    assert len(home.writes()) == 2  # nothing had changed


async def test_a_resync_is_handled_once_per_value_and_acknowledged(home: House) -> None:
    await home.pass_over()
    for value in ("one", "two"):
        home.static(metadata={"annotations": {"vso.hashicorp.com/resync": value}})
        await home.pass_over()
        await home.pass_over()
        assert home.status()["lastHandledResync"] == value
    assert home.reads() == 3
    home.restarted()
    await home.pass_over()
    assert home.reads() == 3


async def test_a_changed_spec_is_applied(home: House) -> None:
    await home.pass_over()
    destination = {"name": "db", "create": True, "labels": {"team": "a"}, "transformation": {"excludeRaw": True}}
    home.static(destination=destination)
    await home.pass_over()
    assert home.cluster.secrets.stored["db"]["metadata"]["labels"]["team"] == "a"
    assert home.status()["lastGeneration"] == home.status()["observedGeneration"] == 2
    assert len(home.status()["history"]) == 1


async def test_a_suspended_object_rests(home: House) -> None:
    home.static(suspend=True)
    await home.pass_over()
    assert home.reads() == 0
    assert home.cluster.secrets.stored == {}
    assert home.condition("Ready")["reason"] == "Suspended"
    assert home.poller.sources() == 0


async def test_a_deleted_object_is_forgotten(home: House) -> None:
    await home.pass_over()
    assert home.poller.sources() == 1
    home.watches.writers[STATIC].delete(key("db"))
    assert (await home.pass_over(caught_up=False)).requeue_after is None
    assert home.poller.sources() == len(home.memories) == 0
    assert home.freshness.left == [key("db")]


async def test_an_object_on_its_way_out_is_left_alone(home: House) -> None:
    home.static(metadata={"deletionTimestamp": "2026-01-01T12:00:00Z"})
    await home.pass_over()
    assert home.api.requests == []


async def test_the_references_finalizer_goes_in_the_same_pass(home: House) -> None:
    finalizers = ["vaultstaticsecret.secrets.hashicorp.com/finalizer", "example.com/other"]
    home.static(metadata={"finalizers": finalizers})
    await home.pass_over()
    assert home.cluster.record(STATIC, "db").body.count(b"vaultstaticsecret.secrets") == 0
    assert home.cluster.record(STATIC, "db").body.count(b"example.com/other") == 1
    assert home.condition("Ready")["status"] == "True"


# Sources.


async def test_a_finalizer_that_may_not_be_taken_off_is_said(home: House) -> None:
    home.static(metadata={"finalizers": ["vaultstaticsecret.secrets.hashicorp.com/finalizer"]})
    denied = status(403, "Forbidden", 'User "operator" cannot patch resource "vaultstaticsecrets"')
    home.cluster.refuse = lambda request: denied if request.path.endswith("/db") else None
    with pytest.raises(TransientError):  # to the queue: a right may be granted, and no watch tells
        await home.pass_over()
    stalled = home.condition("Stalled")
    assert stalled["reason"] == "KubernetesForbidden"
    assert "tried again by itself" in stalled["message"]


async def test_a_bug_is_said_without_its_words_and_goes_on_to_the_controller(home: House) -> None:
    home.cluster.refuse = _once(Reply(200, {"canary": "no object of the API server"}), "PATCH", "/status")
    with pytest.raises(KeyError):
        await home.pass_over()
    healthy = home.condition("Healthy")
    assert (healthy["status"], healthy["reason"]) == ("False", "InternalError")
    assert "ended in a KeyError" in healthy["message"]
    await home.pass_over()
    assert home.condition("Healthy")["status"] == "True"


async def test_a_missing_reference_waits_and_then_stalls(home: House) -> None:
    home.static(vaultAuthRef="nowhere")
    with pytest.raises(TransientError) as waiting:
        await home.pass_over()
    assert waiting.value.retry_after is not None
    assert home.condition("Reconciling")["reason"] == "ReferenceNotFound"
    await home.clock.advance(31)
    with pytest.raises(ConfigError):
        await home.pass_over()
    assert home.condition("Stalled")["reason"] == "ReferenceNotFound"
    assert "nowhere" in home.condition("Stalled")["message"]
    assert home.reads() == 0


async def test_one_failing_path_of_several_writes_nothing(home: House) -> None:
    home.static(
        data=[
            {"secretKey": "a", "remoteRef": {"key": "password"}},
            {"secretKey": "b", "remoteRef": {"key": "other", "property": "x"}},
        ]
    )
    home.fails(404, path="kv/data/other")
    with pytest.raises(ConfigError) as caught:
        await home.pass_over()
    assert caught.value.reason is Reason.SOURCE_NOT_FOUND
    assert home.cluster.secrets.stored == {}
    assert home.poller.sources() == 2


async def test_a_secret_that_was_there_before_is_reported_as_deleted(home: House) -> None:
    await home.pass_over()
    home.fails(404)
    await home.clock.advance(10)
    home.notes().source_changed = True
    with pytest.raises(ConfigError) as caught:
        await home.pass_over()
    assert caught.value.reason is Reason.SOURCE_DELETED
    assert home.cluster.secret_data("db") == {"password": "s3cret-1"}


async def test_a_path_that_was_mistyped_takes_no_secret_along(home: House) -> None:
    home.static(onSourceDeleted="Delete")
    await home.pass_over()
    home.static(onSourceDeleted="Delete", path="app/confgi")
    home.fails(404, path="kv/data/app/confgi")
    with pytest.raises(ConfigError) as caught:
        await home.pass_over()
    assert caught.value.reason is Reason.SOURCE_NOT_FOUND
    assert home.cluster.secret_data("db") == {"password": "s3cret-1"}


async def test_a_resync_tries_a_refused_login_anew(home: House) -> None:
    await home.pass_over()
    home.tokens.refuse = errors(403, "permission denied")
    await home.clock.advance(4000)
    home.notes().source_changed = True
    with pytest.raises(ConfigError):
        await home.pass_over()
    before = home.tokens.logins
    await home.clock.advance(60)
    home.static(metadata={"annotations": {"vso.hashicorp.com/resync": "1"}})
    home.tokens.refuse = None
    await home.pass_over()
    assert home.tokens.logins == before + 1
    assert home.status()["lastHandledResync"] == "1"


async def test_a_deleted_source_takes_the_secret_along_where_that_is_asked_for(home: House) -> None:
    home.static(onSourceDeleted="Delete")
    await home.pass_over()
    home.fails(404)
    await home.clock.advance(10)
    home.notes().source_changed = True
    with pytest.raises(ConfigError):
        await home.pass_over()
    assert home.cluster.secrets.stored == {}


async def test_a_source_that_returns_unchanged_fills_the_emptied_secret_again(narrow: House) -> None:
    narrow.static(onSourceDeleted="Delete")
    await narrow.pass_over()
    narrow.fails(404)
    await narrow.clock.advance(10)
    narrow.notes().source_changed = True
    with pytest.raises(ConfigError):
        await narrow.pass_over()
    assert narrow.cluster.secret_data("db") == {}
    narrow.holds({"password": "s3cret-1"})
    await narrow.clock.advance(10)
    narrow.notes().source_changed = True
    await narrow.pass_over()
    assert narrow.cluster.secret_data("db") == {"password": "s3cret-1"}


async def test_without_comparison_an_unchanged_look_after_a_restart_is_no_rotation(home: House) -> None:
    home.static(hmacSecretData=False)
    await home.pass_over()
    home.restarted()
    await home.clock.advance(100)
    home.watches.show(STATIC, home.cluster.record(STATIC, "db"))
    assert (await home.pass_over()).requeue_after is None
    home.notes().source_changed = True
    before = home.status()
    await home.pass_over()
    assert home.status() == before


async def test_no_value_reaches_status_events_or_errors(home: House) -> None:
    home.holds({"password": "canary-value", "bad key/": "canary-value"})
    with pytest.raises(VsoError) as caught:
        await home.pass_over()
    await home.events.flush()
    told = f"{caught.value!r} {home.status()} {home.cluster.events} {home.notes()!r}"
    assert "bad key/" in told
    assert "canary" not in told


async def test_a_login_that_is_refused_is_said(home: House) -> None:
    home.tokens.refuse = VaultReply(400, {"errors": ['invalid role name "app"']})
    with pytest.raises(ConfigError) as caught:
        await home.pass_over()
    assert caught.value.reason is Reason.VAULT_LOGIN_REFUSED
    assert home.condition("Stalled")["reason"] == "VaultLoginRefused"


@pytest.mark.parametrize("name", ["", ".", "..", "../configmaps/x", "a/b", "Db"])
async def test_a_destination_whose_name_is_a_path_is_refused_before_anything_is_asked(home: House, name: str) -> None:
    home.static(destination={"name": name, "create": False})
    with pytest.raises(ConfigError) as caught:
        await home.pass_over()
    assert caught.value.reason is Reason.INVALID_SPEC
    assert "spec.destination.name is" in home.condition("Stalled")["message"]
    assert home.writes() == ["PATCH vaultstaticsecrets/db/status"]
    assert home.reads() == home.poller.sources() == 0


# The annotation that says where the data is from.


def source_of_db(home: House) -> str | None:
    found: str | None = (
        home.cluster.secrets.stored["db"]["metadata"].get("annotations", {}).get("vso.hashicorp.com/source")
    )
    return found


async def test_the_secret_says_where_its_data_is_from(home: House) -> None:
    await home.pass_over()
    assert source_of_db(home) == "kv/app/config@1"
    home.holds({"password": "s3cret-2"}, version=2)
    await home.clock.advance(10)
    home.notes().source_changed = True
    await home.pass_over()
    assert source_of_db(home) == "kv/app/config@2"


async def test_a_new_version_with_the_same_data_leaves_the_secret_and_its_source_alone(home: House) -> None:
    await home.pass_over()
    home.holds({"password": "s3cret-1"}, version=7)
    await home.clock.advance(10)
    home.notes().source_changed = True
    await home.pass_over()
    stored = home.cluster.secrets.stored["db"]
    home.cluster.secrets.stored["db"] = {**stored, "data": {"password": "Zm9yZWlnbg=="}}
    home.cluster.edit_secret("db")
    await home.pass_over()
    assert home.cluster.secret_data("db") == {"password": "s3cret-1"}
    assert source_of_db(home) == "kv/app/config@1"


async def test_a_secret_that_is_not_ours_is_not_annotated(home: House) -> None:
    home.cluster.secrets.put("db")
    home.static(destination={"name": "db", "create": False, "transformation": {"excludeRaw": True}})
    await home.pass_over()
    assert source_of_db(home) is None
