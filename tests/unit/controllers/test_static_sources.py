"""What a VaultStaticSecret makes of its sources: missing, deleted, refused, and back again."""

from __future__ import annotations

import pytest

from tests.fakes.house import STATIC, House
from tests.fakes.vault_server import Reply as VaultReply
from tests.fakes.vault_server import errors
from vso.core.errors import ConfigError, Reason, TransientError, VsoError


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
