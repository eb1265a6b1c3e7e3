"""Static database roles before a Vault that behaves as it does around a rotation, on the virtual clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.fakes.clock import T0
from tests.fakes.cluster import Json, key
from tests.fakes.house import MAC_KEY, House, house, reporter_for
from tests.fakes.vault_server import Reply
from vso.api.secrets import VaultDynamicSecretStatus
from vso.app.dynamic_wiring import DynamicParts, LeaseTimers, dynamic_secrets
from vso.app.metrics import Metrics
from vso.app.settings import from_args
from vso.controllers.destinations import Destinations
from vso.controllers.dynamic_secret import DynamicSecretReconciler
from vso.controllers.memory import Memories
from vso.controllers.passes import PassParts
from vso.core.keys import Kind
from vso.kube.secrets import SecretWriter

KIND = Kind.VAULT_DYNAMIC_SECRET
PATH = "database/static-creds/app"


@dataclass
class Role:
    """A static role before the house, and the pass over the object that follows it."""

    house: House
    reconciler: DynamicSecretReconciler
    timers: LeaseTimers
    memories: Memories[VaultDynamicSecretStatus]

    def tells(self, password: str, *, rotated: float, ttl: int, period: int = 3600) -> None:
        at = (T0 + timedelta(seconds=rotated)).isoformat().replace("+00:00", "Z")
        data = {"username": "app", "password": password, "ttl": ttl, "last_vault_rotation": at}
        body = {"request_id": "r", "data": {**data, "rotation_period": period}, "lease_id": ""}
        self.house.vault.on("GET", PATH, Reply(200, body))

    def asks(self, **changes: Any) -> None:
        spec = {
            "vaultAuthRef": "vault",
            "mount": "database",
            "path": "static-creds/app",
            "allowStaticCreds": True,
            "destination": {"name": "db", "create": True, "transformation": {"excludeRaw": True}},
            **changes,
        }
        self.house.cluster.put(KIND, "db", spec)

    async def look(self) -> None:
        at_hand = self.house
        at_hand.watches.show(KIND, at_hand.cluster.record(KIND, "db"))
        stored = at_hand.cluster.secrets.stored
        at_hand.watches.secrets.replace([at_hand.cluster.secret_record(name) for name in stored])
        await self.reconciler.reconcile(key("db"))

    def due(self) -> float:
        """The seconds until the object's next look."""
        (watched,) = self.timers.times.known()
        return watched.due - self.house.clock.monotonic()

    async def when_due(self) -> None:
        await self.house.clock.advance(self.due())
        await self.look()

    @property
    def status(self) -> Json:
        return self.house.cluster.status(KIND, "db")

    @property
    def reads(self) -> int:
        return len(self.house.vault.asked(PATH))

    def ready(self) -> str:
        found = self.status.get("conditions", ())
        return next((c["status"] for c in found if c["type"] == "Ready"), "absent")

    def writes(self) -> list[str]:
        return self.house.writes()


@asynccontextmanager
async def static_role(company: float = 0.0) -> AsyncIterator[Role]:
    settings = from_args([], {})
    async with house(company=company) as at_hand:
        memories: Memories[VaultDynamicSecretStatus] = Memories()
        reporter, _, _ = reporter_for(at_hand.kube, KIND, at_hand.clock)
        writer = SecretWriter(at_hand.kube, delete_allowed=True)
        destinations = Destinations(KIND, writer, at_hand.caches.secrets, may_delete=True, drift_interval=600.0)
        timers = LeaseTimers(at_hand.clock, lambda _: None, lambda *_: None)
        parts = DynamicParts(
            settings,
            at_hand.clock,
            at_hand.kube,
            Metrics(settings, at_hand.clock),
            MAC_KEY,
            destinations,
            at_hand.resolver,
            PassParts(at_hand.caches[KIND], memories, reporter, at_hand.clock),
            timers.times,
            at_hand.restarts,
        )
        yield Role(at_hand, dynamic_secrets(parts), timers, memories)


async def test_the_first_look_writes_and_the_next_is_a_little_after_the_rotation() -> None:
    async with static_role() as role:
        role.tells("one", rotated=-600, ttl=3000)
        role.asks()
        await role.look()
        assert role.ready() == "True"
        assert role.status["staticCredsMetaData"] == {
            "lastVaultRotation": int(T0.timestamp()) - 600,
            "rotationPeriod": 3600,
            "ttl": 3000,
        }
        assert 3000.5 <= role.due() <= 3000.65
        assert role.writes() == ["POST secrets", "PATCH vaultdynamicsecrets/db/status"]


async def test_at_the_rotation_the_old_password_is_asked_about_again_and_not_written_and_the_new_one_is() -> None:
    async with static_role() as role:
        role.tells("one", rotated=-3590, ttl=10)
        role.asks()
        await role.look()
        before = role.writes()
        role.tells("one", rotated=-3590, ttl=0)
        for _ in range(3):
            await role.when_due()
        role.tells("one", rotated=-3590, ttl=3600)  # the ttl starts again before the password has changed
        for _ in range(3):
            await role.when_due()
        assert role.writes() == before
        assert role.ready() == "True"
        role.tells("two", rotated=20, ttl=3590)
        await role.when_due()
        assert role.writes()[len(before) :] == ["PATCH secrets/db", "PATCH vaultdynamicsecrets/db/status"]
        assert role.status["history"][0]["reason"] == "VaultRotation"
        assert role.reads == 8


async def test_the_first_look_at_the_moment_of_a_rotation_waits_for_the_new_password() -> None:
    async with static_role() as role:
        role.tells("one", rotated=-3600, ttl=0)
        role.asks()
        for _ in range(4):
            await role.look()  # whatever else wakes the object
        assert role.reads == 1
        assert role.ready() == "False"
        assert 0 < role.due() <= 0.5
        await role.when_due()
        assert not [line for line in role.writes() if "secrets" in line.split("/")[0] and line.startswith("POST")]
        role.tells("two", rotated=1, ttl=3599)
        await role.when_due()
        assert role.ready() == "True"


async def test_a_rotation_that_never_comes_keeps_the_secret_and_is_asked_for_ever_more_slowly() -> None:
    async with static_role() as role:
        role.tells("one", rotated=-3590, ttl=10)
        role.asks()
        await role.look()
        before, reads = role.writes(), role.reads
        role.tells("one", rotated=-3590, ttl=0)
        while role.house.clock.monotonic() < 1800:
            await role.when_due()
        assert role.writes() == before
        assert role.reads - reads < 80
        assert role.ready() == "True"


async def test_a_restart_inside_the_period_reads_nothing() -> None:
    async with static_role() as role:
        role.tells("one", rotated=-600, ttl=3000)
        role.asks(refreshAfter="1m")
        await role.look()
        role.memories.clear()
        await role.look()
        assert role.reads == 1
        assert role.due() <= 60


async def test_a_rotation_by_hand_is_seen_at_the_next_look_and_the_same_password_moves_nothing() -> None:
    async with static_role() as role:
        role.tells("one", rotated=-600, ttl=3000)
        role.asks(refreshAfter="1m")
        await role.look()
        before = role.writes()
        for _ in range(2):
            role.tells("one", rotated=-600, ttl=int(3000 - role.house.clock.monotonic() - role.due()))
            await role.when_due()
        assert role.reads == 3
        assert role.writes() == before
        role.tells("two", rotated=100, ttl=3580)
        await role.when_due()
        assert role.writes()[len(before) :] == ["PATCH secrets/db", "PATCH vaultdynamicsecrets/db/status"]


async def test_an_older_answer_than_the_one_that_the_secret_has_is_not_written() -> None:
    async with static_role() as role:
        role.tells("two", rotated=-10, ttl=3590)
        role.asks(refreshAfter="1m")
        await role.look()
        before = role.writes()
        role.tells("one", rotated=-3610, ttl=0)  # a server that lags behind
        await role.when_due()
        assert role.writes() == before


async def test_a_restart_that_waits_for_company_is_taken_up_without_asking_again() -> None:
    async with static_role(company=2.0) as role:
        role.house.cluster.workload("/apis/apps/v1/namespaces/app/deployments", "web")
        targets = [{"kind": "Deployment", "name": "web"}]
        role.tells("one", rotated=-3590, ttl=10)
        role.asks(rolloutRestartTargets=targets)
        await role.look()
        role.tells("two", rotated=11, ttl=3599)
        await role.when_due()
        before, written = role.reads, role.writes()
        assert (role.due(), role.status["history"][0].get("restart", "")) == (2.0, "")
        await role.when_due()
        assert role.reads == before
        assert role.writes()[len(written) :] == [
            "PATCH deployments/web",  # a dry run
            "PATCH deployments/web",
            "PATCH vaultdynamicsecrets/db/status",
        ]
        assert role.status["history"][0]["restart"] == "Triggered"
        assert role.status["rolledOutDigest"] == role.status["secretMAC"]
