"""What the tests of the write protocol share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fakes.kube_transport import FakeSecrets, connected, serving
from tests.fakes.secret_bench import Bench
from vso.kube.secrets import SecretWriter


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    secrets = FakeSecrets()
    async with serving(secrets) as server, connected(server) as client:
        yield Bench(
            server, secrets, SecretWriter(client, delete_allowed=False), SecretWriter(client, delete_allowed=True)
        )
