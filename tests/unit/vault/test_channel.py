"""Websockets to Vault: the same trust, proxies and silence as any request, and sockets of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.vault_events import SUBSCRIBE, EventDesk
from tests.fakes.vault_parts import Observed, client_to, until
from tests.fakes.vault_server import Drop, Hang, Reply, VaultServer, errors
from tests.unit.vault.test_tls import issue
from vso.core.errors import Reason, TransientError, VsoError
from vso.core.sensitive import Sensitive
from vso.vault.channel import MAX_MESSAGE
from vso.vault.client import VaultRequest
from vso.vault.config import TlsConfig
from vso.vault.errors import DroppedError, TokenSpentError
from vso.vault.events import PATH, QUERY

OPEN = VaultRequest("GET", PATH, token=Sensitive.of("hvs.canary"), query=QUERY)


@pytest.fixture
def desk(server: VaultServer) -> EventDesk:
    made = EventDesk()
    server.on("GET", SUBSCRIBE, made)
    return made


async def test_messages_arrive_in_order_as_text_or_bytes(server: VaultServer, desk: EventDesk) -> None:
    async with client_to(server.url) as client:
        channel = await client.connect(OPEN)
        await desk.sockets[0].send_str("one")
        await desk.sockets[0].send_bytes(b"two")
        assert [await channel.receive(), await channel.receive()] == [b"one", b"two"]
        await channel.close()


@pytest.mark.parametrize("how", ["closed", "too-long", "gone"])
async def test_whatever_ends_it_is_one_error_that_says_nothing_of_the_token(
    server: VaultServer, desk: EventDesk, how: str
) -> None:
    async with client_to(server.url) as client:
        channel = await client.connect(OPEN)
        if how == "too-long":
            await desk.send("x" * (MAX_MESSAGE + 1))
        else:
            await (desk.hang_up() if how == "closed" else server.stop())
        with pytest.raises(DroppedError) as caught:
            await channel.receive()
        assert "canary" not in repr(caught.value)
        await channel.close()
        await channel.close()


async def test_open_websockets_leave_every_socket_and_slot_to_the_requests(
    server: VaultServer, desk: EventDesk
) -> None:
    server.on("GET", "kv/data/app", Reply(200, {"data": {"a": "b"}}))
    async with client_to(server.url, max_concurrency=1) as client:
        channels = [await client.connect(OPEN) for _ in range(5)]
        assert client.statistics().active == 0
        await client.send(VaultRequest("GET", "kv/data/app"))
        for channel in channels:
            await channel.close()


async def test_handshakes_are_observed_and_count_for_the_breaker_only_where_vault_is_not_reached(
    server: VaultServer,
) -> None:
    observed = Observed()
    async with client_to(server.url, observer=observed) as client:
        for reply in (errors(503, "Vault is sealed"), Reply(502, b"bad gateway"), errors(404), errors(403)) * 2:
            server.on("GET", SUBSCRIBE, reply)
            with pytest.raises(VsoError):
                await client.connect(OPEN)
        assert observed.breakers == []
        server.on("GET", SUBSCRIBE, Drop())
        for _ in range(3):
            with pytest.raises(TransientError):
                await client.connect(OPEN)
    assert observed.breakers == [True]
    assert observed.requests == [("subscribe", False)] * 11


async def test_a_token_that_has_ended_is_not_sent(server: VaultServer, desk: EventDesk) -> None:
    clock = FakeClock()
    async with client_to(server.url, clock) as client:
        with pytest.raises(TokenSpentError):
            await client.connect(OPEN.under(Sensitive.of("hvs.canary"), clock.monotonic()))
    assert server.seen == []


async def test_a_client_that_is_closed_closes_its_websockets_and_opens_no_more(
    server: VaultServer, desk: EventDesk
) -> None:
    async with client_to(server.url) as client:
        channel = await client.connect(OPEN)
        await client.close()
        with pytest.raises(DroppedError):
            await channel.receive()
        with pytest.raises(TransientError, match="was replaced"):
            await client.connect(OPEN)


async def test_a_cancelled_handshake_leaves_no_socket(server: VaultServer) -> None:
    server.on("GET", SUBSCRIBE, Hang())
    async with client_to(server.url) as client:
        opening = asyncio.ensure_future(client.connect(OPEN))
        await until(lambda: server.hanging == 1)
        opening.cancel()
        await asyncio.wait((opening,))
        assert client.statistics().active == 0
    server.release()


@pytest.mark.parametrize("known", [True, False], ids=["trusted", "unknown-authority"])
async def test_it_trusts_as_requests_do_by_the_configured_server_name(tmp_path: Path, known: bool) -> None:
    authority, other = issue("authority"), issue("other")
    context = issue("vault", authority, host="vault.internal").server(tmp_path)
    tls = TlsConfig(ca_pem=(authority if known else other).pem, server_name="vault.internal")
    async with VaultServer(context) as server, client_to(server.url, tls=tls) as client:
        server.on("GET", SUBSCRIBE, EventDesk())
        if known:
            await (await client.connect(OPEN)).close()
        else:
            with pytest.raises(TransientError) as caught:
                await client.connect(OPEN)
            assert caught.value.reason is Reason.VAULT_TLS_ERROR


async def test_it_goes_through_the_proxy_of_the_environment(
    server: VaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    desk = EventDesk()
    server.on("GET", f"http://vault.invalid:8200/v1/{SUBSCRIBE}", desk)
    async with client_to("http://vault.invalid:8200") as client:
        channel = await client.connect(OPEN)
        assert desk.handshakes[0].headers["Host"] == "vault.invalid:8200"
        await channel.close()
