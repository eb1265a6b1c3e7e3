"""Tokens on a shelf: put there with their first lease, and taken back by a later process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.lease_vault import LeaseVault
from tests.fakes.shelf import MemoryShelf
from tests.fakes.vault_parts import LOGIN, Credentials, Observed, Tokens, client_to, login_of, until
from tests.fakes.vault_server import VaultServer, errors
from vso.core.errors import Reason, TransientError
from vso.core.sensitive import Sensitive
from vso.vault import leases
from vso.vault.client import VaultClient
from vso.vault.config import LoginConfig
from vso.vault.keeping import KeptToken, client_id
from vso.vault.leases import IssueRequest
from vso.vault.parents import Parent
from vso.vault.session import Session
from vso.vault.sessions import Sessions

REQUEST = IssueRequest("database", "creds/app")
FIRST = client_id("accessor-of-hvs.canary-1")
RENEW_SELF, RENEW_ACCESSOR = "auth/token/renew-self", "auth/token/renew-accessor"


class Bench:
    """A Vault, a shelf, and the process of the moment."""

    def __init__(self, client: VaultClient, server: VaultServer, clock: FakeClock) -> None:
        self.client, self.server, self.clock = client, server, clock
        self.shelf = MemoryShelf()
        self.tokens = Tokens(server, clock, ttl=300)
        self.credentials = Credentials()
        self.vault = LeaseVault(server, self.tokens, clock, ttl=100_000)
        self.session = self.process()

    def process(self, login: LoginConfig = LOGIN) -> Session:
        """A process that knows nothing yet."""
        self.sessions = Sessions(self.clock, self.credentials, Observed(), shelf=self.shelf)
        self.session = self.sessions.session(self.client, login)
        return self.session

    async def lent(self) -> str:
        """Issue credentials, as the desk does."""
        issued = await leases.issue(self.session, REQUEST)
        self.session.hang(issued.lease_id, issued.held)
        assert await self.session.parent(issued.lease_id) is not None
        return issued.lease_id

    def renewals(self, path: str = RENEW_SELF) -> int:
        return len(self.server.asked(path))


@pytest.fixture
async def bench(server: VaultServer, clock: FakeClock) -> AsyncIterator[Bench]:
    async with client_to(server.url, clock) as client:
        yield Bench(client, server, clock)


def test_what_is_kept_shows_neither_token_nor_accessor() -> None:
    kept = KeptToken("session", "sa", 300, accessor="canary-accessor", token=Sensitive.of("hvs.canary"))
    assert "canary" not in repr(kept)
    assert client_id("") == ""


async def test_a_token_is_put_on_the_shelf_once_with_its_first_lease(bench: Bench) -> None:
    bench.tokens.secret("kv/data/app")
    await bench.session.read("kv/data/app")
    assert bench.shelf.puts == 0, "no lease hangs on it"
    first, second = await bench.lent(), await bench.lent()
    await bench.session.parent(first)
    assert (bench.shelf.puts, set(bench.shelf.kept)) == (1, {FIRST})
    await bench.session.let_go(first)
    assert set(bench.shelf.kept) == {FIRST}
    await bench.session.let_go(second)
    assert bench.shelf.kept == {}


async def test_no_lease_is_used_before_its_token_is_kept_whoever_gives_up_meanwhile(bench: Bench) -> None:
    bench.shelf.gate.clear()
    first, second = (asyncio.ensure_future(bench.lent()) for _ in range(2))
    await until(lambda: bench.shelf.puts == 1 and len(bench.vault.lent) == 2)
    first.cancel()
    await until(lambda: bench.shelf.puts == 2)
    assert not second.done()
    bench.shelf.gate.set()
    await second
    assert set(bench.shelf.kept) == {FIRST}


async def test_a_token_that_could_not_be_kept_is_put_again_a_minute_later(bench: Bench) -> None:
    bench.shelf.failing = True
    lease_id = await bench.lent()
    await bench.clock.advance(59)
    await bench.session.parent(lease_id)
    assert bench.shelf.puts == 1
    bench.shelf.failing = False
    await bench.clock.advance(2)
    await bench.session.parent(lease_id)
    assert (bench.shelf.puts, set(bench.shelf.kept)) == (2, {FIRST})


@pytest.mark.parametrize("change", [{"num_uses": 9}, {"accessor": "", "type": "batch"}, {"renewable": False}])
async def test_what_a_later_process_could_not_renew_is_not_kept(bench: Bench, change: dict[str, Any]) -> None:
    issued = await leases.issue(bench.session, REQUEST)
    issued.held.token = replace(issued.held.token, **change)
    bench.session.hang(issued.lease_id, issued.held)
    await bench.session.parent(issued.lease_id)
    assert bench.shelf.puts == 0


async def test_a_new_process_keeps_the_token_alive_and_logs_in_by_it(bench: Bench) -> None:
    lease_id = await bench.lent()
    for _ in range(5):
        session = bench.process()
        for _ in range(3):
            await bench.clock.advance(100)
            parent = await session.parent(lease_id, FIRST)
            assert parent is not None
            assert not parent.final
    assert bench.vault.live == [lease_id]
    await leases.issue(bench.session, REQUEST)
    assert bench.tokens.logins == 1, "the token of the first process serves them all"
    assert bench.shelf.puts == 1 + 5, "each has it kept, which costs a write only where it is not yet"


async def test_leases_of_one_token_cost_one_renewal_after_a_restart(bench: Bench) -> None:
    lease_ids = [await bench.lent() for _ in range(5)]
    session = bench.process()
    assert all([await session.parent(lease_id, FIRST) for lease_id in lease_ids])
    assert bench.renewals() == 1


async def test_the_end_that_nothing_moves_is_told_after_a_restart_too(bench: Bench) -> None:
    bench.vault.token_max_ttl = 400
    lease_id = await bench.lent()
    await bench.clock.advance(250)
    parent = await bench.process().parent(lease_id, FIRST)
    assert parent is not None
    assert parent.final
    assert (parent.ends - bench.clock.now()).total_seconds() == pytest.approx(145)
    assert bench.shelf.puts == 2, "it is asked for, and so stays on the shelf"


async def test_by_its_accessor_a_token_is_renewed_under_a_new_one(bench: Bench) -> None:
    bench.shelf.accessors_only = True
    lease_id = await bench.lent()
    session = bench.process()
    for _ in range(6):
        await bench.clock.advance(100)
        assert await session.parent(lease_id, FIRST) is not None
    assert bench.vault.live == [lease_id]
    assert bench.renewals() <= 4, "those of the session's own token"
    assert bench.renewals(RENEW_ACCESSOR) >= 2
    assert bench.tokens.logins >= 2
    await session.let_go(lease_id)
    assert bench.tokens.revoked == set(), "others may hang on it"


async def test_where_no_policy_allows_the_accessor_it_is_not_asked_for_with_each_pass(bench: Bench) -> None:
    bench.shelf.accessors_only, bench.vault.accessors_allowed = True, False
    lease_id = await bench.lent()
    session = bench.process()
    for _ in range(5):
        await bench.clock.advance(1)
        assert await session.parent(lease_id, FIRST) is None
    assert bench.renewals(RENEW_ACCESSOR) == 1
    assert bench.shelf.complaints == [Reason.VAULT_PERMISSION_DENIED]


@pytest.mark.parametrize("accessors_only", [False, True], ids=["token", "accessor"])
async def test_a_token_that_has_ended_leaves_the_shelf(bench: Bench, accessors_only: bool) -> None:
    bench.shelf.accessors_only = accessors_only
    lease_id = await bench.lent()
    await bench.clock.advance(301)
    session = bench.process()
    over = Parent(bench.clock.now(), final=True, due=None)
    assert await session.parent(lease_id, FIRST) == over
    assert bench.shelf.kept == {}
    assert await session.parent("another", FIRST) == over


async def test_a_vault_that_fails_is_asked_again_by_the_next_pass(bench: Bench) -> None:
    lease_id = await bench.lent()
    session = bench.process()
    bench.server.on("PUT", RENEW_SELF, errors(500, "internal error"))
    assert await session.parent(lease_id, FIRST) is None
    assert set(bench.shelf.kept) == {FIRST}
    LeaseVault(bench.server, bench.tokens, bench.clock)
    assert await session.parent(lease_id, FIRST) is not None


async def test_a_token_is_not_given_to_another_session(bench: Bench) -> None:
    lease_id = await bench.lent()
    for login in (replace(LOGIN, generation=2), login_of("team-b")):
        assert await bench.process(login).parent(lease_id, FIRST) is None
    assert bench.renewals() == 0


@pytest.mark.parametrize("accessors_only", [False, True], ids=["token", "accessor"])
async def test_a_service_account_that_was_made_anew_does_not_get_the_token_of_the_old_one(
    bench: Bench, accessors_only: bool
) -> None:
    bench.shelf.accessors_only = accessors_only
    lease_id = await bench.lent()
    bench.credentials.uid = "44444444-4444-4444-8444-444444444444"
    session = bench.process()
    for _ in range(3):
        assert await session.parent(lease_id, FIRST) is None
    assert bench.renewals() + bench.renewals(RENEW_ACCESSOR) == 0
    assert bench.shelf.kept == {}
    assert bench.shelf.complaints == [Reason.SERVICE_ACCOUNT_NOT_FOUND]
    await leases.issue(session, REQUEST)
    assert bench.tokens.logins == 2
    assert bench.tokens.revoked == set(), "what hangs on it works until it is replaced"


async def test_a_service_account_is_looked_at_once_for_each_token_that_is_taken_back(bench: Bench) -> None:
    lease_ids = [await bench.lent() for _ in range(5)]
    session = bench.process()
    minted = bench.credentials.minted
    assert all([await session.parent(lease_id, FIRST) for lease_id in lease_ids])
    assert bench.credentials.minted == minted + 1


async def test_a_service_account_that_cannot_be_looked_at_yet_is_by_the_next_pass(bench: Bench) -> None:
    lease_id = await bench.lent()
    session = bench.process()
    bench.credentials.failure = TransientError(Reason.KUBERNETES_UNAVAILABLE, "away")
    assert await session.parent(lease_id, FIRST) is None
    bench.credentials.failure = None
    assert await session.parent(lease_id, FIRST) is not None


async def test_a_token_that_was_taken_back_is_never_revoked(bench: Bench) -> None:
    lease_id = await bench.lent()
    session = bench.process()
    await session.parent(lease_id, FIRST)
    await session.let_go(lease_id)
    await bench.sessions.close()
    assert bench.tokens.revoked == set()


async def test_a_process_that_leads_again_revokes_no_token_that_another_may_have_used(bench: Bench) -> None:
    first = await bench.lent()
    await bench.session.parent(first)
    bench.sessions.share()
    second = await bench.lent()
    await bench.session.let_go(first)
    await bench.session.let_go(second)
    await bench.sessions.close()
    assert bench.tokens.revoked == set()
    assert bench.shelf.puts == 2


async def test_tokens_that_ended_with_leases_on_them_go_when_the_next_is_kept(bench: Bench) -> None:
    bench.vault.token_max_ttl = 300
    await bench.lent()
    await bench.clock.advance(400)
    await bench.lent()
    assert set(bench.shelf.kept) == {client_id("accessor-of-hvs.canary-2")}


async def test_a_process_that_leads_again_does_not_take_its_old_knowledge_for_the_tokens_end(bench: Bench) -> None:
    lease_id, before = await bench.lent(), bench.session
    between = bench.process()
    for _ in range(5):
        await bench.clock.advance(100)
        assert await between.parent(lease_id, FIRST) is not None
    before.share()
    assert await before.parent(lease_id, FIRST) is not None
    assert set(bench.shelf.kept) == {FIRST}
    bench.tokens.revoked.add("hvs.canary-1")
    before.share()
    assert await before.parent(lease_id, FIRST) == Parent(bench.clock.now(), final=True, due=None)
    assert bench.shelf.kept == {}
