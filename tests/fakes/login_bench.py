"""Sessions by any way of logging in, over one client.

Invariant: whatever fails on it shows no credential, and every credential has `canary` in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.vault_parts import IDENTITY, VA_UID, Credentials, Observed, client_to
from tests.fakes.vault_server import Reply, VaultServer
from vso.core.errors import VsoError
from vso.runtime.workqueue import Lane
from vso.vault.client import VaultClient
from vso.vault.config import LoginConfig
from vso.vault.session import Session
from vso.vault.sessions import Sessions
from vso.vault.way import Way

NS = IDENTITY.namespace
READ = "kv/data/app"
GRANTED = Reply(200, {"auth": {"client_token": "hvs.canary", "accessor": "a", "lease_duration": 3600}})
FOUND = Reply(200, {"data": {"data": {"a": "b"}, "metadata": {"version": 1}}})


@dataclass
class Bench:
    """A Vault by script, the credentials that there are, and sessions over one client."""

    server: VaultServer
    clock: FakeClock
    client: VaultClient
    credentials: Credentials
    sessions: Sessions

    def session(self, way: Way, mount: str = "m", **changes: Any) -> Session:
        login = LoginConfig("team-a/va", VA_UID, 1, "method", mount, "", NS, way)
        return self.sessions.session(self.client, replace(login, **changes))

    async def read(self, way: Way, *, lane: Lane = Lane.REFRESH, **changes: Any) -> None:
        await self.session(way, **changes).read(READ, lane=lane)

    async def refusal(self, way: Way, lane: Lane = Lane.REFRESH) -> VsoError:
        with pytest.raises(VsoError) as caught:
            await self.read(way, lane=lane)
        assert "canary" not in f"{caught.value!r}"
        return caught.value


@asynccontextmanager
async def bench_on(clock: FakeClock, **connection: Any) -> AsyncIterator[Bench]:
    async with VaultServer() as server, client_to(server.url, clock, **connection) as client:
        server.on("GET", READ, FOUND)
        credentials = Credentials()
        credentials.put(NS, "kept", id="canary-id", jwt="canary.jwt", password="canary-pw", token="hvs.canary-given")
        credentials.files["/run/id"] = "canary-file"
        yield Bench(server, clock, client, credentials, Sessions(clock, credentials, Observed()))
