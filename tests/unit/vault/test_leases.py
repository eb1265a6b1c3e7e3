"""Leases over a socket: what is asked, and what each answer of Vault means."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.lease_vault import CREDS, LEASE, REQUEST, LeaseVault, lent
from tests.fakes.vault_parts import Tokens
from tests.fakes.vault_server import Drop, Reply, Step, VaultServer, errors
from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.vault import leases
from vso.vault.leases import IssueRequest, LeaseGoneError
from vso.vault.session import Session

HOUR = timedelta(hours=1)


async def test_credentials_come_with_their_lease_and_token(session: Session, tokens: Tokens) -> None:
    issued = await leases.issue(session, REQUEST)
    assert (issued.lease_id, issued.duration, issued.renewable) == (LEASE, timedelta(seconds=600), True)
    assert issued.data == {"username": "user-1", "password": "canary-1"}
    assert "canary" not in repr(issued)
    assert LEASE not in repr(issued)


async def test_a_request_shows_its_path_and_no_parameter() -> None:
    asked = IssueRequest("database/", "/creds/app", "PUT", {"password": "canary"})
    assert str(asked) == CREDS
    assert "canary" not in repr(asked)


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_what_may_have_made_a_lease_is_not_repeated(
    session: Session, server: VaultServer, method: Literal["GET", "PUT"]
) -> None:
    server.on(method, CREDS, Drop())
    body = {"ttl": "5m"} if method == "PUT" else None
    with pytest.raises(TransientError):
        await leases.issue(session, IssueRequest("database", "creds/app", method, body))
    assert len(server.asked(CREDS)) == 1


async def test_a_refused_token_is_replaced_since_nothing_was_made(session: Session, server: VaultServer) -> None:
    made = Reply(200, {"lease_id": LEASE, "data": {"a": "b"}, "lease_duration": 60, "renewable": True})
    server.on("GET", CREDS, errors(403, "permission denied", "invalid token"), made)
    issued = await leases.issue(session, REQUEST)
    assert issued.held.token.token.reveal() == b"hvs.canary-2"


@pytest.mark.parametrize("data", [None, {}, "text"], ids=["null", "empty", "text"])
async def test_a_lease_without_data_is_given_back(session: Session, server: VaultServer, data: object) -> None:
    server.on("GET", CREDS, Reply(200, {"lease_id": LEASE, "data": data, "lease_duration": 60}))
    with pytest.raises(ConfigError) as caught:
        await leases.issue(session, REQUEST)
    assert caught.value.reason is Reason.SOURCE_INVALID
    assert [seen.body for seen in server.asked("sys/leases/revoke")] == [{"lease_id": LEASE}]


async def test_an_answer_without_data_and_lease_costs_nothing_more(session: Session, server: VaultServer) -> None:
    server.on("GET", CREDS, Reply(200, {"data": None}))
    with pytest.raises(ConfigError):
        await leases.issue(session, REQUEST)
    assert server.asked("sys/leases/revoke") == []


async def test_an_issue_while_the_database_is_down_opens_no_breaker(session: Session, server: VaultServer) -> None:
    server.on("GET", CREDS, errors(500, "dial tcp 10.0.0.1:5432: connect: connection refused"))
    for _ in range(10):
        with pytest.raises(TransientError):
            await leases.issue(session, REQUEST)
    assert len(server.asked(CREDS)) == 10


async def test_a_renewal_asks_for_the_time_and_tells_what_was_granted(
    session: Session, server: VaultServer, vault: LeaseVault
) -> None:
    lease_id = await lent(session)
    vault.max_ttl = 900
    assert (await leases.renew(session, lease_id, HOUR)).duration == timedelta(seconds=900)
    assert server.asked("sys/leases/renew")[0].body == {"lease_id": LEASE, "increment": 3600}


async def test_a_lookup_tells_what_is_left(session: Session, clock: FakeClock) -> None:
    lease_id = await lent(session)
    clock.jump(100)
    found = await leases.lookup(session, lease_id)
    assert (found.duration, found.age, found.renewable) == (timedelta(seconds=600), timedelta(seconds=100), True)


@pytest.mark.parametrize(
    ("told", "life", "age"),
    [
        pytest.param({"last_renewal": None}, 60, 53, id="never-renewed"),
        pytest.param({"last_renewal": "2026-01-01T12:00:30.000000001Z"}, 30, 23, id="renewed"),
        pytest.param({"expire_time": "2026-01-01T12:00:59.999999999Z"}, 60, 53, id="noted-a-moment-apart"),
        pytest.param({"expire_time": "2026-01-01T13:00:05+01:00"}, 7, 0, id="never-less-than-what-is-left"),
        pytest.param({"issue_time": "soon"}, 7, 0, id="no-time"),
        pytest.param({"expire_time": None}, 7, 0, id="no-end"),
    ],
)
async def test_a_lookup_tells_the_life_as_it_was_granted(
    session: Session, server: VaultServer, told: dict[str, object], life: float, age: float
) -> None:
    plain = {"issue_time": "2026-01-01T12:00:00Z", "expire_time": "2026-01-01T12:01:00Z", "ttl": 7, "renewable": False}
    server.on("PUT", "sys/leases/lookup", Reply(200, {"data": {**plain, **told}}))
    found = await leases.lookup(session, LEASE)
    assert (found.duration, found.age) == (timedelta(seconds=life), timedelta(seconds=age))


@pytest.mark.parametrize(
    ("path", "answer", "expected"),
    [
        pytest.param("renew", errors(400, "lease not found"), LeaseGoneError, id="renew-unknown"),
        pytest.param("lookup", errors(400, "invalid lease"), LeaseGoneError, id="lookup-unknown"),
        pytest.param("renew", errors(400, "lease is not renewable"), Reason.VAULT_REQUEST_INVALID, id="pki"),
        pytest.param("renew", errors(403, "permission denied"), Reason.VAULT_PERMISSION_DENIED, id="renew-denied"),
        pytest.param("renew", errors(500, "internal error"), TransientError, id="renew-failed"),
        pytest.param("renew", Drop(), TransientError, id="renew-dropped"),
        pytest.param("revoke", Reply(204), None, id="revoked"),
        pytest.param("revoke", errors(400, "invalid lease"), None, id="revoke-unknown"),
        pytest.param(
            "revoke", errors(400, "failed to revoke entry: dial tcp"), Reason.VAULT_UNAVAILABLE, id="database-down"
        ),
        pytest.param("revoke", errors(403, "permission denied"), Reason.REVOKE_FORBIDDEN, id="revoke-denied"),
        pytest.param("revoke", errors(500, "internal error"), TransientError, id="revoke-failed"),
    ],
)
async def test_what_an_answer_means(
    session: Session, server: VaultServer, path: str, answer: Step, expected: object
) -> None:
    server.on("PUT", f"sys/leases/{path}", answer)
    raised: VsoError | None = None
    try:
        match path:
            case "renew":
                await leases.renew(session, LEASE, HOUR)
            case "lookup":
                await leases.lookup(session, LEASE)
            case _:
                await leases.revoke(session, LEASE)
    except VsoError as error:
        raised = error
    if isinstance(expected, Reason):
        assert raised is not None
        assert raised.reason is expected
    else:
        assert (raised is None) if expected is None else isinstance(raised, expected)  # type: ignore[arg-type]
    assert raised is None or LEASE not in raised.message
