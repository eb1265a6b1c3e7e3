"""Leases over a socket: what each answer of Vault means, and which tokens are kept for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from datetime import timedelta
from typing import Literal

import pytest
from aiohttp import web

from tests.fakes.clock import FakeClock
from tests.fakes.lease_vault import CREDS, LeaseVault
from tests.fakes.vault_parts import LOGIN, Credentials, Observed, Tokens, client_to, until
from tests.fakes.vault_server import Drop, Reply, Seen, Step, Upgrade, VaultServer, errors
from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.vault import leases
from vso.vault.errors import InvalidTokenError
from vso.vault.leases import IssueRequest, LeaseGoneError
from vso.vault.parents import Parent
from vso.vault.session import Session
from vso.vault.sessions import Sessions

REQUEST = IssueRequest("database", "creds/app")
HOUR = timedelta(hours=1)
LEASE = f"{CREDS}/1"


@pytest.fixture
def tokens(server: VaultServer, clock: FakeClock) -> Tokens:
    return Tokens(server, clock, ttl=300)


@pytest.fixture
def vault(server: VaultServer, tokens: Tokens, clock: FakeClock) -> LeaseVault:
    return LeaseVault(server, tokens, clock)


@pytest.fixture
def bereaved() -> list[set[str]]:
    return []


@pytest.fixture
async def session(
    server: VaultServer, vault: LeaseVault, clock: FakeClock, bereaved: list[set[str]]
) -> AsyncIterator[Session]:
    def heard(lease_ids: Collection[str]) -> None:
        bereaved.append(set(lease_ids))

    async with client_to(server.url, clock) as client:
        yield Sessions(clock, Credentials(), Observed(), bereaved=heard).session(client, LOGIN)


async def lent(session: Session) -> str:
    """Issue credentials that are held on to."""
    issued = await leases.issue(session, REQUEST)
    session.hang(issued.lease_id, issued.held)
    return issued.lease_id


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


# The session's side of it.


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
