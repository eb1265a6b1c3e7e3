"""/healthz, /readyz and /metrics over HTTP, for the kubelet and Prometheus.

Invariant: reads and tells, nothing else; entering listens, leaving has let go of the ports within a
few seconds whatever a client does. The probes are in the clear and for everyone, whatever guards the metrics.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self

from aiohttp import web

from vso.app.flag_values import Address
from vso.app.metrics import CONTENT_TYPE
from vso.app.metrics_gate import PATH, Verdict
from vso.core.errors import ConfigError, Reason

_FAREWELL: Final = 1.0
"""Seconds that answers under way may still take."""


class AdminSettings(Protocol):
    """Where to listen; None is nowhere."""

    @property
    def health_probe_bind_address(self) -> Address | None:
        """For /healthz and /readyz."""
        ...

    @property
    def metrics_bind_address(self) -> Address | None:
        """For /metrics."""
        ...


class Checks(Protocol):
    """Who knows how the process is; an empty answer is a good one."""

    def ill(self) -> tuple[str, ...]:
        """Return why the process should be restarted."""
        ...

    def unready(self) -> tuple[str, ...]:
        """Return what is still awaited."""
        ...


class Source(Protocol):
    """Who knows the metrics."""

    def render(self) -> bytes:
        """Return them in the text format."""
        ...


class Gate(Protocol):
    """Who decides whether a scraper gets in."""

    async def admit(self, authorization: str) -> Verdict:
        """Return the verdict on a request with this header Authorization."""
        ...


@dataclass(frozen=True, slots=True)
class Guard:
    """What stands before the metrics: nothing, TLS, or TLS and a gate."""

    tls: ssl.SSLContext | None = None
    gate: Gate | None = None


class AdminServer:
    """Listens while entered."""

    def __init__(self, settings: AdminSettings, checks: Checks, metrics: Source, guard: Guard = Guard()) -> None:
        self._settings = settings
        self._checks = checks
        self._metrics = metrics
        self._guard = guard
        self._sites = contextlib.AsyncExitStack()
        self.bound: dict[Address, int] = {}
        """The port that each asked-for address got."""

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as opening:
            for address, application in self._applications().items():
                await self._listen(opening, address, application)
            self._sites = opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * _FAREWELL):
                await self._sites.aclose()

    def _applications(self) -> dict[Address, web.Application]:
        """Return one application for each address; two purposes may share one."""
        made: dict[Address, web.Application] = {}
        if health := self._settings.health_probe_bind_address:
            routes = made.setdefault(health, web.Application()).router
            routes.add_get("/healthz", self._alive)
            routes.add_get("/readyz", self._ready)
        if metrics := self._settings.metrics_bind_address:
            made.setdefault(metrics, web.Application()).router.add_get(PATH, self._scraped)
        return made

    async def _listen(self, opening: contextlib.AsyncExitStack, address: Address, application: web.Application) -> None:
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_FAREWELL)
        await runner.setup()
        opening.push_async_callback(runner.cleanup)
        tls = self._guard.tls if address == self._settings.metrics_bind_address else None
        try:
            await web.TCPSite(runner, address.host or None, address.port, ssl_context=tls).start()
        except OSError as error:
            raise ConfigError(Reason.INVALID_SPEC, f"cannot listen on {address}: {error.strerror}") from error
        self.bound[address] = runner.addresses[0][1]

    async def _alive(self, _request: web.Request) -> web.Response:
        return _answer(self._checks.ill())

    async def _ready(self, _request: web.Request) -> web.Response:
        return _answer(self._checks.unready())

    async def _scraped(self, request: web.Request) -> web.Response:
        if self._guard.gate is not None:
            verdict = await self._guard.gate.admit(request.headers.get("Authorization", ""))
            if verdict.status != 200:
                return web.Response(status=verdict.status, text=verdict.text, headers=verdict.headers)
        return web.Response(body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE})


def _answer(problems: tuple[str, ...]) -> web.Response:
    text = "".join(f"{problem}\n" for problem in problems) or "ok\n"
    return web.Response(text=text, status=503 if problems else 200)
