"""Ready-made parts of the Vault adapter for tests: configs, a client, a credential source, a token store."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.fakes.clock import FakeClock
from tests.fakes.vault_server import Reply, Seen, Step, VaultServer, errors
from vso.core.clock import Clock
from vso.core.errors import ConfigError, Reason, VsoError
from vso.core.sensitive import Sensitive
from vso.vault.auth.kubernetes import KubernetesWay
from vso.vault.client import VaultClient
from vso.vault.config import ConnectionConfig, LoginConfig
from vso.vault.surroundings import NOTHING, Surroundings
from vso.vault.way import Identity, SecretData

VC_UID = "11111111-1111-4111-8111-111111111111"
VA_UID = "22222222-2222-4222-8222-222222222222"
SA_UID = "33333333-3333-4333-8333-333333333333"
JWT = "header.canary-jwt.signature"

IDENTITY = Identity("team-a", "app", ("vault",), 600)
WAY = KubernetesWay("app", IDENTITY)
LOGIN = LoginConfig("team-a/vault", VA_UID, 1, "kubernetes", "kubernetes", "", IDENTITY.namespace, WAY)


def login_of(namespace: str) -> LoginConfig:
    """The same VaultAuth, used from another namespace."""
    return replace(LOGIN, consumer=namespace, way=replace(WAY, identity=replace(IDENTITY, namespace=namespace)))


@dataclass
class Observed:
    """A VaultObserver and StreamObserver that remembers."""

    requests: list[tuple[str, bool]] = field(default_factory=list)
    breakers: list[bool] = field(default_factory=list)
    logins: list[bool] = field(default_factory=list)
    streams: list[tuple[bool, Reason]] = field(default_factory=list)
    bugs: list[Exception] = field(default_factory=list)

    def request(self, connection: str, operation: str, seconds: float, *, ok: bool) -> None:
        self.requests.append((operation, ok))

    def breaker(self, connection: str, *, is_open: bool) -> None:
        self.breakers.append(is_open)

    def login(self, auth: str, *, ok: bool) -> None:
        self.logins.append(ok)

    def stream(self, connection: str, *, up: bool, reason: Reason) -> None:
        self.streams.append((up, reason))

    def stream_bug(self, connection: str, error: Exception) -> None:
        self.bugs.append(error)


@dataclass
class Credentials:
    """A CredentialSource that always has a token, and the Secrets and files that were put there."""

    uid: str = SA_UID
    minted: int = 0
    failure: Exception | None = None
    secrets: dict[str, SecretData] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    annotated: dict[str, dict[str, str]] = field(default_factory=dict)
    surroundings: Surroundings = NOTHING

    async def jwt(self, identity: Identity) -> tuple[Sensitive, str]:
        self.minted += 1
        if self.failure is not None:
            raise self.failure
        return Sensitive.of(JWT), self.uid

    def put(self, namespace: str, name: str, version: str = "1", **entries: str) -> None:
        """Have a Secret."""
        held = {key: Sensitive.of(value) for key, value in entries.items()}
        self.secrets[f"{namespace}/{name}"] = SecretData(f"{namespace}/{name}", f"uid-of-{name}", version, held)

    async def secret(self, namespace: str, name: str) -> SecretData:
        if f"{namespace}/{name}" not in self.secrets:
            raise ConfigError(Reason.REFERENCE_NOT_FOUND, f"Secret {namespace}/{name} does not exist")
        return self.secrets[f"{namespace}/{name}"]

    async def file(self, path: str, auth: str) -> Sensitive:
        return Sensitive.of(self.files[path])

    async def annotations(self, namespace: str, service_account: str) -> dict[str, str]:
        return self.annotated.get(f"{namespace}/{service_account}", {})


def connection(url: str, **changes: Any) -> ConnectionConfig:
    return replace(ConnectionConfig("team-a/vault", VC_UID, 1, url, timeout=5.0), **changes)


@asynccontextmanager
async def client_to(
    url: str, clock: Clock | None = None, observer: Observed | None = None, max_body: int = 1 << 20, **changes: Any
) -> AsyncIterator[VaultClient]:
    made = VaultClient(
        connection(url, **changes),
        clock or FakeClock(),
        random.Random(1),
        user_agent="vso-test",
        observer=observer or Observed(),
        max_body=max_body,
    )
    try:
        yield made
    finally:
        await made.close()


class Tokens:
    """Scripts a server to hand out tokens and to accept those that live, by the clock of the test."""

    def __init__(self, server: VaultServer, clock: FakeClock, ttl: float = 3600, num_uses: int = 0) -> None:
        self.server = server
        self.clock = clock
        self.ttl = ttl
        self.num_uses = num_uses
        self.policies: dict[str, set[str]] = {}
        self.role_policies = {"app"}
        self.ends: dict[str, float] = {}
        self.revoked: set[str] = set()
        self.refuse: Step | None = None
        self.expired_used = 0
        self._names = (f"hvs.canary-{number}" for number in itertools.count(1))
        server.on("PUT", "auth/kubernetes/login", self._login)
        server.on("PUT", "auth/token/revoke-self", self._revoke)

    @property
    def logins(self) -> int:
        return len(self.server.asked("auth/kubernetes/login"))

    def secret(self, path: str, policy: str = "app") -> None:
        """Have a path that tokens with the policy may read."""
        self.server.on("GET", path, lambda seen: self._read(seen, policy))

    def _login(self, seen: Seen) -> Step:
        if self.refuse is not None:
            return self.refuse
        token = next(self._names)
        self.policies[token] = set(self.role_policies)
        self.ends[token] = self.clock.monotonic() + self.ttl
        auth = {
            "client_token": token,
            "accessor": f"accessor-of-{token}",
            "lease_duration": self.ttl,
            "renewable": True,
            "token_policies": sorted(self.role_policies),
            "token_type": "service",
            "num_uses": self.num_uses,
        }
        return Reply(200, {"auth": auth})

    def _read(self, seen: Seen, policy: str) -> Step:
        expired = self.clock.monotonic() >= self.ends.get(seen.token, 0.0)
        self.expired_used += expired
        if expired or seen.token in self.revoked:
            return errors(403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")
        if policy not in self.policies[seen.token]:
            return errors(403, "1 error occurred:\n\t* permission denied\n\n")
        return Reply(200, {"request_id": "r", "data": {"data": {"a": "b"}, "metadata": {"version": 1}}})

    def _revoke(self, seen: Seen) -> Step:
        self.revoked.add(seen.token)
        return Reply(204)


async def until(condition: Callable[[], bool], turns: int = 100_000) -> None:
    """Let the loop turn until the condition holds."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition never held")


def passes(client: VaultClient) -> bool:
    """Whether the gate lets a request pass just now."""
    try:
        client.check()
    except VsoError:
        return False
    return True
