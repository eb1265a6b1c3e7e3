"""Who is woken when a Vault or a login works again."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.house import OPERATOR, STATIC, House, house
from tests.fakes.vault_server import errors
from vso.app.waking import Waker
from vso.controllers.memory import Memories
from vso.controllers.relations import Relations
from vso.core.backoff import Backoff
from vso.core.errors import VsoError
from vso.core.keys import Kind, ObjectKey
from vso.runtime.rate_limiter import RateLimiter
from vso.runtime.workqueue import WorkQueue
from vso.vault.standing import LoginNews

DYNAMIC = Kind.VAULT_DYNAMIC_SECRET
FAILED, HELD = ("app/one", "app/two", "other/one"), ("app/well",)


class Dormitory:
    """Secrets of both kinds behind the VaultAuth app/vault, most of which have failed."""

    def __init__(self, home: House) -> None:
        self.home = home
        limiter: RateLimiter[ObjectKey] = RateLimiter(Backoff(), random.Random(1))
        self.queues = {kind: WorkQueue(home.clock, limiter, name=kind.plural) for kind in Kind}
        self.memories: dict[Kind, Memories[Any]] = {kind: Memories() for kind in Kind}
        for kind in (STATIC, DYNAMIC):
            for text in FAILED + HELD:
                name = ObjectKey.of(text)
                spec = {"vaultAuthRef": "app/vault"}
                home.watches.show(kind, record := home.cluster.put(kind, name.name, spec, name.namespace))
                self.memories[kind].of(record).failing_on = "app/vault" if text in FAILED else ""
        relations, rng = Relations(home.caches, OPERATOR), random.Random(1)
        self.waker = Waker(self.queues, self.memories, relations, rng, lambda: home.reader, lambda: home.streams)

    async def woken(self, kind: Kind) -> list[str]:
        """Who is handed out within the ramp."""
        await self.home.clock.advance(1.0)
        queue = self.queues[kind]
        return sorted(str(name) for name in iter(queue.get_nowait, None))


@pytest.fixture
async def beds() -> AsyncIterator[Dormitory]:
    async with house() as home:
        yield Dormitory(home)


@pytest.mark.parametrize(
    ("consumer", "woken"),
    [("app", ["app/one", "app/two"]), ("other", ["other/one"]), ("", list(FAILED)), ("third", [])],
    ids=["a namespace", "another", "everybody's login", "nobody's"],
)
async def test_a_login_that_works_again_wakes_those_who_have_failed_with_it(
    beds: Dormitory, consumer: str, woken: list[str]
) -> None:
    beds.waker.logins(LoginNews("app/vault", consumer, 2.0, works_again=True))
    assert await beds.woken(STATIC) == await beds.woken(DYNAMIC) == woken


@pytest.mark.parametrize("news", [LoginNews("app/vault", "app", 2.0), LoginNews("app/elsewhere", "app", 2.0, True)])
async def test_other_news_wake_no_secret(beds: Dormitory, news: LoginNews) -> None:
    beds.waker.logins(news)
    assert await beds.woken(STATIC) == await beds.woken(DYNAMIC) == []


async def test_the_auth_is_looked_at_when_its_logins_have_settled(beds: Dormitory) -> None:
    for _ in range(50):
        beds.waker.logins(LoginNews("app/vault", "app", 2.0))
    assert await beds.woken(Kind.VAULT_AUTH) == []
    assert await beds.woken(Kind.VAULT_AUTH) == ["app/vault"]
    beds.waker.logins(LoginNews("app/vault", "app", try_again=True))
    await beds.home.clock.advance(10)
    assert await beds.woken(Kind.VAULT_AUTH) == []


async def test_one_alone_tries_again_for_those_who_came_too_early(beds: Dormitory) -> None:
    beds.waker.logins(LoginNews("app/vault", "app", try_again=True))
    assert (len(await beds.woken(DYNAMIC)), await beds.woken(STATIC)) == (1, [])


@pytest.mark.parametrize("news", [{"works_again": True}, {"try_again": True}], ids=str)
async def test_what_failed_with_the_login_is_not_told_from_memory(beds: Dormitory, news: dict[str, Any]) -> None:
    home = beds.home
    home.tokens.refuse = errors(400, "invalid role name")
    home.static()
    with pytest.raises(VsoError):
        await home.pass_over()
    home.tokens.refuse = None
    home.holds({"password": "v1"})
    await home.clock.advance(4.9)
    beds.waker.logins(LoginNews("app/vault", "app", **news))
    await home.clock.advance(0.2)
    await home.pass_over()
    assert home.condition("Ready")["status"] == "True"
