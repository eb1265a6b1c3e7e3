"""The session's side of leases: which tokens are kept for them, and who hears when one is no more."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from tests.fakes.clock import FakeClock
from tests.fakes.lease_vault import CREDS, LEASE, REQUEST, LeaseVault, lent
from tests.fakes.vault_parts import Tokens, until
from tests.fakes.vault_server import Reply, Seen, Upgrade, VaultServer
from vso.core.errors import ConfigError, VsoError
from vso.vault import leases
from vso.vault.errors import InvalidTokenError
from vso.vault.parents import Parent
from vso.vault.session import Session


async def test_a_due_token_with_leases_is_renewed_and_not_succeeded(
    session: Session, server: VaultServer, tokens: Tokens, clock: FakeClock
) -> None:
    tokens.secret("kv/data/app")
    lease_id = await lent(session)
    for _ in range(40):
        await clock.advance(50)
        await session.read("kv/data/app")
    assert tokens.logins == 1
    assert 8 <= len(server.asked("auth/token/renew-self")) <= 11
    assert await session.parent(lease_id) is not None
    assert tokens.expired_used == 0


async def test_a_token_at_its_end_is_succeeded_for_new_requests_and_lives_for_its_lease(
    session: Session, vault: LeaseVault, server: VaultServer, tokens: Tokens, clock: FakeClock
) -> None:
    vault.token_max_ttl = 400
    first = await lent(session)
    await clock.advance(250)
    parent = await session.parent(first)
    assert parent is not None
    assert parent.final
    second = await lent(session)
    assert tokens.logins == 2
    assert vault.lent[second].token != vault.lent[first].token
    assert tokens.revoked == set()
    await session.let_go(first)
    assert tokens.revoked == {vault.lent[first].token}
    await session.let_go(second)
    assert tokens.revoked == {vault.lent[first].token}, "the session's own token goes on"


async def test_a_token_retired_by_a_refusal_is_kept_while_leases_hang_on_it(
    session: Session, vault: LeaseVault, tokens: Tokens, clock: FakeClock
) -> None:
    tokens.secret("kv/data/other", policy="other")
    first = await lent(session)
    await clock.advance(60)
    tokens.role_policies.add("other")
    await session.read("kv/data/other")
    assert tokens.logins == 2
    assert vault.live == [first]
    await session.let_go(first)
    assert tokens.revoked == {vault.lent[first].token}


async def test_a_retired_token_is_renewed_for_its_lease(
    session: Session, vault: LeaseVault, tokens: Tokens, clock: FakeClock
) -> None:
    tokens.secret("kv/data/other", policy="other")
    vault.ttl = 100_000
    first = await lent(session)
    await clock.advance(60)
    tokens.role_policies.add("other")
    await session.read("kv/data/other")
    for _ in range(50):
        await clock.advance(60)
        assert await session.parent(first) is not None
    assert vault.live == [first]


async def test_a_stop_leaves_the_token_that_leases_hang_on(session: Session, vault: LeaseVault, tokens: Tokens) -> None:
    await lent(session)
    await session.revoke()
    assert tokens.revoked == set()


async def test_a_token_that_was_revoked_is_noticed_at_its_renewal(
    session: Session, tokens: Tokens, vault: LeaseVault, clock: FakeClock
) -> None:
    first = await lent(session)
    tokens.revoked.add(vault.lent[first].token)
    await clock.advance(250)
    assert await session.parent(first) == Parent(clock.now(), final=True, due=None)
    assert vault.lent[await lent(session)].token == "hvs.canary-2"


async def test_a_token_that_was_revoked_is_noticed_by_any_request_and_not_at_its_renewal_alone(
    session: Session, tokens: Tokens, vault: LeaseVault, clock: FakeClock
) -> None:
    first = await lent(session)
    tokens.secret("kv/data/app")
    tokens.revoked.add(vault.lent[first].token)
    await clock.advance(10)
    await session.read("kv/data/app")
    assert await session.parent(first) == Parent(clock.now(), final=True, due=None)
    assert len(tokens.revoked) == 1, "there is nothing to give back"


@pytest.mark.parametrize("found", ["read", "renewal"])
async def test_those_who_hold_leases_of_a_token_that_is_no_more_hear_of_it_from_whoever_finds_out(
    session: Session, tokens: Tokens, vault: LeaseVault, clock: FakeClock, bereaved: list[set[str]], found: str
) -> None:
    first, second, third = await lent(session), await lent(session), await lent(session)
    await session.let_go(third)
    tokens.secret("kv/data/app")
    tokens.revoked.add(vault.lent[first].token)
    await clock.advance(250 if found == "renewal" else 10)
    assert bereaved == []
    if found == "renewal":
        await session.parent(second)
    else:
        await session.read("kv/data/app")
    assert bereaved == [{first, second}]
    await session.read("kv/data/app")
    assert len(bereaved) == 1


async def test_a_second_token_that_is_no_more_is_told_at_once_though_its_successor_has_to_wait_a_minute(
    server: VaultServer,
    session: Session,
    tokens: Tokens,
    vault: LeaseVault,
    clock: FakeClock,
    bereaved: list[set[str]],
) -> None:
    tokens.secret("kv/data/app")
    first = await lent(session)
    tokens.revoked.update(tokens.ends)
    await session.read("kv/data/app")
    second = await lent(session)
    tokens.revoked.update(tokens.ends)
    await clock.advance(10)
    with pytest.raises(InvalidTokenError) as found:
        await session.read("kv/data/app")
    assert found.value.retry_after == pytest.approx(50)
    assert bereaved == [{first}, {second}]
    assert await session.parent(second) == Parent(clock.now(), final=True, due=None)
    asked = len(server.seen)
    with pytest.raises(InvalidTokenError):
        await session.read("kv/data/app")
    assert (len(server.seen), tokens.logins) == (asked, 2), "nobody is asked meanwhile"
    await clock.advance(50)
    await asyncio.gather(*(session.read("kv/data/app") for _ in range(5)))
    assert tokens.logins == 3
    assert vault.lent[await lent(session)].token == "hvs.canary-3"


async def test_a_token_that_ends_in_time_is_news_to_nobody(
    session: Session, tokens: Tokens, vault: LeaseVault, clock: FakeClock, bereaved: list[set[str]]
) -> None:
    vault.token_max_ttl = 300
    await lent(session)
    tokens.secret("kv/data/app")
    await clock.advance(301)
    await session.read("kv/data/app")
    assert bereaved == []


class Late(Upgrade):
    """An answer with a lease, once it is let out."""

    def __init__(self) -> None:
        self.asked = 0
        self.out = asyncio.Event()

    async def hold(self, request: web.BaseRequest, seen: Seen) -> web.StreamResponse:
        self.asked += 1
        number = self.asked
        await self.out.wait()
        lease = {"lease_id": f"{CREDS}/{number}", "lease_duration": 600, "renewable": True}
        return web.json_response({"request_id": "r", "data": {"password": "canary"}, **lease})


async def denied_elsewhere(session: Session, clock: FakeClock) -> None:
    """A 403 on another path of the session, that a login anew answers."""
    await clock.advance(10)
    with pytest.raises(VsoError):
        await session.read("kv/data/denied")


async def test_a_token_that_is_replaced_while_it_is_given_a_lease_lives_as_long_as_the_lease(
    session: Session, server: VaultServer, tokens: Tokens, clock: FakeClock
) -> None:
    late = Late()
    tokens.secret("kv/data/denied", policy="another")
    server.on("GET", CREDS, late)
    issuing = asyncio.ensure_future(leases.issue(session, REQUEST))
    await until(lambda: late.asked == 1)
    await denied_elsewhere(session, clock)
    late.out.set()
    issued = await issuing
    assert tokens.logins == 2
    assert tokens.revoked == set(), "the lease would go with it"
    session.hang(issued.lease_id, issued.held)
    await session.let_go(issued.lease_id)
    assert tokens.revoked == {"hvs.canary-1"}


async def test_a_token_that_is_given_a_lease_outlives_the_last_of_the_others(
    session: Session, server: VaultServer, tokens: Tokens, clock: FakeClock
) -> None:
    late = Late()
    tokens.secret("kv/data/denied", policy="another")
    first = await lent(session)
    server.on("GET", CREDS, late)
    late.asked = 1
    issuing = asyncio.ensure_future(leases.issue(session, REQUEST))
    await until(lambda: late.asked == 2)
    await denied_elsewhere(session, clock)
    await session.let_go(first)
    assert tokens.revoked == set()
    late.out.set()
    issued = await issuing
    assert tokens.revoked == set()
    await session.let_go(issued.lease_id)
    assert tokens.revoked == {"hvs.canary-1"}
    assert len(server.asked("auth/token/revoke-self")) == 1


async def test_no_token_is_kept_for_a_lease_without_credentials(
    session: Session, server: VaultServer, tokens: Tokens, clock: FakeClock
) -> None:
    tokens.secret("kv/data/denied", policy="another")
    server.on("GET", CREDS, Reply(200, {"lease_id": LEASE, "data": {}}))
    with pytest.raises(ConfigError):
        await leases.issue(session, REQUEST)
    await denied_elsewhere(session, clock)
    assert tokens.revoked == {"hvs.canary-1"}
