from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.house import running
from tests.fakes.vault_parts import VC_UID, Observed, connection, until
from tests.fakes.vault_server import Reply, VaultServer
from vso.controllers.clients import ClientPool
from vso.core.errors import ConfigError, TransientError
from vso.vault.client import VaultClient, VaultRequest
from vso.vault.config import ConnectionConfig, TlsConfig

GRACE = 60.0
READ = VaultRequest("GET", "kv/data/a")


@dataclass
class Pool:
    pool: ClientPool
    server: VaultServer
    clock: FakeClock
    breakers: list[tuple[str, bool]] = field(default_factory=list)
    trials: list[str] = field(default_factory=list)

    def config(self, **changes: Any) -> ConnectionConfig:
        return replace(connection(self.server.url), **changes)


async def closed(client: VaultClient) -> bool:
    """Tell whether the client refuses to serve."""
    try:
        await client.send(READ)
    except TransientError as error:
        return "replaced" in error.message
    return False


@pytest.fixture
async def made(clock: FakeClock) -> AsyncIterator[Pool]:
    async with VaultServer() as server:
        server.on("GET", "kv/data/a", Reply(200, {"data": {}}))

        def make(config: ConnectionConfig) -> VaultClient:
            return VaultClient(config, clock, random.Random(1), user_agent="vso-test", observer=Observed())

        told: list[tuple[str, bool]] = []
        trials: list[str] = []
        pool = ClientPool(clock, make, lambda name, is_open: told.append((name, is_open)), on_trial=trials.append)
        async with running(pool):
            yield Pool(pool, server, clock, told, trials)


async def test_a_connection_has_one_client(made: Pool) -> None:
    client = made.pool.client(made.config())
    assert made.pool.client(made.config()) is client
    assert made.pool.client(made.config(uid="another")) is not client


async def test_a_changed_configuration_replaces_it_after_a_grace(made: Pool) -> None:
    old = made.pool.client(made.config())
    new = made.pool.client(made.config(timeout=7.0))
    assert new is not old
    await made.clock.advance(GRACE - 1)
    assert not await closed(old)
    await made.clock.advance(1)
    assert await closed(old)
    assert not await closed(new)


async def test_a_forgotten_connection_is_closed_after_a_grace(made: Pool) -> None:
    client = made.pool.client(made.config())
    made.pool.forget(VC_UID)
    made.pool.forget(VC_UID)
    await made.clock.advance(GRACE - 1)
    assert not await closed(client)
    await made.clock.advance(1)
    assert await closed(client)
    assert made.pool.client(made.config()) is not client


async def test_a_configuration_that_cannot_be_used_leaves_the_old_client_in_service(made: Pool) -> None:
    server = made.config().address.replace("http:", "https:")
    good = made.config(address=server)
    old = made.pool.client(good)
    broken = TlsConfig(ca_pem=b"-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")
    for _ in range(2):
        with pytest.raises(ConfigError):
            made.pool.client(replace(good, tls=broken))
    await made.clock.advance(GRACE * 2)
    assert made.pool.client(good) is old
    with pytest.raises(TransientError) as caught:
        await old.send(replace(READ, method="PUT"))
    assert "replaced" not in caught.value.message  # it is in service; the server speaks no TLS


async def test_the_end_of_the_pool_closes_every_client(clock: FakeClock) -> None:
    def make(config: ConnectionConfig) -> VaultClient:
        return VaultClient(config, clock, random.Random(1), user_agent="vso-test", observer=Observed())

    pool = ClientPool(clock, make, lambda name, is_open: None)
    config = connection("http://127.0.0.1:1")
    async with running(pool):
        old, new = pool.client(config), pool.client(replace(config, timeout=7.0))
    assert await closed(old)
    assert await closed(new)
    with pytest.raises(RuntimeError):
        pool.client(config)


async def test_a_breaker_is_told_with_the_name_of_its_connection(made: Pool) -> None:
    client = made.pool.client(made.config())
    made.server.on("GET", "kv/data/a", Reply(503, {"errors": ["Vault is sealed"]}))
    made.server.on("GET", "sys/health", Reply(503, {"initialized": True, "sealed": True}))
    while not client.breaker_open:
        with pytest.raises(TransientError):
            await client.send(READ)
    assert made.breakers == [("team-a/vault", True)]
    made.server.on("GET", "sys/health", Reply(200, {"initialized": True, "sealed": False}))
    await made.clock.advance(1)
    await until(lambda: bool(made.trials))
    assert (made.trials, client.breaker_open) == (["team-a/vault"], True)
    made.server.on("GET", "kv/data/a", Reply(200, {"data": {}}))
    await client.send(READ)
    assert made.breakers == [("team-a/vault", True), ("team-a/vault", False)]


async def test_a_replacement_is_told_and_the_old_client_probes_no_more(clock: FakeClock) -> None:
    def make(config: ConnectionConfig) -> VaultClient:
        return VaultClient(config, clock, random.Random(1), user_agent="vso-test", observer=Observed())

    told: list[VaultClient] = []
    async with VaultServer() as server:
        server.on("GET", "kv/data/a", Reply(503, {"errors": ["Vault is sealed"]}))
        server.on("GET", "sys/health", Reply(503, {"initialized": True, "sealed": True}))
        pool = ClientPool(clock, make, lambda name, is_open: None, told.append)
        async with running(pool):
            old = pool.client(connection(server.url))
            assert told == []
            for _ in range(5):
                assert not await closed(old)
            assert old.breaker_open
            new = pool.client(connection(server.url, timeout=7.0))
            assert told == [new]
            await clock.advance(0)
            probes = len(server.asked("sys/health"))
            await clock.advance(10)
            assert len(server.asked("sys/health")) == probes


# Clients that show a consumer's certificate.


def shown(made: Pool, variant: str = "app/tls", **changes: object) -> ConnectionConfig:
    return made.config(variant=variant, **changes)


async def test_a_certificate_of_a_consumers_is_shown_beside_the_connections_own_client(made: Pool) -> None:
    own = made.pool.client(made.config(max_concurrency=3))
    client = made.pool.showing(shown(made, max_concurrency=3))
    assert made.pool.showing(shown(made, max_concurrency=3)) is client is not own
    assert made.pool.client(made.config(max_concurrency=3)) is own
    assert made.pool.variants(VC_UID) == ("app/tls",)


async def test_its_breaker_is_told_of_once_under_the_name_of_the_connection(made: Pool) -> None:
    made.pool.client(made.config())
    client = made.pool.showing(shown(made))
    await client.send(READ)
    made.server.on("GET", "kv/data/a", Reply(503, {"errors": ["Vault is sealed"]}))
    for _ in range(3):
        with pytest.raises(TransientError):
            await client.send(READ)
    assert made.breakers == [("team-a/vault", True)]


async def test_it_is_replaced_with_the_connections_own_and_keeps_its_certificate(made: Pool) -> None:
    made.pool.client(made.config())
    tls = TlsConfig(server_name="before", client_cert_pem=None)
    old = made.pool.showing(shown(made, tls=tls))
    own = made.pool.client(made.config(tls=TlsConfig(server_name="after"), max_concurrency=5))
    new = made.pool.showing(shown(made, tls=TlsConfig(server_name="after"), max_concurrency=5))
    assert new is not old
    assert new.config.tls.server_name == "after"
    sending = await own.send(READ)
    assert sending.status == 200
    await made.clock.advance(GRACE)
    assert await closed(old)
    assert not await closed(new)


async def test_one_that_nobody_shows_any_more_is_closed_after_a_grace(made: Pool) -> None:
    made.pool.client(made.config())
    kept, idle = made.pool.showing(shown(made, "app/kept")), made.pool.showing(shown(made, "app/idle"))
    assert made.pool.drop_idle(VC_UID, lambda config: config.variant == "app/kept") == ("app/idle",)
    assert made.pool.drop_idle(VC_UID, lambda config: config.variant == "app/kept") == ()
    assert made.pool.variants(VC_UID) == ("app/kept",)
    await made.clock.advance(GRACE - 1)
    assert not await closed(idle)
    await made.clock.advance(1)
    assert await closed(idle)
    assert not await closed(kept)


async def test_a_connection_that_is_gone_takes_them_along(made: Pool) -> None:
    made.pool.client(made.config())
    client = made.pool.showing(shown(made))
    made.pool.forget(VC_UID)
    await made.clock.advance(GRACE)
    assert await closed(client)
    assert made.pool.variants(VC_UID) == ()
