"""Wrapped answers: Vault has done what was asked, so they are opened, and no lease in them is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.fakes.clock import FakeClock
from tests.fakes.vault_parts import LOGIN, Credentials, Observed, Tokens, client_to, connection, until
from tests.fakes.vault_server import Drop, Reply, Step, VaultServer, errors
from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.vault import leases
from vso.vault.engines import KvRequest, read_kv
from vso.vault.leases import Issued, IssueRequest
from vso.vault.session import Session
from vso.vault.sessions import Sessions

CREDS, UNWRAP = "database/creds/app", "sys/wrapping/unwrap"
WRAPPING = "hvs.canary-wrapping"
INFO = {"token": WRAPPING, "accessor": "canary-accessor", "ttl": 60, "creation_path": CREDS}
WRAPPED = Reply(200, {"request_id": "o", "data": None, "lease_id": "", "lease_duration": 0, "wrap_info": INFO})
INSIDE: dict[str, Any] = {
    "request_id": "r",
    "lease_id": f"{CREDS}/1",
    "lease_duration": 600,
    "renewable": True,
    "data": {"username": "user-1", "password": "canary-1"},
    "wrap_info": None,
}
SPENT = errors(400, "wrapping token is not valid or does not exist")


@pytest.fixture
async def session(server: VaultServer, clock: FakeClock) -> AsyncIterator[Session]:
    Tokens(server, clock)
    server.on("GET", CREDS, WRAPPED)
    async with client_to(server.url, clock) as client:
        yield Sessions(clock, Credentials(), Observed()).session(client, LOGIN)


async def issue(session: Session, server: VaultServer, clock: FakeClock) -> Issued:
    """Ask for credentials, and let the time pass while that is tried again."""
    asking = asyncio.ensure_future(leases.issue(session, IssueRequest("database", "creds/app")))
    while not asking.done():
        await until(lambda: asking.done() or clock.sleeping > 0)
        await clock.advance(1)
    return await asking


async def test_what_is_in_the_wrapping_is_the_answer_and_its_lease_hangs_on_the_token_that_asked(
    session: Session, server: VaultServer, clock: FakeClock
) -> None:
    server.on("PUT", UNWRAP, Reply(200, INSIDE))
    issued = await issue(session, server, clock)
    assert (issued.lease_id, issued.duration.total_seconds(), issued.renewable) == (f"{CREDS}/1", 600, True)
    assert issued.data == INSIDE["data"]
    assert issued.held.token.token.reveal() == b"hvs.canary-1"
    assert await session.parent(f"{CREDS}/1") is not None
    assert [seen.token for seen in server.asked(UNWRAP)] == [WRAPPING], "the policy need not allow it"


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(Drop(), id="dropped"),
        pytest.param(errors(500, "internal error"), id="broken"),
        pytest.param(errors(429, "request limited"), id="limited"),
    ],
)
async def test_a_wrapping_that_could_not_be_opened_is_tried_again(
    session: Session, server: VaultServer, clock: FakeClock, first: Step
) -> None:
    server.on("PUT", UNWRAP, first, Reply(200, INSIDE))
    assert (await issue(session, server, clock)).lease_id == f"{CREDS}/1"
    assert len(server.asked(CREDS)) == 1


@pytest.mark.parametrize(
    ("steps", "kind", "reason", "tries"),
    [
        pytest.param((SPENT,), ConfigError, Reason.WRAPPING_TOKEN_REFUSED, 1, id="opened-by-another"),
        pytest.param((Drop(), SPENT), ConfigError, Reason.WRAPPING_TOKEN_REFUSED, 2, id="opened-and-lost"),
        pytest.param(
            (errors(403, "permission denied"),), ConfigError, Reason.WRAPPING_TOKEN_REFUSED, 1, id="needs-approval"
        ),
        pytest.param(
            (errors(500, "internal error"),), TransientError, Reason.VAULT_UNAVAILABLE, 4, id="broken-for-long"
        ),
    ],
)
async def test_a_wrapping_that_stays_closed_is_told_without_its_token(
    session: Session,
    server: VaultServer,
    clock: FakeClock,
    steps: tuple[Step, ...],
    kind: type[VsoError],
    reason: Reason,
    tries: int,
) -> None:
    server.on("PUT", UNWRAP, *steps)
    with capture_logs() as lines, pytest.raises(kind) as caught:
        await issue(session, server, clock)
    assert caught.value.reason is reason
    assert caught.value.message.startswith(f"{CREDS}: the answer is wrapped")
    assert [line["event"] for line in lines] == ["wrapping not opened"]
    assert "canary" not in f"{caught.value!r} {caught.value.message} {lines}"
    assert len(server.asked(UNWRAP)) == tries
    assert len(server.asked(CREDS)) == 1, "nothing is issued again by itself"


async def test_a_wrapped_read_is_opened_too(session: Session, server: VaultServer) -> None:
    server.on("GET", "kv/data/app", WRAPPED)
    server.on("PUT", UNWRAP, Reply(200, {"data": {"data": {"a": "b"}, "metadata": {"version": 1}}}))
    assert (await read_kv(session, KvRequest("kv", "app", "kv-v2"))).data == {"a": "b"}


@pytest.mark.parametrize("name", ["X-Vault-Wrap-TTL", "x-vault-wrap-ttl"])
def test_no_connection_asks_for_wrappings(name: str) -> None:
    with pytest.raises(ConfigError, match="would have every answer wrapped") as caught:
        connection("https://vault:8200", headers=((name, "60s"),))
    assert caught.value.reason is Reason.INVALID_SPEC


async def test_a_wrapping_token_that_vault_does_not_know_is_shown_once(
    session: Session, server: VaultServer, clock: FakeClock
) -> None:
    server.on("PUT", UNWRAP, errors(403, "permission denied", "invalid token"))
    with pytest.raises(ConfigError) as caught:
        await issue(session, server, clock)
    assert caught.value.reason is Reason.WRAPPING_TOKEN_REFUSED
    assert len(server.asked(UNWRAP)) == 1
