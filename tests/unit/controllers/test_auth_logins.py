"""What a VaultAuth's status tells of the logins by it, and what that costs."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.fakes.cluster import Json, key
from tests.fakes.house import OPERATOR, STATIC, House, auth_spec, house, reporter_for
from tests.fakes.vault_parts import Credentials as NoCredentials
from tests.fakes.vault_parts import Observed
from tests.fakes.vault_server import errors
from vso.controllers.access import AuthReconciler
from vso.controllers.credentials import Credentials
from vso.controllers.finalizers import Finalizers
from vso.controllers.materials import FilePolicy, Materials
from vso.controllers.memory import Memories
from vso.controllers.passes import PassParts
from vso.controllers.relations import Relations
from vso.controllers.resolver import Resolver
from vso.controllers.trust import TrustPolicy, TrustStore
from vso.core.errors import VsoError
from vso.core.keys import Kind
from vso.kube.tokens import TokenMinter
from vso.runtime.reconcile import Result
from vso.vault.sessions import Sessions
from vso.vault.standing import SETTLED_AFTER

AUTH = Kind.VAULT_AUTH
PATH = "kv/data/app/config"


class Gate:
    """A VaultAuth that everybody may use, and who does."""

    def __init__(self, home: House) -> None:
        self.home = home
        self.put()
        home.holds({"password": "v1"})
        home.tokens.role_policies = {"app", "default"}
        self.reconciler = self.process(home.sessions)

    def process(self, sessions: Sessions) -> AuthReconciler:
        home = self.home
        parts: PassParts[Any] = PassParts(
            home.caches[AUTH],
            Memories(),
            reporter_for(home.kube, AUTH, home.clock)[0],
            home.clock,
            Finalizers(home.kube, AUTH),
        )
        return AuthReconciler(parts, home.resolver, sessions, Relations(home.caches, OPERATOR).consumers)

    def restart(self) -> None:
        """Go on as another process does: with objects, clients and clock, and without a session."""
        home = self.home
        materials = Materials(home.kube, FilePolicy(OPERATOR))
        home.sessions = Sessions(home.clock, Credentials(TokenMinter(home.kube), materials), Observed())
        trust = TrustStore(materials, home.clock, TrustPolicy())
        home.resolver = Resolver(home.caches, trust, home.clients, home.sessions, OPERATOR)
        self.reconciler = self.process(home.sessions)

    def put(self, **changes: Any) -> None:
        spec = {**auth_spec(allowedNamespaces=["*"]), **changes}
        self.home.watches.show(AUTH, self.home.cluster.put(AUTH, "vault", spec))

    async def enter(self, namespace: str) -> None:
        """Have a secret there that refers to it, and read under its identity."""
        home = self.home
        home.watches.show(STATIC, home.cluster.put(STATIC, "db", {"vaultAuthRef": "app/vault"}, namespace))
        session = await home.resolver.session(home.resolver.path("app/vault", namespace), namespace)
        await session.read(PATH)

    async def open(self, namespace: str) -> None:
        """Have a session there that has nothing to ask yet."""
        await self.home.resolver.session(self.home.resolver.path("app/vault", namespace), namespace)

    def leave(self, namespace: str) -> None:
        self.home.watches.writers[STATIC].delete(key("db", namespace))

    async def look(self) -> Result:
        self.home.watches.show(AUTH, self.home.cluster.record(AUTH, "vault"))
        return await self.reconciler.reconcile(key("vault"))

    async def settled(self) -> None:
        """Look as often as the passes ask for."""
        while (wait := (await self.look()).requeue_after) is not None:
            await self.home.clock.advance(wait)

    @property
    def told(self) -> tuple[int, str]:
        status: Json = self.home.cluster.status(AUTH, "vault")
        return status.get("identityCount", 0), status.get("tokenType", "")

    @property
    def writes(self) -> int:
        return len(self.home.requests("PATCH", "vaultauths/vault/status"))


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    async with house() as opened:
        yield Gate(opened)


async def test_fifty_logins_cost_one_status_write(gate: Gate) -> None:
    await gate.look()
    for number in range(50):
        await gate.enter(f"team-{number}")
        assert (await gate.look()).requeue_after is not None
    assert (gate.writes, gate.told) == (1, (0, ""))
    await gate.settled()
    assert (gate.writes, gate.told) == (2, (50, "service"))
    for number in range(50):
        await gate.enter(f"team-{number}")
        await gate.settled()
    assert gate.writes == 2


async def test_the_number_follows_who_comes_and_goes(gate: Gate) -> None:
    for names, count in ((("a", "b"), 2), (("c",), 3)):
        for name in names:
            await gate.enter(name)
        await gate.settled()
        assert gate.told == (count, "service")
    for name, left in (("a", 2), ("b", 1), ("c", 0)):
        gate.leave(name)
        await gate.settled()
        assert gate.told == (left, "service")
    assert gate.home.sessions.statistics().sessions == 0


async def test_a_refused_identity_is_left_out(gate: Gate) -> None:
    await gate.enter("a")
    gate.home.tokens.refuse = errors(403, "namespace not authorized")
    with pytest.raises(VsoError):
        await gate.enter("b")
    await gate.settled()
    assert gate.told == (1, "service")


async def test_a_process_that_has_seen_nobody_yet_leaves_what_was_told(gate: Gate) -> None:
    for name in ("a", "b"):
        await gate.enter(name)
    await gate.settled()
    writes = gate.writes
    fresh = Sessions(gate.home.clock, NoCredentials(), Observed())
    gate.reconciler = gate.process(fresh)
    await gate.settled()
    assert (gate.writes, gate.told) == (writes, (2, "service"))
    for name in ("a", "b"):
        gate.leave(name)
    await gate.settled()
    assert (gate.writes, gate.told) == (writes + 1, (0, "service"))


async def test_a_process_that_meets_the_same_again_writes_nothing_before_and_after_their_logins(gate: Gate) -> None:
    for name in ("a", "b"):
        await gate.enter(name)
    await gate.settled()
    writes = gate.writes
    gate.home.sessions.depart("uid-of-vault", set())
    for name in ("a", "b"):  # as a restart does: sessions, and no login yet
        await gate.open(name)
    await gate.settled()
    for name in ("a", "b"):
        await gate.enter(name)
    await gate.settled()
    assert (gate.writes, gate.told) == (writes, (2, "service"))


async def test_warnings_do_not_wait(gate: Gate) -> None:
    await gate.look()
    gate.home.tokens.num_uses = 9
    await gate.enter("a")
    assert (await gate.look()).requeue_after == SETTLED_AFTER
    assert "token_num_uses" in gate.home.cluster.status(AUTH, "vault")["warnings"][0]
    assert gate.told == (0, "")
    await gate.settled()
    assert (gate.writes, gate.told) == (3, (1, "service"))


async def test_the_session_of_the_operators_own_use_stays_without_consumers(gate: Gate) -> None:
    gate.put(storageEncryption={"mount": "transit", "keyName": "vso"})
    session = await gate.home.resolver.session(gate.home.resolver.path("app/vault", "app"), "app")
    await gate.settled()
    again = await gate.home.resolver.session(gate.home.resolver.path("app/vault", "app"), "app")
    assert again is session
    assert gate.told[0] == 1


class Crowd:
    """Twenty who log in one after the other, so that their tokens end one after the other too."""

    SPACE = 10.0

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.names = [f"team-{number}" for number in range(20)]
        gate.home.tokens.ttl = len(self.names) * self.SPACE

    async def goes_round(self, works: Callable[[str], bool]) -> None:
        """Have each ask for something in its turn; whoever looks after the VaultAuth does so whenever that is due."""
        for name in self.names:
            with contextlib.nullcontext() if works(name) else pytest.raises(VsoError):
                await self.gate.enter(name)
            ends = self.gate.home.clock.monotonic() + self.SPACE
            while (wait := (await self.gate.look()).requeue_after) is not None:
                if self.gate.home.clock.monotonic() + wait > ends:
                    break
                await self.gate.home.clock.advance(wait)
            await self.gate.home.clock.advance(ends - self.gate.home.clock.monotonic())


@pytest.fixture
async def crowd(gate: Gate) -> Crowd:
    crowd = Crowd(gate)
    for name in crowd.names:
        await gate.enter(name)
    await gate.settled()
    await crowd.goes_round(lambda _: True)
    assert gate.told == (20, "service")
    return crowd


async def test_what_a_mount_cannot_tell_for_now_moves_no_number(gate: Gate, crowd: Crowd) -> None:
    writes = gate.writes
    gate.home.tokens.refuse = errors(500, 'LDAP Result Code 200 "Network Error"')
    for _ in range(2):
        await crowd.goes_round(lambda _: False)
    gate.home.tokens.refuse = None
    await crowd.goes_round(lambda _: True)
    assert (gate.writes, gate.told) == (writes, (20, "service"))


async def test_the_number_moves_once_when_a_mount_that_was_taken_away_refuses_one_after_the_other(
    gate: Gate, crowd: Crowd
) -> None:
    writes = gate.writes
    gate.home.tokens.refuse = errors(403, "permission denied")
    for _ in range(2):
        await crowd.goes_round(lambda _: False)
    await gate.settled()
    assert (gate.writes, gate.told) == (writes + 1, (0, "service"))
    gate.home.tokens.refuse = None
    await gate.home.clock.advance(15 * 60)
    await crowd.goes_round(lambda _: True)
    await gate.settled()
    assert (gate.writes, gate.told) == (writes + 2, (20, "service"))


async def test_the_number_moves_once_where_a_restarted_process_has_seen_no_login_of_those_who_are_refused(
    gate: Gate, crowd: Crowd
) -> None:
    gate.restart()
    for name in crowd.names:
        await gate.open(name)
    await gate.settled()
    writes = gate.writes
    gate.home.tokens.refuse = errors(403, "permission denied")
    await gate.home.clock.advance(crowd.SPACE)
    await crowd.goes_round(lambda _: False)
    assert (gate.writes, gate.told) == (writes, (20, "service"))
    await gate.settled()
    assert (gate.writes, gate.told) == (writes + 1, (0, "service"))
    gate.home.tokens.refuse = None
    await gate.home.clock.advance(15 * 60)
    await crowd.goes_round(lambda _: True)
    await gate.settled()
    assert (gate.writes, gate.told) == (writes + 2, (20, "service"))
