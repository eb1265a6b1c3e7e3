"""The admin server on a real loopback socket."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field

import aiohttp
import pytest

from vso.app.admin_server import AdminServer, Guard
from vso.app.flag_values import Address
from vso.app.metrics_gate import Verdict
from vso.app.serving import OwnCertificate, server_context
from vso.core.clock import SystemClock
from vso.core.errors import ConfigError

HEALTH, METRICS = Address("127.0.0.1", 0), Address("localhost", 0)


@dataclass(frozen=True)
class Wanted:
    health_probe_bind_address: Address | None = HEALTH
    metrics_bind_address: Address | None = METRICS


@dataclass
class Checks:
    illness: list[str] = field(default_factory=list)
    awaited: list[str] = field(default_factory=list)

    def ill(self) -> tuple[str, ...]:
        return tuple(self.illness)

    def unready(self) -> tuple[str, ...]:
        return tuple(self.awaited)


class Source:
    def render(self) -> bytes:
        return b"up 1\n"


class Gate:
    """Lets one header in."""

    async def admit(self, authorization: str) -> Verdict:
        return Verdict(200) if authorization == "Bearer right" else Verdict(401, "no\n", {"WWW-Authenticate": "Bearer"})


def server(wanted: Wanted | None = None, checks: Checks | None = None, guard: Guard | None = None) -> AdminServer:
    return AdminServer(wanted or Wanted(), checks or Checks(), Source(), guard or Guard())


async def get(running: AdminServer, address: Address, path: str) -> tuple[int, str]:
    url = f"http://{address.host}:{running.bound[address]}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize(
    ("path", "checks", "expected"),
    [
        pytest.param("/healthz", Checks(), (200, "ok\n"), id="alive"),
        pytest.param("/healthz", Checks(illness=["a", "b"]), (503, "a\nb\n"), id="ill-says-why"),
        pytest.param("/healthz", Checks(awaited=["a"]), (200, "ok\n"), id="alive-though-not-ready"),
        pytest.param("/readyz", Checks(), (200, "ok\n"), id="ready"),
        pytest.param("/readyz", Checks(awaited=["a"]), (503, "a\n"), id="not-ready-says-why"),
        pytest.param("/readyz", Checks(illness=["a"]), (200, "ok\n"), id="ready-though-ill"),
    ],
)
async def test_probes(path: str, checks: Checks, expected: tuple[int, str]) -> None:
    async with server(checks=checks) as running:
        assert await get(running, HEALTH, path) == expected


async def test_metrics_have_an_address_of_their_own() -> None:
    async with server() as running:
        assert await get(running, METRICS, "/metrics") == (200, "up 1\n")
        assert (await get(running, METRICS, "/healthz"))[0] == 404
        assert (await get(running, HEALTH, "/metrics"))[0] == 404


async def test_guarded_metrics_are_behind_tls_and_the_gate_and_the_probes_are_not() -> None:
    guard = Guard(server_context(OwnCertificate(SystemClock())), Gate())
    async with server(guard=guard) as running, aiohttp.ClientSession() as session:
        url = f"https://localhost:{running.bound[METRICS]}/metrics"
        async with session.get(url, ssl=False, headers={"Authorization": "Bearer right"}) as answer:
            assert (answer.status, await answer.text()) == (200, "up 1\n")
        async with session.get(url, ssl=False) as answer:
            assert (answer.status, await answer.text(), answer.headers["WWW-Authenticate"]) == (401, "no\n", "Bearer")
        assert await get(running, HEALTH, "/healthz") == (200, "ok\n")
        with pytest.raises(aiohttp.ClientError):
            await get(running, METRICS, "/metrics")


async def test_metrics_are_told_as_what_they_are() -> None:
    async with server() as running, aiohttp.ClientSession() as session:
        url = f"http://localhost:{running.bound[METRICS]}/metrics"
        async with session.get(url) as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_one_address_can_serve_both() -> None:
    async with server(Wanted(HEALTH, HEALTH)) as running:
        assert (await get(running, HEALTH, "/metrics"))[0] == 200
        assert (await get(running, HEALTH, "/readyz"))[0] == 200


async def test_what_is_switched_off_does_not_listen() -> None:
    async with server(Wanted(None, None)) as running:
        assert running.bound == {}


async def test_a_port_in_use_is_named_and_nothing_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        running = server(Wanted(HEALTH, address))
        with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{address.port}"):
            await running.__aenter__()
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(running, HEALTH, "/healthz")


async def test_leaving_lets_go_though_a_client_hangs() -> None:
    async with server() as running:
        port = running.bound[HEALTH]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        await writer.drain()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
