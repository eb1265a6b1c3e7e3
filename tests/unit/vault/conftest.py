from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.vault_server import VaultServer


@pytest.fixture
async def server() -> AsyncIterator[VaultServer]:
    async with VaultServer() as running:
        yield running


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
