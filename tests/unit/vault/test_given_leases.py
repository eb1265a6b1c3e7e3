"""Leases under a token that somebody else has made: they change nothing of what the method promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.lease_vault import LeaseVault
from tests.fakes.shelf import MemoryShelf
from tests.fakes.vault_parts import IDENTITY, VA_UID, Credentials, Observed, Tokens, client_to
from tests.fakes.vault_server import Reply, Seen, Step, VaultServer, errors
from vso.vault import leases
from vso.vault.auth.given import GivenWay
from vso.vault.client import VaultClient
from vso.vault.config import LoginConfig
from vso.vault.keeping import client_id
from vso.vault.leases import IssueRequest
from vso.vault.session import Session
from vso.vault.sessions import Sessions

READ = "kv/data/app"
RENEW_SELF = "auth/token/renew-self"
FIRST, SECOND = "hvs.canary-given", "hvs.canary-next"
LIFE = 1000.0


class Bench:
    """A Vault that knows two tokens, a Secret with the first, and a session that logs in by it."""

    def __init__(self, client: VaultClient, server: VaultServer, clock: FakeClock) -> None:
        self.client, self.server, self.clock = client, server, clock
        self.tokens = Tokens(server, clock, ttl=LIFE)
        self.tokens.secret(READ)
        self.vault = LeaseVault(server, self.tokens, clock, ttl=100_000)
        for token in (FIRST, SECOND):
            self.tokens.ends[token], self.tokens.policies[token] = clock.monotonic() + LIFE, {"app"}
        server.on("GET", "auth/token/lookup-self", self._lookup)
        self.credentials, self.shelf = Credentials(), MemoryShelf()
        self.put(FIRST)
        self.bereaved: list[set[str]] = []
        self.sessions = Sessions(clock, self.credentials, Observed(), shelf=self.shelf, bereaved=self._heard)

    def _lookup(self, seen: Seen) -> Step:
        if seen.token in self.tokens.revoked:
            return errors(403, "permission denied", "invalid token")
        left = self.tokens.ends[seen.token] - self.clock.monotonic()
        accessor = f"accessor-of-{seen.token}"
        return Reply(200, {"data": {"ttl": left, "renewable": True, "accessor": accessor, "type": "service"}})

    def _heard(self, lease_ids: Collection[str]) -> None:
        self.bereaved.append(set(lease_ids))

    def put(self, token: str) -> None:
        self.credentials.put(IDENTITY.namespace, "kept", version=token, token=token)

    def session(self, *, renew: bool = True) -> Session:
        way = GivenWay("kept", renew=renew)
        login = LoginConfig("team-a/va", VA_UID, 1, "token", "token", "", IDENTITY.namespace, way)
        return self.sessions.session(self.client, login)

    async def lent(self, session: Session) -> str:
        issued = await leases.issue(session, IssueRequest("database", "creds/app"))
        session.hang(issued.lease_id, issued.held)
        assert await session.parent(issued.lease_id) is not None
        return issued.lease_id

    @property
    def renewals(self) -> int:
        return len(self.server.asked(RENEW_SELF))


@pytest.fixture
async def bench(server: VaultServer, clock: FakeClock) -> AsyncIterator[Bench]:
    async with client_to(server.url, clock) as client:
        yield Bench(client, server, clock)


async def test_a_token_that_is_not_to_be_renewed_is_not_renewed_for_leases_either(bench: Bench) -> None:
    session = bench.session(renew=False)
    lease_id = await bench.lent(session)
    for _ in range(9):
        await bench.clock.advance(100)
        await session.read(READ)
        parent = await session.parent(lease_id)
        assert parent is not None
        assert parent.final, "its leases are replaced in time"
    assert bench.renewals == 0


@pytest.mark.parametrize("renew", [True, False])
async def test_a_token_that_was_replaced_is_read_again_though_leases_hang_on_the_old_one(
    bench: Bench, renew: bool
) -> None:
    session = bench.session(renew=renew)
    lease_id = await bench.lent(session)
    for _ in range(8):
        await bench.clock.advance(100)
        await session.read(READ)
        assert await session.parent(lease_id) is not None
        assert bench.server.asked(READ)[-1].token == FIRST
    bench.put(SECOND)
    bench.tokens.ends[SECOND] = bench.clock.monotonic() + LIFE
    await bench.clock.advance(301)
    await session.read(READ)
    assert bench.server.asked(READ)[-1].token == SECOND


@pytest.mark.parametrize("ended", [True, False])
async def test_the_leases_of_a_token_that_ended_before_the_next_was_looked_at_are_told_of_then(
    bench: Bench, ended: bool
) -> None:
    session = bench.session()
    first = await bench.lent(session)
    bench.put(SECOND)
    if ended:
        bench.tokens.revoked.add(FIRST)
    await bench.clock.advance(301)
    await asyncio.gather(*(session.read(READ) for _ in range(10)))
    assert [seen.token for seen in bench.server.asked(READ)] == [SECOND] * 10
    assert bench.bereaved == ([{first}] if ended else [])
    asked = [seen.token for seen in bench.server.asked("auth/token/lookup-self")]
    assert asked == [FIRST, SECOND, FIRST]
    await bench.clock.advance(301)
    await session.read(READ)
    assert len(bench.server.asked("auth/token/lookup-self")) == 4, "nobody left anything behind this time"


async def test_the_leases_of_one_token_share_its_place_on_the_shelf_however_often_it_was_looked_at(
    bench: Bench,
) -> None:
    session = bench.session()
    first = await bench.lent(session)
    await bench.clock.advance(301)
    second = await bench.lent(session)
    await session.let_go(first)
    assert set(bench.shelf.kept) == {client_id(f"accessor-of-{FIRST}")}
    await bench.clock.advance(301)
    parent = await session.parent(second)
    assert parent is not None
    assert (bench.shelf.puts, bench.tokens.revoked) == (1, set())
    await session.let_go(second)
    assert bench.shelf.kept == {}


async def test_a_look_that_fails_is_made_again_after_as_long(bench: Bench) -> None:
    session = bench.session()
    await bench.lent(session)
    bench.server.on("GET", "auth/token/lookup-self", errors(500, "internal error"))
    for _ in range(8):
        await bench.clock.advance(100)
        await session.read(READ)
    tries = len(bench.server.asked("auth/token/lookup-self")) - 1
    assert tries == 2, "at 300 s and at 600 s"
