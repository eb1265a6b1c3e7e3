"""A sandbox on a clock that stands still, and clients for its two servers."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.fakes.clock import FakeClock
from tests.unit.sandbox.client import Client
from vso.sandbox.sandbox import Sandbox


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def sandbox(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Sandbox]:
    async with Sandbox(tmp_path, clock=clock) as sandbox:
        yield sandbox


@pytest.fixture
async def kube(sandbox: Sandbox) -> AsyncIterator[Client]:
    context = ssl.create_default_context(cafile=sandbox.ca_file)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    async with aiohttp.ClientSession() as session:
        yield Client(session, sandbox.kube_url, {"Authorization": f"Bearer {sandbox.admin_token}"}, context)


@pytest.fixture
async def vault(sandbox: Sandbox) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(session, f"{sandbox.vault_url}/v1/", {"X-Vault-Token": "root"}, context=True)
