from __future__ import annotations

from collections.abc import AsyncIterator, Collection

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.lease_vault import LeaseVault
from tests.fakes.vault_parts import LOGIN, Credentials, Observed, Tokens, client_to
from tests.fakes.vault_server import VaultServer
from vso.vault.session import Session
from vso.vault.sessions import Sessions


@pytest.fixture
async def server() -> AsyncIterator[VaultServer]:
    async with VaultServer() as running:
        yield running


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def tokens(server: VaultServer, clock: FakeClock) -> Tokens:
    """Tokens that live for five minutes."""
    return Tokens(server, clock, ttl=300)


@pytest.fixture
def vault(server: VaultServer, tokens: Tokens, clock: FakeClock) -> LeaseVault:
    """A Vault that lends under those tokens."""
    return LeaseVault(server, tokens, clock)


@pytest.fixture
def bereaved() -> list[set[str]]:
    """Those leases of the session whose token is no more, as their holders heard of it."""
    return []


@pytest.fixture
async def session(
    server: VaultServer, vault: LeaseVault, clock: FakeClock, bereaved: list[set[str]]
) -> AsyncIterator[Session]:
    """A session that borrows of that Vault."""

    def heard(lease_ids: Collection[str]) -> None:
        bereaved.append(set(lease_ids))

    async with client_to(server.url, clock) as client:
        yield Sessions(clock, Credentials(), Observed(), bereaved=heard).session(client, LOGIN)
