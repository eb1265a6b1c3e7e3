"""Logins with what somebody else has prepared: a secret id in a wrapping, and a token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.login_bench import GRANTED, NS, READ, Bench, bench_on
from tests.fakes.vault_server import Reply, errors
from vso.core.errors import Reason, VsoError
from vso.vault.auth.approle import AppRoleWay
from vso.vault.auth.given import GivenWay


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with bench_on(FakeClock()) as made:
        yield made


# A secret id in a wrapping.

WRAPPED = AppRoleWay("ri", secret="wrapped", wrapped=True)


MADE_HERE = Reply(200, {"data": {"creation_path": "auth/m/role/app/secret-id", "creation_ttl": 300}})
INSIDE = Reply(200, {"data": {"secret_id": "canary-inside", "secret_id_accessor": "x"}})


@pytest.fixture
def wrapping(bench: Bench) -> Bench:
    bench.credentials.put(NS, "wrapped", id="hvs.canary-wrapping")
    bench.server.on("PUT", "sys/wrapping/lookup", MADE_HERE)
    bench.server.on("PUT", "sys/wrapping/unwrap", INSIDE, errors(400, "wrapping token is not valid or does not exist"))
    bench.server.on("PUT", "auth/m/login", GRANTED)
    return bench


async def test_a_wrapping_is_opened_once_for_all_logins(wrapping: Bench) -> None:
    session = wrapping.session(WRAPPED)
    await session.read(READ)
    await wrapping.clock.advance(3590)
    await session.read(READ)
    opened = wrapping.server.asked("sys/wrapping/unwrap")
    assert [seen.token for seen in opened] == ["hvs.canary-wrapping"]
    assert [seen.body["secret_id"] for seen in wrapping.server.asked("auth/m/login")] == ["canary-inside"] * 2


async def test_whitespace_around_a_wrapping_token_is_none_of_it(wrapping: Bench) -> None:
    wrapping.credentials.put(NS, "wrapped", id=" hvs.canary-wrapping\n")
    await wrapping.read(WRAPPED)
    assert wrapping.server.asked("sys/wrapping/lookup")[0].body == {"token": "hvs.canary-wrapping"}
    assert wrapping.server.asked("sys/wrapping/unwrap")[0].token == "hvs.canary-wrapping"


async def test_a_wrapping_that_was_opened_before_is_an_alarm(wrapping: Bench) -> None:
    wrapping.server.on("PUT", "sys/wrapping/lookup", errors(400, "wrapping token is not valid or does not exist"))
    error = await wrapping.refusal(WRAPPED)
    assert error.reason is Reason.WRAPPING_TOKEN_REFUSED
    assert "is over, or was opened before, perhaps by this operator before a restart" in error.message
    assert wrapping.server.asked("auth/m/login") == []


@pytest.mark.parametrize("path", ["sys/wrapping/wrap", "auth/other/role/app/secret-id", "kv/data/app", ""])
async def test_a_wrapping_of_something_else_is_not_opened(wrapping: Bench, path: str) -> None:
    wrapping.server.on("PUT", "sys/wrapping/lookup", Reply(200, {"data": {"creation_path": path}}))
    error = await wrapping.refusal(WRAPPED)
    assert error.reason is Reason.WRAPPING_TOKEN_REFUSED
    assert wrapping.server.asked("sys/wrapping/unwrap") == []


@pytest.mark.parametrize("changes", [{"generation": 2}, {"params": (("extra", "1"),)}], ids=["VaultAuth", "default"])
async def test_what_was_inside_survives_an_edit(wrapping: Bench, changes: dict[str, Any]) -> None:
    await wrapping.read(WRAPPED)
    await wrapping.read(WRAPPED, **changes)
    assert len(wrapping.server.asked("sys/wrapping/unwrap")) == 1
    assert [seen.body["secret_id"] for seen in wrapping.server.asked("auth/m/login")] == ["canary-inside"] * 2


async def test_what_was_inside_survives_an_edit_of_the_connection(wrapping: Bench) -> None:
    await wrapping.read(WRAPPED)
    wrapping.client.config = replace(wrapping.client.config, generation=2)
    await wrapping.read(WRAPPED)
    assert len(wrapping.server.asked("sys/wrapping/unwrap")) == 1
    assert len(wrapping.server.asked("auth/m/login")) == 2


@pytest.mark.parametrize(
    "changes", [{"mount": "other"}, {"uid": "another", "generation": 1}, {"namespace": "child"}], ids=str
)
async def test_what_was_inside_is_for_that_mount_and_vault_auth_alone(wrapping: Bench, changes: dict[str, Any]) -> None:
    await wrapping.read(WRAPPED)
    wrapping.server.on("PUT", "sys/wrapping/lookup", errors(400, "wrapping token is not valid or does not exist"))
    with pytest.raises(VsoError) as caught:
        await wrapping.read(WRAPPED, **changes)
    assert caught.value.reason is Reason.WRAPPING_TOKEN_REFUSED
    assert len(wrapping.server.asked("auth/m/login")) == 1
    assert wrapping.server.asked("auth/other/login") == []


async def test_a_new_wrapping_is_opened(wrapping: Bench) -> None:
    session = wrapping.session(WRAPPED)
    await session.read(READ)
    wrapping.credentials.put(NS, "wrapped", version="2", id="hvs.canary-second")
    wrapping.server.on("PUT", "sys/wrapping/unwrap", Reply(200, {"data": {"secret_id": "canary-new"}}))
    await wrapping.clock.advance(3590)
    await session.read(READ)
    assert wrapping.server.asked("auth/m/login")[-1].body["secret_id"] == "canary-new"


async def test_a_wrapping_without_a_secret_id_is_not_vaults(wrapping: Bench) -> None:
    wrapping.server.on("PUT", "sys/wrapping/unwrap", Reply(200, {"data": {"other": "x"}}))
    assert (await wrapping.refusal(WRAPPED)).reason is Reason.VAULT_ANSWER_INVALID


# A token that somebody else has made.

LIVES = Reply(200, {"data": {"ttl": 3600, "renewable": True, "accessor": "acc", "type": "service", "policies": ["p"]}})


RENEWED = Reply(200, {"auth": {"client_token": "hvs.canary-given", "accessor": "acc", "lease_duration": 7200}})


@pytest.fixture
def given(bench: Bench) -> Bench:
    bench.server.on("GET", "auth/token/lookup-self", LIVES)
    bench.server.on("PUT", "auth/token/renew-self", RENEWED)
    return bench


def paths(bench: Bench) -> list[str]:
    return [seen.path for seen in bench.server.seen]


async def test_a_token_is_looked_up_renewed_and_used(given: Bench) -> None:
    await given.read(GivenWay("kept"))
    assert paths(given) == ["auth/token/lookup-self", "auth/token/renew-self", READ]
    assert {seen.token for seen in given.server.seen} == {"hvs.canary-given"}


async def test_whitespace_around_a_token_is_none_of_it(given: Bench) -> None:
    given.credentials.put(NS, "kept", token="\thvs.canary-given\r\n")
    await given.read(GivenWay("kept"))
    assert {seen.token for seen in given.server.seen} == {"hvs.canary-given"}


@pytest.mark.parametrize(
    ("way", "answer"),
    [
        pytest.param(GivenWay("kept", renew=False), LIVES, id="not wanted"),
        pytest.param(GivenWay("kept"), Reply(200, {"data": {"ttl": 0, "renewable": False}}), id="cannot be"),
    ],
)
async def test_a_token_is_left_alone(given: Bench, way: GivenWay, answer: Reply) -> None:
    given.server.on("GET", "auth/token/lookup-self", answer)
    await given.read(way)
    assert paths(given) == ["auth/token/lookup-self", READ]


async def test_a_token_that_may_not_look_at_itself_is_used(given: Bench) -> None:
    given.server.on("GET", "auth/token/lookup-self", errors(403, "permission denied"))
    await given.read(GivenWay("kept"))
    assert paths(given) == ["auth/token/lookup-self", READ]


async def test_a_renewal_that_is_refused_does_no_harm(given: Bench) -> None:
    given.server.on("PUT", "auth/token/renew-self", errors(403, "permission denied"))
    await given.read(GivenWay("kept"))
    assert paths(given)[-1] == READ


async def test_a_dead_token_is_said_to_be_one(given: Bench) -> None:
    given.server.on("GET", "auth/token/lookup-self", errors(403, "permission denied", "invalid token"))
    error = await given.refusal(GivenWay("kept"))
    assert error.reason is Reason.VAULT_LOGIN_REFUSED
    assert "knows the token of VaultAuth team-a/va no more" in error.message


async def test_the_source_of_a_token_is_looked_at_again_every_few_minutes(given: Bench) -> None:
    session = given.session(GivenWay("kept"))
    await session.read(READ)
    given.credentials.put(NS, "kept", version="2", token="hvs.canary-next")
    await given.clock.advance(299)
    await session.read(READ)
    assert given.server.seen[-1].token == "hvs.canary-given"
    given.server.on("PUT", "auth/token/renew-self", Reply(200, {"auth": {"client_token": "hvs.canary-next"}}))
    await given.clock.advance(2)
    await session.read(READ)
    assert given.server.seen[-1].token == "hvs.canary-next"


async def test_a_token_of_somebody_elses_is_never_revoked(given: Bench) -> None:
    await given.read(GivenWay("kept"))
    await given.sessions.close()
    assert "auth/token/revoke-self" not in paths(given)
