"""What the logins by a VaultAuth have come to: what is told of them, and when."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.vault_parts import LOGIN, VA_UID, VC_UID, Credentials, Observed, Tokens, client_to, login_of
from tests.fakes.vault_server import VaultServer, errors
from vso.core.errors import ConfigError, Reason, VsoError
from vso.runtime.workqueue import Lane
from vso.vault.client import VaultClient
from vso.vault.sessions import Sessions
from vso.vault.standing import (
    NEWCOMER_FOR,
    SETTLED_AFTER,
    TURNED_AFTER,
    LoginNews,
    Standing,
    Summary,
    settles_after,
    summary,
)

PATH = "kv/data/app"
FEW, BATCH = ("few uses",), ("batch",)


@pytest.mark.parametrize(
    ("standings", "told"),
    [
        pytest.param([], Summary(None, "", 0, 0.0), id="nobody"),
        pytest.param([Standing()], Summary(None, "", 1, 0.0), id="one that has nothing to ask yet"),
        pytest.param([Standing((), "service"), Standing()], Summary((), "service", 2, 0.0), id="one of two"),
        pytest.param([Standing((), "service"), Standing(failing=True)], Summary((), "service", 1, 0.0), id="one fails"),
        pytest.param(
            [Standing(FEW, "service"), Standing((), "service"), Standing(BATCH, "batch")],
            Summary(("batch", "few uses"), "batch, service", 3, 0.0),
            id="tokens of several types",
        ),
    ],
)
def test_the_summary_is_of_all_identities(standings: list[Standing], told: Summary) -> None:
    assert summary(standings, 0.0) == told


KNOWN, CANNOT = Standing((), "service"), Standing(failing=True)


@pytest.mark.parametrize(
    ("before", "now", "age", "seconds"),
    [
        pytest.param(Standing(), KNOWN, 0.0, SETTLED_AFTER, id="a newcomer logs in"),
        pytest.param(Standing(), CANNOT, NEWCOMER_FOR - 1, SETTLED_AFTER, id="a newcomer is refused"),
        pytest.param(CANNOT, KNOWN, NEWCOMER_FOR - 1, SETTLED_AFTER, id="a newcomer is let in after all"),
        pytest.param(Standing(), KNOWN, 900.0, SETTLED_AFTER, id="the first login of one that had nothing to ask"),
        pytest.param(Standing(), CANNOT, NEWCOMER_FOR, TURNED_AFTER, id="one of before a restart is refused"),
        pytest.param(CANNOT, KNOWN, NEWCOMER_FOR, TURNED_AFTER, id="one of before a restart is let in again"),
        pytest.param(KNOWN, replace(KNOWN, failing=True), 1.0, TURNED_AFTER, id="one that had logged in is refused"),
        pytest.param(replace(KNOWN, failing=True), KNOWN, 900.0, TURNED_AFTER, id="one that had logged in can again"),
    ],
)
def test_what_newcomers_come_to_is_told_soon_and_what_befalls_the_others_when_it_has_reached_them_all(
    before: Standing, now: Standing, age: float, seconds: float
) -> None:
    assert settles_after(before, now, age) == seconds


@dataclass
class Office:
    """Sessions of one VaultAuth, and what is noticed of them."""

    sessions: Sessions
    client: VaultClient
    clock: FakeClock
    tokens: Tokens
    credentials: Credentials
    news: list[LoginNews] = field(default_factory=list)

    async def log_in(self, namespace: str) -> None:
        await self.sessions.session(self.client, login_of(namespace)).read(PATH, lane=Lane.URGENT)

    async def fails(self, namespace: str) -> None:
        with pytest.raises(VsoError):
            await self.log_in(namespace)

    def told(self) -> Summary:
        found = self.sessions.summary(VA_UID)
        assert found is not None
        return found

    def heard(self) -> list[LoginNews]:
        """What was noticed since the last time."""
        news, self.news[:] = list(self.news), []
        return news


@pytest.fixture
async def office(server: VaultServer, clock: FakeClock) -> AsyncIterator[Office]:
    async with client_to(server.url, clock) as client:
        credentials, tokens, news = Credentials(), Tokens(server, clock), list[LoginNews]()
        tokens.secret(PATH)
        tokens.role_policies = {"app", "default"}
        sessions = Sessions(clock, credentials, Observed(), news.append)
        yield Office(sessions, client, clock, tokens, credentials, news)


async def test_nothing_is_known_before_anybody_uses_it(office: Office) -> None:
    assert office.sessions.summary(VA_UID) is None


async def test_who_comes_is_noticed_and_told_when_nobody_has_come_for_a_while(office: Office) -> None:
    for number in range(3):
        await office.log_in(f"team-{number}")
        await office.clock.advance(SETTLED_AFTER / 2)
    assert {(n.auth, n.told_in, n.works_again) for n in office.heard()} == {("team-a/vault", SETTLED_AFTER, False)}
    assert office.told() == Summary((), "service", 3, SETTLED_AFTER / 2)
    await office.clock.advance(SETTLED_AFTER / 2)
    assert office.told().settles_in == 0.0


async def test_a_login_like_the_one_before_is_no_news(office: Office) -> None:
    office.tokens.ttl = 60
    await office.log_in("team-a")
    office.heard()
    for _ in range(20):
        await office.clock.advance(60)
        await office.log_in("team-a")
    assert office.tokens.logins > 10
    assert office.heard() == []


async def test_cautions_are_told_at_once(office: Office) -> None:
    office.tokens.num_uses = 9
    await office.log_in("team-a")
    assert LoginNews("team-a/vault", "team-a", 0.0) in office.heard()


async def test_a_refused_identity_is_not_counted_until_it_is_let_in(office: Office) -> None:
    await office.log_in("team-a")
    office.tokens.refuse = errors(403, "namespace not authorized")
    await office.fails("team-b")
    assert office.told().identities == 1
    office.heard()
    office.tokens.refuse = None
    await office.clock.advance(6)
    await office.log_in("team-b")
    assert office.told().identities == 2
    assert LoginNews("team-a/vault", "team-b", SETTLED_AFTER, works_again=True) in office.heard()


async def test_an_identity_whose_token_lives_counts_though_its_next_login_fails(office: Office) -> None:
    office.tokens.ttl = 1000
    await office.log_in("team-a")
    office.credentials.failure = ConfigError(Reason.SERVICE_ACCOUNT_NOT_FOUND, "gone")
    await office.clock.advance(940)
    await office.log_in("team-a")
    assert office.told().identities == 1
    await office.clock.advance(100)
    await office.fails("team-a")
    assert office.told().identities == 0


async def test_an_identity_that_was_refused_while_its_token_lived_is_noticed_when_that_ends(office: Office) -> None:
    office.tokens.ttl = 1000
    await office.log_in("team-a")
    office.tokens.refuse = errors(403, "namespace not authorized")
    await office.clock.advance(990)
    await office.log_in("team-a")
    assert (office.tokens.logins, office.told().identities) == (2, 1)
    office.heard()
    await office.clock.advance(6)
    with pytest.raises(VsoError):
        await office.sessions.session(office.client, login_of("team-a")).read(PATH)
    assert office.tokens.logins == 2, "it is too early for another try"
    assert office.heard() == [LoginNews("team-a/vault", "team-a", TURNED_AFTER)]
    assert office.told() == Summary((), "service", 0, TURNED_AFTER)


async def test_who_uses_it_no_more_is_not_counted_and_gives_the_token_back(office: Office) -> None:
    for namespace in ("team-a", "team-b"):
        await office.log_in(namespace)
    office.heard()
    office.sessions.depart(VA_UID, {"team-a", ""})
    assert office.told().identities == 1
    assert office.heard() == [LoginNews("team-a/vault", "team-b", SETTLED_AFTER)]
    await office.sessions.close()
    assert len(office.tokens.revoked) == 2


async def test_the_login_that_all_share_stays_with_the_last_consumer(office: Office) -> None:
    shared = replace(LOGIN, consumer="")
    session = office.sessions.session(office.client, shared)
    office.sessions.depart(VA_UID, {"team-b", ""})
    assert office.sessions.session(office.client, shared) is session
    office.sessions.depart(VA_UID, set())
    assert office.told().identities == 0


async def test_a_connection_that_goes_is_a_departure_and_an_auth_that_goes_leaves_nothing(office: Office) -> None:
    await office.log_in("team-a")
    office.sessions.forget(VC_UID)
    assert office.told().identities == 0
    await office.log_in("team-a")
    office.sessions.forget(VA_UID)
    assert office.sessions.summary(VA_UID) is None
