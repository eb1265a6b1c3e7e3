"""The life of a token: one login for all, renewed in time, replaced within a read, given back at the end."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

from tests.fakes.clock import FakeClock
from tests.fakes.vault_calls import PATH, refusal, session_on
from tests.fakes.vault_parts import (
    JWT,
    LOGIN,
    SA_UID,
    VA_UID,
    VC_UID,
    Credentials,
    Observed,
    Tokens,
    client_to,
    login_of,
)
from tests.fakes.vault_server import Drop, Reply, VaultServer, errors
from vso.core.errors import Reason
from vso.vault.errors import InvalidTokenError, PermissionDeniedError
from vso.vault.sessions import Sessions


async def test_a_thousand_readers_share_one_login(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock)
    tokens.secret(PATH)
    credentials = Credentials()
    async with session_on(server, clock, credentials) as (session, _), asyncio.TaskGroup() as tasks:
        for _ in range(1000):
            tasks.create_task(session.read(PATH))
    assert (tokens.logins, credentials.minted) == (1, 1)
    assert server.asked("auth/kubernetes/login")[0].body == {"role": "app", "jwt": JWT}


async def test_two_identities_are_two_sessions_and_two_tokens(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock)
    tokens.secret(PATH)
    other = login_of("team-b")
    async with client_to(server.url, clock) as client:
        sessions = Sessions(clock, Credentials(), Observed())
        for login in (LOGIN, other, LOGIN, other):
            await sessions.session(client, login).read(PATH)
        assert sessions.session(client, LOGIN) is sessions.session(client, LOGIN)
        assert sessions.statistics().logged_in == 2
    assert tokens.logins == 2


async def test_an_open_breaker_costs_no_token_requests(server: VaultServer, clock: FakeClock) -> None:
    server.on("PUT", "auth/kubernetes/login", errors(503, "Vault is sealed"))
    credentials = Credentials()
    async with session_on(server, clock, credentials) as (session, _):
        for _ in range(50):
            assert (await refusal(session)).reason is Reason.VAULT_SEALED
    assert credentials.minted == len(server.asked("auth/kubernetes/login")) == 3


async def test_no_expired_token_is_sent_in_ten_hours(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock, ttl=1200)
    tokens.secret(PATH)
    async with session_on(server, clock) as (session, _):
        for _ in range(600):
            await session.read(PATH)
            await clock.advance(60)
    assert tokens.expired_used == 0
    assert 30 <= tokens.logins <= 38
    assert len(server.asked(PATH)) == 600


async def test_an_idle_session_logs_in_on_use_alone(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock, ttl=60)
    tokens.secret(PATH)
    async with session_on(server, clock) as (session, _):
        await session.read(PATH)
        await clock.advance(36_000)
        assert tokens.logins == 1
        await session.read(PATH)
    assert (tokens.logins, tokens.expired_used) == (2, 0)


async def test_a_failed_early_login_leaves_the_living_token_in_use(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock, ttl=1000)
    tokens.secret(PATH)
    async with session_on(server, clock) as (session, _):
        await session.read(PATH)
        tokens.refuse = errors(500, "the API server is away")
        for _ in range(94):
            await clock.advance(10)
            await session.read(PATH)
        assert 2 <= tokens.logins <= 20
        await clock.advance(60)
        assert (await refusal(session)).reason is Reason.VAULT_LOGIN_UNAVAILABLE
        tokens.refuse = None
        await clock.advance(5)
        await session.read(PATH)
    assert tokens.expired_used == 0


async def test_a_revoked_token_is_replaced_once_within_the_read(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock)
    tokens.secret(PATH)
    async with session_on(server, clock) as (session, _):
        await session.read(PATH)
        tokens.revoked.update(tokens.ends)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(10):
                tasks.create_task(session.read(PATH))
    assert tokens.logins == 2


async def test_tokens_that_are_never_valid_cost_one_login_a_minute(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock)
    server.on("GET", PATH, errors(403, "permission denied", "invalid token"))
    async with session_on(server, clock) as (session, _):
        for _ in range(600):
            error = await refusal(session)
            assert isinstance(error, InvalidTokenError)
            await clock.advance(1)
    assert tokens.logins <= 12


async def test_a_denied_read_logs_in_again_at_most_once_a_minute(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock)
    tokens.secret(PATH, policy="another")
    async with session_on(server, clock) as (session, _):
        for _ in range(600):
            error = await refusal(session)
            assert isinstance(error, PermissionDeniedError)
            assert error.message == (
                "permission denied on kv/data/app: the policies of role 'app' (VaultAuth team-a/vault) "
                "give no 'read' there"
            )
            await clock.advance(1)
    assert 9 <= tokens.logins <= 11
    assert len(tokens.revoked) == tokens.logins - 1


async def test_a_policy_added_to_the_role_is_had_on_the_next_try(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock)
    tokens.secret(PATH, policy="another")
    async with session_on(server, clock) as (session, _):
        await refusal(session)
        tokens.role_policies.add("another")
        await clock.advance(10)
        await session.read(PATH)
    assert tokens.logins == 2


async def test_a_denied_login_burst_is_one_login(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock)
    tokens.secret(PATH, policy="another")
    tokens.secret("kv/data/mine")
    async with session_on(server, clock) as (session, _):
        await session.read("kv/data/mine")
        await clock.advance(100)
        tokens.role_policies.add("another")
        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(session.read(PATH))
    assert tokens.logins == 2


async def test_the_uses_of_a_token_are_counted(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock, num_uses=2)
    tokens.secret(PATH)
    async with session_on(server, clock) as (session, _):
        for _ in range(6):
            await session.read(PATH)
    assert tokens.logins == 3
    assert len(server.asked(PATH)) == 6


async def test_an_answer_without_a_token_is_not_vaults(server: VaultServer, clock: FakeClock) -> None:
    server.on("PUT", "auth/kubernetes/login", Reply(200, {"auth": None}))
    async with session_on(server, clock) as (session, _):
        assert (await refusal(session)).reason is Reason.VAULT_ANSWER_INVALID


async def test_params_and_headers_go_with_the_login_alone(server: VaultServer, clock: FakeClock) -> None:
    Tokens(server, clock).secret(PATH)
    login = replace(LOGIN, params=(("extra", "1"),), headers=(("X-Login", "yes"),), namespace="ns")
    async with client_to(server.url, clock) as client:
        await Sessions(clock, Credentials(), Observed()).session(client, login).read(PATH, namespace="child")
    sent, read = server.seen
    assert sent.body["extra"] == "1"
    assert (sent.headers["X-Login"], sent.headers["X-Vault-Namespace"]) == ("yes", "ns")
    assert ("X-Login" in read.headers, read.headers["X-Vault-Namespace"]) == (False, "child")


async def test_client_meta_is_as_published(server: VaultServer, clock: FakeClock) -> None:
    Tokens(server, clock).secret(PATH)
    async with session_on(server, clock) as (session, _):
        assert session.client_meta() == ("", "")
        await session.read(PATH)
        key, identifier = session.client_meta()
        clone, _ = session.client_meta("team")
    digest = hashlib.sha256(f"{VA_UID}-1.{VC_UID}-1.{SA_UID}".encode()).hexdigest()
    assert key == f"kubernetes-{digest[:14]}{digest[-8:]}"
    assert clone == f"{key}-team"
    assert identifier == hashlib.blake2b(b"accessor-of-hvs.canary-1", digest_size=32).hexdigest()


async def test_close_gives_every_token_back(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock)
    tokens.secret(PATH)
    async with client_to(server.url, clock) as client:
        sessions = Sessions(clock, Credentials(), Observed())
        await sessions.session(client, LOGIN).read(PATH)
        await sessions.session(client, replace(LOGIN, generation=2)).read(PATH)
        gone = replace(LOGIN, uid="55555555-5555-4555-8555-555555555555")
        await sessions.session(client, gone).read(PATH)
        sessions.forget(gone.uid)
        assert sessions.statistics().sessions == 1
        await sessions.close()
    assert tokens.revoked == set(tokens.ends)
    assert len(tokens.revoked) == 3


async def test_the_token_of_a_replaced_session_is_given_back_over_the_newer_client(
    server: VaultServer, clock: FakeClock
) -> None:
    tokens = Tokens(server, clock)
    tokens.secret(PATH)
    server.on("PUT", "auth/token/revoke-self", Reply(204))
    sessions = Sessions(clock, Credentials(), Observed())
    async with client_to(server.url, clock) as client, client_to(server.url, clock) as newer:
        await sessions.session(client, LOGIN).read(PATH)
        sessions.session(client, replace(LOGIN, generation=LOGIN.generation + 1))
        sessions.adopt(newer)
        await client.close()
        await sessions.close()
    assert len(server.asked("auth/token/revoke-self")) == 1


async def test_close_does_not_wait_for_a_vault_that_is_away(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock)
    tokens.secret(PATH)
    async with session_on(server, clock) as (session, sessions):
        await session.read(PATH)
        server.on("PUT", "auth/token/revoke-self", Drop())
        await sessions.close()


async def test_a_session_goes_on_over_a_new_client_of_the_same_vault(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock)
    tokens.secret(PATH)
    sessions = Sessions(clock, Credentials(), Observed())
    async with client_to(server.url, clock) as first:
        session = sessions.session(first, LOGIN)
        await session.read(PATH)
    async with client_to(server.url, clock, timeout=9.0) as second:
        assert sessions.session(second, LOGIN) is session
        await session.read(PATH)
    assert tokens.logins == 1
