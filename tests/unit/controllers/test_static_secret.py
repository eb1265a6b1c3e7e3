"""Passes over a VaultStaticSecret, told from outside: what was asked of Vault, what was written."""

from __future__ import annotations

import pytest

from tests.fakes.cluster import key
from tests.fakes.house import STATIC, House
from tests.fakes.kube_transport import Reply, once, status
from vso.core.errors import ConfigError, Reason, TransientError


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
    home.cluster.refuse = once(Reply(200, {"canary": "no object of the API server"}), "PATCH", "/status")
    with pytest.raises(KeyError):
        await home.pass_over()
    healthy = home.condition("Healthy")
    assert (healthy["status"], healthy["reason"]) == ("False", "InternalError")
    assert "ended in a KeyError" in healthy["message"]
    await home.pass_over()
    assert home.condition("Healthy")["status"] == "True"


@pytest.mark.parametrize("name", ["", ".", "..", "../configmaps/x", "a/b", "Db"])
async def test_a_destination_whose_name_is_a_path_is_refused_before_anything_is_asked(home: House, name: str) -> None:
    home.static(destination={"name": name, "create": False})
    with pytest.raises(ConfigError) as caught:
        await home.pass_over()
    assert caught.value.reason is Reason.INVALID_SPEC
    assert "spec.destination.name is" in home.condition("Stalled")["message"]
    assert home.writes() == ["PATCH vaultstaticsecrets/db/status"]
    assert home.reads() == home.poller.sources() == 0
