"""What becomes of a session, and of its token, when its VaultAuth says something else or goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.vault_parts import LOGIN, Credentials, Observed, Tokens, client_to, until
from tests.fakes.vault_server import Drop, Reply, VaultServer
from vso.vault.client import VaultClient, VaultRequest
from vso.vault.sessions import Sessions

PATH = "kv/data/app"
OTHER = replace(LOGIN, generation=2)


@asynccontextmanager
async def tended(server: VaultServer, clock: FakeClock) -> AsyncIterator[tuple[Sessions, VaultClient]]:
    """Sessions that are looked after."""
    async with client_to(server.url, clock) as client:
        sessions = Sessions(clock, Credentials(), Observed())
        running = asyncio.get_running_loop().create_task(sessions.run())
        try:
            yield sessions, client
        finally:
            running.cancel()
            await asyncio.wait((running,))


@pytest.fixture
def tokens(server: VaultServer, clock: FakeClock) -> Tokens:
    made = Tokens(server, clock)
    made.secret(PATH)
    return made


async def test_a_replaced_token_is_given_back_and_the_new_one_stays(
    server: VaultServer, clock: FakeClock, tokens: Tokens
) -> None:
    async with tended(server, clock) as (sessions, client):
        await sessions.session(client, LOGIN).read(PATH)
        await sessions.session(client, OTHER).read(PATH)
        await clock.advance(4.0)
        assert tokens.revoked == set()
        await clock.advance(2.0)
        await until(lambda: tokens.revoked == {"hvs.canary-1"})
        await clock.advance(3600.0 / 2)
        assert tokens.revoked == {"hvs.canary-1"}


async def test_the_token_of_a_vault_auth_that_is_gone_is_given_back(
    server: VaultServer, clock: FakeClock, tokens: Tokens
) -> None:
    async with tended(server, clock) as (sessions, client):
        await sessions.session(client, LOGIN).read(PATH)
        sessions.forget(LOGIN.uid)
        await clock.advance(6.0)
        await until(lambda: tokens.revoked == {"hvs.canary-1"})


async def test_a_vault_auth_that_turns_to_another_connection_gives_the_token_of_the_old_one_back(
    server: VaultServer, clock: FakeClock, tokens: Tokens
) -> None:
    async with tended(server, clock) as (sessions, client), client_to(server.url, clock, uid="other") as other:
        await sessions.session(client, LOGIN).read(PATH)
        await sessions.session(other, LOGIN).read(PATH)
        await clock.advance(6.0)
        await until(lambda: tokens.revoked == {"hvs.canary-1"})
        assert sessions.statistics().sessions == 1


async def test_who_still_reads_under_the_old_session_is_waited_for(
    server: VaultServer, clock: FakeClock, tokens: Tokens
) -> None:
    async with tended(server, clock) as (sessions, client):
        old = sessions.session(client, LOGIN)
        await old.read(PATH)
        await sessions.session(client, OTHER).read(PATH)
        for _ in range(10):
            await clock.advance(2.0)
            await old.read(PATH)
        assert tokens.revoked == set()
        await clock.advance(11.0)
        await until(lambda: tokens.revoked == {"hvs.canary-1"})
    assert tokens.logins == 2


async def test_a_token_that_leases_hang_on_is_kept_until_the_last_is_let_go(
    server: VaultServer, clock: FakeClock, tokens: Tokens
) -> None:
    async with tended(server, clock) as (sessions, client):
        old = sessions.session(client, LOGIN)
        _, held = await old.send(VaultRequest("GET", PATH))
        old.hang("lease", held)
        await sessions.session(client, OTHER).read(PATH)
        await clock.advance(60.0)
        assert tokens.revoked == set()
        await old.let_go("lease")
    assert tokens.revoked == {"hvs.canary-1"}


async def test_a_lease_that_is_let_go_by_the_newer_session_keeps_the_token_of_the_older_one_no_longer(
    server: VaultServer, clock: FakeClock, tokens: Tokens
) -> None:
    async with tended(server, clock) as (sessions, client):
        for generation, lease_id in enumerate(("first", "second", "third"), start=1):
            session = sessions.session(client, replace(LOGIN, generation=generation))
            session.hang(lease_id, (await session.send(VaultRequest("GET", PATH)))[1])
        await clock.advance(60.0)
        await session.let_go("second")
        assert tokens.revoked == {"hvs.canary-2"}
        await session.let_go("first")
        assert tokens.revoked == {"hvs.canary-1", "hvs.canary-2"}
        await session.let_go("unknown")
        await session.let_go("third")
        assert len(server.asked("auth/token/revoke-self")) == 2, "the third is in use still"


async def test_after_an_edit_of_the_connection_the_token_is_given_back_over_the_newer_client(
    server: VaultServer, clock: FakeClock, tokens: Tokens
) -> None:
    async with tended(server, clock) as (sessions, client), client_to(server.url, clock, generation=2) as newer:
        old = sessions.session(client, LOGIN)
        old.hang("lease", (await old.send(VaultRequest("GET", PATH)))[1])
        sessions.adopt(newer)
        session = sessions.session(newer, LOGIN)
        assert session is not old
        await clock.advance(60.0)
        await client.close()
        await session.let_go("lease")
    assert tokens.revoked == {"hvs.canary-1"}


async def test_no_token_is_shown_to_the_vault_that_the_connection_leads_to_now(
    server: VaultServer, clock: FakeClock, tokens: Tokens
) -> None:
    async with (
        VaultServer() as another,
        tended(server, clock) as (sessions, client),
        client_to(another.url, clock, generation=2) as newer,
    ):
        await sessions.session(client, LOGIN).read(PATH)
        sessions.adopt(newer)
        sessions.session(newer, LOGIN)
        await client.close()
        await clock.advance(6.0)
        await sessions.close()
        assert another.seen == []


async def test_a_vault_that_is_away_does_not_end_the_care(
    server: VaultServer, clock: FakeClock, tokens: Tokens
) -> None:
    async with tended(server, clock) as (sessions, client):
        await sessions.session(client, LOGIN).read(PATH)
        server.on("PUT", "auth/token/revoke-self", Drop())
        await sessions.session(client, OTHER).read(PATH)
        await clock.advance(6.0)
        await until(lambda: sessions.statistics().logged_in == 1)
        server.on("PUT", "auth/token/revoke-self", Reply(204))
        await sessions.session(client, replace(LOGIN, generation=3)).read(PATH)
        await clock.advance(6.0)
        await until(lambda: server.asked("auth/token/revoke-self")[-1].token == "hvs.canary-2")


async def test_the_tokens_of_all_who_leave_together_are_given_back_however_many_they_are(
    server: VaultServer, clock: FakeClock, tokens: Tokens
) -> None:
    async with tended(server, clock) as (sessions, client):
        for number in range(300):
            await sessions.session(client, replace(LOGIN, consumer=f"team-{number}")).read(PATH)
        sessions.depart(LOGIN.uid, ())
        await clock.advance(6.0)
        await until(lambda: len(tokens.revoked) == 300)
