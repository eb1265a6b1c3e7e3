"""VaultConnection: what is asked of Vault and when, and what is said of its answers."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest

from tests.fakes.access_desk import AUTH, CONNECTION, HEALTHY, INTERVAL, SEALED, Desk
from tests.fakes.cluster import Json, key
from tests.fakes.house import auth_spec, house
from tests.fakes.vault_parts import passes, until
from tests.fakes.vault_server import Reply, errors
from vso.controllers.access import still_valid
from vso.core.errors import ConfigError, Reason, TerminalError, TransientError, VsoError
from vso.runtime.reconcile import Result
from vso.vault.client import VaultRequest


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with house() as opened:
        yield Desk(opened)


async def test_a_vault_that_answers_is_told_with_its_version(desk: Desk) -> None:
    assert (await desk.look(CONNECTION)).requeue_after == INTERVAL
    status = desk.status(CONNECTION)
    assert (status["valid"], status["version"], status["sealed"]) == (True, "1.21.0", False)
    assert status["lastProbe"] == "2026-01-01T12:00:00Z"
    assert desk.condition(CONNECTION, "Ready")["status"] == "True"


async def test_a_vault_that_goes_on_answering_is_asked_again_and_nothing_is_written(desk: Desk) -> None:
    for _ in range(3):
        await desk.look(CONNECTION)
        await desk.home.clock.advance(INTERVAL)
    assert len(desk.home.vault.asked("sys/health")) == 3
    assert desk.writes == 1


async def test_the_certificates_that_consumers_show_are_looked_at_with_the_connection(desk: Desk) -> None:
    path = "/api/v1/namespaces/app/secrets/app-client"
    entries = {name: base64.b64encode(name.encode()).decode() for name in ("tls.crt", "tls.key")}
    desk.home.cluster.readable[path] = {"data": entries}
    desk.put(AUTH, {**auth_spec(), "method": "cert", "mount": "cert", "cert": {"secretRef": "app-client"}})
    session = await desk.home.resolver.session(desk.home.resolver.path("vault", "app"), "app")
    read = len(desk.home.requests("GET", "app-client"))
    await desk.look(CONNECTION)
    assert len(desk.home.requests("GET", "app-client")) == read + 1
    del desk.home.cluster.readable[path]
    await desk.look(CONNECTION)
    assert len(desk.home.requests("GET", "app-client")) == read + 2
    assert desk.condition(CONNECTION, "Ready")["status"] == "True", "it is no fault of the connection"
    assert await desk.home.resolver.session(desk.home.resolver.path("vault", "app"), "app") is session
    desk.connections.gone("uid-of-vault")
    await desk.look(CONNECTION)
    assert len(desk.home.requests("GET", "app-client")) == read + 2


async def test_a_sealed_vault_is_told(desk: Desk) -> None:
    desk.home.vault.on("GET", "sys/health", SEALED)
    error = await desk.fails(CONNECTION)
    assert error.reason is Reason.VAULT_SEALED
    assert desk.condition(CONNECTION, "Ready")["reason"] == "VaultSealed"
    status = desk.status(CONNECTION)
    assert (status["sealed"], status["valid"], status["lastProbe"]) == (True, True, "2026-01-01T12:00:00Z")


async def test_whether_a_vault_is_sealed_is_told_as_long_as_it_is_known(desk: Desk) -> None:
    await desk.look(CONNECTION)
    for answer, sealed in ((SEALED, True), (errors(502), True)):
        await desk.home.clock.advance(INTERVAL)
        desk.home.vault.on("GET", "sys/health", answer)
        await desk.fails(CONNECTION)
        assert desk.status(CONNECTION)["sealed"] is sealed
    assert desk.status(CONNECTION)["lastProbe"] == "2026-01-01T12:01:00Z"
    desk.home.vault.on("GET", "sys/health", HEALTHY)
    await desk.home.clock.advance(INTERVAL)
    await desk.look(CONNECTION)
    assert desk.status(CONNECTION)["sealed"] is False


async def test_a_connection_follows_the_cause_of_an_outage_while_its_breaker_is_open(desk: Desk) -> None:
    await desk.look(CONNECTION)
    desk.home.vault.on("GET", "sys/health", errors(502))
    desk.home.fails(503, "Vault is sealed")
    desk.home.static()
    for _ in range(3):
        with pytest.raises(TransientError):
            await desk.home.pass_over()
        await desk.home.clock.advance(6)
    for answer, reason in ((errors(502), Reason.VAULT_UNAVAILABLE), (SEALED, Reason.VAULT_SEALED)):
        desk.home.vault.on("GET", "sys/health", answer)
        asked = len(desk.home.vault.asked("sys/health"))
        while len(desk.home.vault.asked("sys/health")) < asked + 2:  # the breaker asks, one answer is surely in
            await desk.home.clock.advance(1)
        error = await desk.fails(CONNECTION)
        assert isinstance(error, TransientError)
        assert (error.reason, error.retry_after) == (reason, None)  # by the back-off
        assert desk.condition(CONNECTION, "Healthy")["reason"] == reason


async def test_a_connection_that_worked_before_is_ready_for_ten_minutes_of_an_outage(desk: Desk) -> None:
    await desk.look(CONNECTION)
    desk.home.vault.on("GET", "sys/health", errors(502))
    for _ in range(10):
        assert (await desk.fails(CONNECTION)).reason is Reason.VAULT_UNAVAILABLE
        assert desk.condition(CONNECTION, "Ready")["status"] == "True"
        assert desk.condition(CONNECTION, "Healthy")["reason"] == "VaultUnavailable"
        await desk.home.clock.advance(59)
    assert desk.writes == 2
    await desk.home.clock.advance(10)
    for _ in range(2):
        await desk.fails(CONNECTION)
        assert desk.condition(CONNECTION, "Ready")["status"] == "False"
        assert desk.condition(CONNECTION, "Reconciling")["status"] == "True"
        assert desk.status(CONNECTION)["valid"] is True
    assert desk.writes == 3


async def test_a_connection_that_an_edit_leads_to_a_vault_that_is_away_is_not_ready(desk: Desk) -> None:
    await desk.look(CONNECTION)
    desk.home.vault.on("GET", "sys/health", errors(502))
    desk.put(CONNECTION, {"address": desk.home.vault.url, "timeout": "6s"})
    await desk.fails(CONNECTION)
    assert desk.condition(CONNECTION, "Ready")["status"] == "False"
    assert desk.condition(CONNECTION, "Reconciling")["status"] == "True"


async def test_a_vault_that_is_away_is_asked_again_by_the_back_off_alone(desk: Desk) -> None:
    desk.home.vault.on("GET", "sys/health", errors(502))
    error = await desk.fails(CONNECTION)
    assert isinstance(error, TransientError)
    assert error.retry_after is None  # a Vault that no secret uses yet is probed by nobody else


async def test_a_vault_that_only_says_that_it_is_well_again_is_not_believed_before_it_serves(desk: Desk) -> None:
    await desk.look(CONNECTION)
    desk.home.vault.on("GET", "a", errors(503, "Vault is sealed"))
    client = await desk.home.resolver.client(desk.home.resolver.path("vault", "app").connection)
    for _ in range(3):
        with pytest.raises(TransientError):
            await client.send(VaultRequest("GET", "a"))
    await desk.home.clock.advance(1)
    await until(lambda: client.outage is not None and passes(client))
    assert (await desk.fails(CONNECTION)).reason is Reason.VAULT_SEALED
    assert desk.condition(CONNECTION, "Healthy")["status"] == "False"
    desk.home.vault.on("GET", "a", Reply(200, {"data": {}}))
    await client.send(VaultRequest("GET", "a"))
    await desk.look(CONNECTION)
    assert desk.condition(CONNECTION, "Healthy")["status"] == "True"


async def test_a_connection_that_cannot_work_stalls(desk: Desk) -> None:
    desk.put(CONNECTION, {"address": "ftp://vault"})
    assert isinstance(await desk.fails(CONNECTION), ConfigError)
    assert desk.condition(CONNECTION, "Stalled")["reason"] == "InvalidSpec"


async def test_a_connection_that_is_gone_closes_its_client(desk: Desk) -> None:
    await desk.look(CONNECTION)
    connection = desk.home.resolver.path("vault", "app").connection
    client = await desk.home.resolver.client(connection)
    desk.home.watches.writers[CONNECTION].delete(key("vault"))
    assert await desk.look(CONNECTION) == Result()
    await desk.home.clock.advance(60)
    with pytest.raises(TransientError, match="replaced"):
        await client.send(VaultRequest("GET", "sys/health"))
    assert desk.connection_events[2].left == [key("vault")]


@pytest.mark.parametrize(
    ("error", "was", "valid"),
    [
        pytest.param(ConfigError(Reason.INVALID_SPEC, "x"), True, False, id="a-field-to-correct"),
        pytest.param(ConfigError(Reason.REFERENCE_NOT_FOUND, "x"), True, False, id="a-reference-that-dangles"),
        pytest.param(TerminalError(Reason.NOT_IMPLEMENTED, "x"), True, False, id="what-is-not-acted-on"),
        pytest.param(TransientError(Reason.VAULT_UNAVAILABLE, "x"), True, True, id="an-outage"),
        pytest.param(TransientError(Reason.VAULT_UNAVAILABLE, "x"), False, False, id="never-reached"),
        pytest.param(TransientError(Reason.VAULT_SEALED, "x"), False, True, id="sealed-but-there"),
        pytest.param(TransientError(Reason.VAULT_STANDBY, "x"), False, True, id="standby-but-there"),
        pytest.param(TransientError(Reason.VAULT_TLS_ERROR, "x"), True, False, id="not-trusted"),
        pytest.param(TransientError(Reason.INTERNAL_ERROR, "x"), True, True, id="a-bug-of-ours"),
    ],
)
def test_valid_speaks_of_the_spec_and_not_of_an_outage(error: VsoError, was: bool, valid: bool) -> None:
    assert still_valid(error, was=was) is valid


async def test_a_connection_that_was_valid_stays_so_in_an_outage_and_not_after_an_edit(desk: Desk) -> None:
    await desk.look(CONNECTION)
    desk.home.vault.on("GET", "sys/health", errors(502))
    await desk.fails(CONNECTION)
    assert desk.status(CONNECTION)["valid"] is True
    desk.put(CONNECTION, {"address": desk.home.vault.url, "timeout": "6s"})
    await desk.fails(CONNECTION)
    assert desk.status(CONNECTION)["valid"] is False


@pytest.mark.parametrize("spec", [{"address": "ftp://vault"}, {"address": "http://v", "timeout": "1h30m"}])
async def test_a_connection_that_cannot_be_used_is_not_valid_until_it_is_mended(desk: Desk, spec: Json) -> None:
    good = {"address": desk.home.vault.url}
    await desk.look(CONNECTION)
    desk.put(CONNECTION, spec)
    await desk.fails(CONNECTION)
    assert desk.status(CONNECTION)["valid"] is False
    assert desk.condition(CONNECTION, "Stalled")["reason"] == "InvalidSpec"
    desk.put(CONNECTION, good)
    await desk.look(CONNECTION)
    assert desk.status(CONNECTION)["valid"] is True
