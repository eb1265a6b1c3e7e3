"""Logins that Vault refuses: what is said, how often they are tried, and what begins anew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.vault_calls import PATH, refusal, session_on
from tests.fakes.vault_parts import LOGIN, WAY, Credentials, Observed, Tokens, client_to
from tests.fakes.vault_server import VaultServer, errors
from vso.core.errors import ConfigError, Reason, TransientError
from vso.runtime.workqueue import Lane
from vso.vault.sessions import Sessions


@pytest.mark.parametrize(
    ("status", "text", "told"),
    [
        (400, 'invalid role name "app"', "there is no role 'app'"),
        (403, "invalid audience (aud) claim: audience claim does not match any expected audience", "the audience (vault)"),
        (403, "service account name not authorized", "not bound to ServiceAccount app"),
        (403, "namespace not authorized", "not bound to namespace team-a"),
        (403, "permission denied", "either nothing is mounted there"),
        (400, "something new", "something new"),
    ],
)  # fmt: skip
async def test_a_refused_login_says_what_to_look_at(
    server: VaultServer, clock: FakeClock, status: int, text: str, told: str
) -> None:
    tokens = Tokens(server, clock)
    tokens.refuse = errors(status, text)
    async with session_on(server, clock) as (session, _):
        error = await refusal(session)
    assert isinstance(error, ConfigError)
    assert error.reason is Reason.VAULT_LOGIN_REFUSED
    assert told in error.message
    assert "VaultAuth team-a/vault" in error.message
    assert "canary" not in error.message


async def test_refused_logins_are_limited_and_go_on_after_the_window(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock)
    tokens.secret(PATH)
    tokens.refuse = errors(403, "permission denied")
    reasons = []
    async with session_on(server, clock) as (session, _):
        for _ in range(80):
            reasons.append((await refusal(session)).reason)
            await clock.advance(10)
        assert tokens.logins == 3
        assert reasons[:3] == [Reason.VAULT_LOGIN_REFUSED] * 3
        assert set(reasons[3:]) == {Reason.VAULT_LOGIN_LIMITED}
        tokens.refuse = None
        await clock.advance(900)
        await session.read(PATH)
    assert tokens.logins == 4


async def test_routine_looks_spread_their_tries_over_the_window(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock)
    tokens.refuse = errors(403, "permission denied")
    credentials = Credentials()
    async with session_on(server, clock, credentials) as (session, _):
        for _ in range(900):
            await refusal(session, lane=Lane.REFRESH)
            await clock.advance(1)
    assert tokens.logins == 3
    assert credentials.minted <= 4


async def test_a_new_service_account_has_a_try_left(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock)
    tokens.secret(PATH)
    tokens.refuse = errors(403, "service account name not authorized")
    credentials = Credentials()
    async with session_on(server, clock, credentials) as (session, _):
        for _ in range(5):
            await refusal(session)
            await clock.advance(10)
        assert tokens.logins == 3
        tokens.refuse = None
        credentials.uid = "44444444-4444-4444-8444-444444444444"
        await session.read(PATH, lane=Lane.URGENT)
    assert tokens.logins == 4


async def test_a_changed_configuration_starts_with_a_clean_history(server: VaultServer, clock: FakeClock) -> None:
    # Vault locks no role of this method: an account that it does lock keeps its history (test_logins).
    tokens = Tokens(server, clock)
    tokens.secret(PATH)
    tokens.refuse = errors(400, 'invalid role name "app"')
    async with client_to(server.url, clock) as client:
        sessions = Sessions(clock, Credentials(), Observed())
        for _ in range(4):
            await refusal(sessions.session(client, LOGIN))
            await clock.advance(10)
        tokens.refuse = None
        await sessions.session(client, replace(LOGIN, generation=2, way=replace(WAY, role="right"))).read(PATH)


async def test_an_outage_is_no_refusal(server: VaultServer, clock: FakeClock) -> None:
    tokens = Tokens(server, clock)
    tokens.secret(PATH)
    tokens.refuse = errors(500, "boom")
    async with session_on(server, clock) as (session, _):
        for _ in range(10):
            assert isinstance(await refusal(session), TransientError)
        tokens.refuse = None
        await clock.advance(5)
        await session.read(PATH)


async def test_a_missing_service_account_is_told_as_it_is(server: VaultServer, clock: FakeClock) -> None:
    Tokens(server, clock)
    credentials = Credentials(failure=ConfigError(Reason.SERVICE_ACCOUNT_NOT_FOUND, "no ServiceAccount team-a/app"))
    async with session_on(server, clock, credentials) as (session, _):
        for _ in range(10):
            assert (await refusal(session)).reason is Reason.SERVICE_ACCOUNT_NOT_FOUND
    assert server.seen == []
