"""A scripted HTTP server where Vault would be.

It knows nothing of Vault: a test says what each path answers, and reads afterwards what was asked.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

Json = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """One request as it arrived; the path is still encoded and has no /v1."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Json

    @property
    def token(self) -> str:
        return self.headers.get("X-Vault-Token", "")


@dataclass(frozen=True)
class Reply:
    """An answer; a dict goes out as JSON, bytes as they are."""

    status: int = 200
    body: Json | bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Drop:
    """Close the connection without an answer."""


class Hang:
    """Never answer, until the server is released or closed."""


class Upgrade(ABC):
    """Answer with a websocket."""

    @abstractmethod
    async def hold(self, request: web.BaseRequest, seen: Seen) -> web.StreamResponse:
        """Shake hands and return when the websocket is closed."""


Step = Reply | Drop | Hang | Upgrade
Answer = Step | Callable[[Seen], Step]

OK_HEALTH = Reply(200, {"initialized": True, "sealed": False, "standby": False, "version": "1.21.0"})


def errors(status: int, *texts: str, **headers: str) -> Reply:
    """Vault's form of a refusal; retry_after="3" becomes Retry-After: 3."""
    return Reply(status, {"errors": list(texts)}, {name.replace("_", "-"): value for name, value in headers.items()})


class VaultServer:
    """Answers by script: the last answer of a path is repeated."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[Seen] = []
        self.hanging = 0
        self._tls = tls
        self._port = 0
        self._script: dict[tuple[str, str], list[Answer]] = {("GET", "sys/health"): [OK_HEALTH]}
        self._released = asyncio.Event()
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    def on(self, method: str, path: str, *answers: Answer) -> None:
        """Say what a path answers, in this order."""
        self._script[(method, path)] = list(answers)

    def asked(self, path: str, method: str | None = None) -> list[Seen]:
        return [seen for seen in self.seen if seen.path == path and method in (None, seen.method)]

    def release(self) -> None:
        """Let hanging requests end."""
        self._released.set()
        self._released = asyncio.Event()

    async def start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._handle), handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Go away; `start` comes back on the same port."""
        self.release()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        raw, _, query = request.raw_path.partition("?")
        text = await request.text()
        seen = Seen(request.method, raw.removeprefix("/v1/"), query, request.headers, json.loads(text) if text else {})
        self.seen.append(seen)
        step = self._next(seen)
        if isinstance(step, Upgrade):
            return await step.hold(request, seen)
        if isinstance(step, Hang):
            self.hanging += 1
            try:
                await self._released.wait()
            finally:
                self.hanging -= 1
        if not isinstance(step, Reply):
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if isinstance(step.body, dict):
            return web.Response(
                status=step.status, body=json.dumps(step.body), content_type="application/json", headers=step.headers
            )
        return web.Response(status=step.status, body=step.body, headers=step.headers)

    def _next(self, seen: Seen) -> Step:
        answers = self._script.get((seen.method, seen.path)) or [errors(404)]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer(seen) if callable(answer) else answer
