"""Clients of one Vault that show different certificates: one count of requests, one breaker, one probe."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.vault_parts import Observed, client_to, passes, until
from tests.fakes.vault_server import Drop, Hang, Reply, VaultServer, errors
from tests.testbed.pki import Authority
from vso.core.errors import Reason, VsoError
from vso.core.sensitive import Sensitive
from vso.runtime.workqueue import Lane
from vso.vault.client import VaultClient, VaultRequest
from vso.vault.config import TlsConfig
from vso.vault.errors import BreakerOpenError

READ = VaultRequest("GET", "kv/data/a", lane=Lane.URGENT)
GOOD = Reply(200, {"data": {"a": "b"}})
SEALED = errors(503, "Vault is sealed")
AWAY = Reply(503, {"initialized": True, "sealed": True})


async def failure(client: VaultClient) -> VsoError:
    with pytest.raises(VsoError) as caught:
        await client.send(READ)
    return caught.value


@asynccontextmanager
async def beside(own: VaultClient, *names: str) -> AsyncIterator[list[VaultClient]]:
    """Clients beside the connection's own, which probes."""
    made = [own.showing(own.config.showing(name, None, None)) for name in names]
    probing = asyncio.create_task(own.run())
    try:
        yield made
    finally:
        probing.cancel()
        await asyncio.wait((probing,))
        for client in made:
            await client.close()


async def test_they_have_their_requests_in_hand_counted_together(server: VaultServer, clock: FakeClock) -> None:
    server.on("GET", "kv/data/a", Hang())
    async with client_to(server.url, clock, max_concurrency=3) as own, beside(own, "a", "b") as others:
        waiting = [asyncio.create_task(client.send(READ)) for client in (own, *others, own, *others)]
        await until(lambda: server.hanging == 3 and own.statistics().waiting_urgent == 3)
        assert {client.statistics() for client in others} == {own.statistics()}
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)


@pytest.mark.parametrize("first", [0, 1], ids=["the connection's own", "one beside it"])
async def test_what_opens_the_breaker_for_one_opens_it_for_all(
    server: VaultServer, clock: FakeClock, first: int
) -> None:
    observed = Observed()
    server.on("GET", "kv/data/a", GOOD)
    async with client_to(server.url, clock, observed) as own, beside(own, "a", "b") as others:
        clients = [own, *others]
        for client in clients:
            await client.send(READ)
        server.on("GET", "kv/data/a", SEALED)
        server.on("GET", "sys/health", AWAY)
        for _ in range(3):
            assert not isinstance(await failure(clients[first]), BreakerOpenError)
        for client in clients:
            assert isinstance(await failure(client), BreakerOpenError)
        assert observed.breakers == [True]


async def test_one_alone_asks_whether_vault_is_back(server: VaultServer, clock: FakeClock) -> None:
    server.on("GET", "kv/data/a", SEALED)
    server.on("GET", "sys/health", AWAY)
    async with client_to(server.url, clock) as own, beside(own, *"abcdefgh"):
        for _ in range(3):
            await failure(own)
        for asked in range(1, 11):
            await clock.advance(1.0)
            await until(lambda: len(server.asked("sys/health")) == asked)  # noqa: B023  awaited in this very turn
        assert len(server.asked("sys/health")) == 10


# Certificates that are let in, and others.


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def listener(authority: Authority, verify: ssl.VerifyMode) -> VaultServer:
    """A Vault that looks at client certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.serving("vault")
    context.load_cert_chain(pair.certificate, pair.key)
    context.load_verify_locations(authority.certificate)
    context.verify_mode = verify
    server = VaultServer(context)
    server.on("GET", "kv/data/a", GOOD)
    return server


def showing(own: VaultClient, authority: Authority, user: str) -> VaultClient:
    pair = authority.client(user)
    config = own.config.showing(f"team/{user}", pair.certificate.read_bytes(), Sensitive(pair.key.read_bytes()))
    return own.showing(config)


async def test_a_certificate_that_is_not_let_in_keeps_nobody_else_out(
    clock: FakeClock, authority: Authority, tmp_path: Path
) -> None:
    tls = TlsConfig(ca_pem=authority.certificate.read_bytes())
    async with listener(authority, ssl.CERT_OPTIONAL) as server, client_to(server.url, clock, tls=tls) as own:
        forged, good = showing(own, Authority(tmp_path / "other", "other"), "eve"), showing(own, authority, "app")
        for _ in range(10):
            await _ticking(clock, forged)
            assert not own.breaker_open
        assert (await good.send(READ)).status == (await own.send(READ)).status == 200
        for client in (forged, good):
            await client.close()


@pytest.mark.parametrize(
    ("age", "counts"),
    [
        pytest.param(timedelta(days=6), True, id="still good"),
        pytest.param(timedelta(days=7, minutes=-2), False, id="over by the clock of a Vault that is ahead"),
        pytest.param(timedelta(days=8), False, id="over"),
    ],
)
async def test_a_certificate_that_was_let_in_and_has_expired_is_dropped_without_a_word_and_keeps_nobody_else_out(
    authority: Authority, age: timedelta, counts: bool
) -> None:
    tls = TlsConfig(ca_pem=authority.certificate.read_bytes())
    clock = FakeClock(start=datetime.now(UTC))
    async with listener(authority, ssl.CERT_OPTIONAL) as server, client_to(server.url, clock, tls=tls) as own:
        client = showing(own, authority, "app")
        await client.send(READ)
        clock.jump(age.total_seconds())
        server.on("GET", "kv/data/a", Drop())
        for _ in range(10):
            await _ticking(clock, client)
        assert own.breaker_open is counts
        await client.close()


async def _ticking(clock: FakeClock, client: VaultClient) -> None:
    """Fail, with as many tries as that takes."""
    sending = asyncio.ensure_future(failure(client))
    while not sending.done():
        await asyncio.sleep(0)
        if clock.sleeping:
            await clock.advance(0.5)
    assert (await sending).reason in (Reason.VAULT_TLS_ERROR, Reason.VAULT_UNAVAILABLE)


async def test_a_vault_that_lets_nobody_in_without_a_certificate_is_found_again_by_one(
    clock: FakeClock, authority: Authority
) -> None:
    tls = TlsConfig(ca_pem=authority.certificate.read_bytes())
    async with listener(authority, ssl.CERT_REQUIRED) as server, client_to(server.url, clock, tls=tls) as own:
        probing = asyncio.create_task(own.run())
        client = showing(own, authority, "app")
        server.on("GET", "kv/data/a", SEALED)
        for _ in range(3):
            await failure(client)
        assert client.breaker_open
        server.on("GET", "kv/data/a", GOOD)
        while not server.asked("sys/health"):
            await clock.advance(0.5)
            await asyncio.sleep(0)
        await until(lambda: passes(client))
        assert (await client.send(READ)).status == 200
        assert not own.breaker_open
        probing.cancel()
        await asyncio.wait((probing,))
        await client.close()
