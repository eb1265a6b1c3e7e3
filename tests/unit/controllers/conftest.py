from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.house import House, house


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def home() -> AsyncIterator[House]:
    """A house in full mode whose Vault holds one secret for one object."""
    async with house() as opened:
        opened.holds({"password": "s3cret-1"})
        opened.static()
        yield opened


@pytest.fixture
async def narrow() -> AsyncIterator[House]:
    """The same without any right to read, watch or delete Secrets."""
    async with house(full=False) as opened:
        opened.holds({"password": "s3cret-1"})
        opened.static()
        yield opened
