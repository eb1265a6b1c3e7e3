"""JSON over HTTP, for the tests of the sandbox's two servers."""

from __future__ import annotations

import json
import ssl
from typing import Any

import aiohttp


class Client:
    """JSON over HTTP: status and body."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, headers: dict[str, str], context: ssl.SSLContext | bool
    ) -> None:
        self.session, self.url, self.headers, self.context = session, url, headers, context

    async def __call__(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        async with self.open(method, path, body, headers) as response:
            raw = await response.read()
            return response.status, json.loads(raw) if raw else None

    def open(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
        merged = {"Content-Type": "application/json"} | self.headers | (headers or {})
        data = None if body is None else json.dumps(body).encode()
        return self.session.request(method, self.url + path, data=data, headers=merged, ssl=self.context)

    def with_headers(self, **headers: str) -> Client:
        return Client(
            self.session, self.url, self.headers | {k.replace("_", "-"): v for k, v in headers.items()}, self.context
        )
