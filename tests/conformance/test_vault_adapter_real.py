"""The Vault adapter against a real Vault and a real API server: what the scripted server only pretends."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.vault_parts import Credentials, Observed, connection
from tests.testbed.bed import Mark
from tests.testbed.real import RealBed
from vso.core.clock import SystemClock
from vso.core.errors import ConfigError, Reason, VsoError
from vso.core.numbers import JsonNumber
from vso.core.sensitive import Sensitive
from vso.runtime.workqueue import Lane
from vso.vault.auth.kubernetes import KubernetesWay
from vso.vault.client import VaultClient, VaultRequest
from vso.vault.config import LoginConfig
from vso.vault.engines import KvRequest, read_kv
from vso.vault.errors import NothingThereError, PermissionDeniedError, SourceDeletedError, VaultDownError
from vso.vault.session import Session
from vso.vault.sessions import Sessions
from vso.vault.way import Identity

pytestmark = [
    pytest.mark.real,
    pytest.mark.only_in("full", because="it is about what is shipped or asked, whatever an operator may do"),
]

NAMESPACE = "vault-adapter"
AUDIENCE = "vault"
IDENTITY = Identity(NAMESPACE, "app", (AUDIENCE,), 600)
WAY = KubernetesWay("adapter", IDENTITY)
LOGIN = LoginConfig(f"{NAMESPACE}/va", "va-uid", 1, "kubernetes", "kubernetes", "", NAMESPACE, WAY)
ROLE = {
    "bound_service_account_names": "app",
    "bound_service_account_namespaces": NAMESPACE,
    "audience": AUDIENCE,
    "token_policies": "adapter",
    "token_ttl": "10m",
}
POLICY = 'path "kv/data/adapter/*" { capabilities = ["read"] }\npath "kv1/adapter/*" { capabilities = ["read"] }'

Open = Callable[..., Session]


class BedCredentials(Credentials):
    """TokenRequest as the bed's administrator."""

    def __init__(self, bed: RealBed) -> None:
        super().__init__()
        self._bed = bed

    async def jwt(self, identity: Identity) -> tuple[Sensitive, str]:
        token = self._bed.token_for(identity.namespace, identity.service_account, identity.audiences)
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return Sensitive.of(token), str(claims["kubernetes.io"]["serviceaccount"]["uid"])


@pytest.fixture(scope="module")
def bed(real_bed: RealBed) -> Iterator[RealBed]:
    real_bed.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for name in ("app", "other"):
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE}}
        real_bed.kube.apply(account)
    real_bed.vault.policy("adapter", POLICY)
    real_bed.vault.write("auth/kubernetes/role/adapter", ROLE)
    yield real_bed
    real_bed.kube.delete("Namespace", None, NAMESPACE)


@pytest.fixture
async def client(bed: RealBed) -> AsyncIterator[VaultClient]:
    made = client_of(bed)
    yield made
    await made.close()


@pytest.fixture
def open_session(bed: RealBed, client: VaultClient) -> Open:
    def build(role: str = WAY.role, **changes: Any) -> Session:
        sessions = Sessions(SystemClock(), BedCredentials(bed), Observed())
        return sessions.session(client, replace(LOGIN, **{"way": replace(WAY, role=role), **changes}))

    return build


def client_of(bed: RealBed) -> VaultClient:
    config = connection(bed.vault_url, timeout=10.0)
    return VaultClient(config, SystemClock(), random.Random(1), user_agent="vso-test", observer=Observed())


def role(bed: RealBed, name: str, **changes: str | int | bool) -> str:
    bed.vault.write(f"auth/kubernetes/role/{name}", {**ROLE, **changes})
    return name


def asked(bed: RealBed, since: Mark) -> list[tuple[str, str]]:
    return [(call.operation, call.path) for call in bed.vault_audit(since)]


async def refusal(session: Session, path: str = "kv/data/adapter/one", lane: Lane = Lane.URGENT) -> VsoError:
    with pytest.raises(VsoError) as caught:
        await session.read(path, lane=lane)
    return caught.value


async def test_reading_costs_a_login_and_a_read_and_the_policy_is_that_one_path(
    bed: RealBed, open_session: Open
) -> None:
    bed.vault.kv2_put("kv", "app/config", {"password": "s3cret"})
    bed.vault.policy("one-path", 'path "kv/data/app/config" { capabilities = ["read"] }')
    session = open_session(role=role(bed, "one-path", token_policies="one-path"))
    mark = bed.mark()
    for _ in range(3):
        secret = await read_kv(session, KvRequest("kv", "app/config", "kv-v2"))
    assert secret.data == {"password": "s3cret"}
    assert asked(bed, mark) == [("update", "auth/kubernetes/login")] + [("read", "kv/data/app/config")] * 3
    cache_key, identifier = session.client_meta()
    assert cache_key.startswith("kubernetes-")
    assert len(identifier) == 64


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"way": replace(WAY, role="nobody")}, "there is no role 'nobody'", id="role"),
        pytest.param({"way": replace(WAY, identity=replace(IDENTITY, audiences=("elsewhere",)))}, "the audience (elsewhere)", id="audience"),
        pytest.param({"way": replace(WAY, identity=replace(IDENTITY, service_account="other"))}, "not bound to ServiceAccount other", id="account"),
        pytest.param({"mount": "nowhere"}, "either nothing is mounted there", id="mount"),
    ],
)  # fmt: skip
async def test_a_refused_login_names_what_is_wrong(open_session: Open, changes: dict[str, Any], told: str) -> None:
    session = open_session(**changes)
    first = await refusal(session)
    assert first.reason is Reason.VAULT_LOGIN_REFUSED
    assert told in first.message
    assert (await refusal(session)).message == first.message
    assert "eyJ" not in f"{first!r} {first}"


async def test_a_namespace_that_the_role_does_not_know_is_named(bed: RealBed, open_session: Open) -> None:
    name = role(bed, "elsewhere", bound_service_account_namespaces="elsewhere")
    error = await refusal(open_session(role=name))
    assert f"not bound to namespace {NAMESPACE}" in error.message


async def test_kv_v2_versions(bed: RealBed, open_session: Open) -> None:
    for number in (1, 2, 3, 4):
        bed.vault.kv2_put("kv", "adapter/versions", {"n": f"v{number}"})
    bed.vault.write("kv/delete/adapter/versions", {"versions": [2]})
    bed.vault.write("kv/destroy/adapter/versions", {"versions": [3]})
    session = open_session()

    async def read(version: int | None) -> tuple[Any, str]:
        secret = await read_kv(session, KvRequest("kv", "adapter/versions", "kv-v2", version))
        return secret.data["n"], secret.version

    assert await read(None) == ("v4", "4")
    assert await read(1) == ("v1", "1")
    with pytest.raises(SourceDeletedError, match="version 2 of kv/adapter/versions is deleted"):
        await read(2)
    with pytest.raises(SourceDeletedError, match="version 3 of kv/adapter/versions is destroyed"):
        await read(3)
    with pytest.raises(NothingThereError, match="in this version"):
        await read(99)
    bed.vault.write("kv/undelete/adapter/versions", {"versions": [2]})
    assert await read(2) == ("v2", "2")
    bed.vault.delete("kv/metadata/adapter/versions")
    with pytest.raises(NothingThereError, match="there is nothing at kv/data/adapter/versions"):
        await read(None)


async def test_a_secret_that_never_was_is_not_found(open_session: Open) -> None:
    for request in (KvRequest("kv", "adapter/never", "kv-v2"), KvRequest("kv1", "adapter/never", "kv-v1")):
        with pytest.raises(NothingThereError) as caught:
            await read_kv(open_session(), request)
        assert caught.value.reason is Reason.SOURCE_NOT_FOUND


async def test_numbers_keep_their_text_in_both_engines(bed: RealBed, open_session: Open) -> None:
    numbers = '{"data": {"big": 12345678901234567890, "one": 1.0, "nested": {"tiny": 0.10}}}'
    for path, body in (("kv/data/adapter/numbers", numbers), ("kv1/adapter/numbers", numbers[9:-1])):
        assert bed.vault.raw("PUT", path, content=body).is_success
    v1 = await read_kv(open_session(), KvRequest("kv1", "adapter/numbers", "kv-v1"))
    assert v1.data == {"big": "12345678901234567890", "one": "1.0", "nested": {"tiny": "0.10"}}
    assert type(v1.data["big"]) is JsonNumber
    # The kv-v2 engine itself stores numbers as doubles; what it sends is kept, to the last digit.
    v2 = await read_kv(open_session(), KvRequest("kv", "adapter/numbers", "kv-v2"))
    assert v2.data == {"big": "12345678901234567000", "one": "1", "nested": {"tiny": "0.1"}}


async def test_odd_names_find_their_secret(bed: RealBed, open_session: Open) -> None:
    name = "adapter/ü & b%20c+d"
    bed.vault.raw("PUT", "kv/data/adapter/%C3%BC%20%26%20b%2520c%2Bd", json={"data": {"a": "b"}})
    assert (await read_kv(open_session(), KvRequest("kv", name, "kv-v2"))).data == {"a": "b"}


async def test_the_wrong_engine_type_is_named(bed: RealBed, open_session: Open) -> None:
    bed.vault.kv2_put("kv", "adapter/typed", {"a": "b"})
    bed.vault.policy("typed", 'path "kv/*" { capabilities = ["read"] }')
    session = open_session(role=role(bed, "typed", token_policies="typed"))
    with pytest.raises(ConfigError, match="set type: kv-v2"):
        await read_kv(session, KvRequest("kv", "adapter/typed", "kv-v1"))


async def test_a_mount_that_is_not_there_is_named(bed: RealBed, open_session: Open) -> None:
    bed.vault.policy("nowhere", 'path "nowhere/*" { capabilities = ["read"] }')
    error = await refusal(open_session(role=role(bed, "nowhere", token_policies="nowhere")), "nowhere/data/x")
    assert error.reason is Reason.SOURCE_NOT_FOUND
    assert "no secrets engine is mounted" in error.message


async def test_a_forbidden_path_is_a_permission_denied_with_path_and_capability(
    bed: RealBed, open_session: Open
) -> None:
    session = open_session()
    mark = bed.mark()
    error = await refusal(session, "kv/data/private")
    assert isinstance(error, PermissionDeniedError)
    assert "kv/data/private" in error.message
    assert "'read'" in error.message
    assert asked(bed, mark) == [("update", "auth/kubernetes/login"), ("read", "kv/data/private")]


async def test_a_revoked_token_is_replaced_once(bed: RealBed, open_session: Open) -> None:
    bed.vault.kv2_put("kv", "adapter/one", {"a": "b"})
    session = open_session()
    mark = bed.mark()
    await session.read("kv/data/adapter/one")
    bed.vault.write("sys/leases/revoke-prefix/auth/kubernetes/login")
    await session.read("kv/data/adapter/one")
    login, read = ("update", "auth/kubernetes/login"), ("read", "kv/data/adapter/one")
    seen = [call for call in asked(bed, mark) if call in (login, read)]
    assert seen == [login, read, read, login, read]


async def test_a_short_token_is_replaced_before_it_ends(bed: RealBed, open_session: Open) -> None:
    bed.vault.kv2_put("kv", "adapter/one", {"a": "b"})
    session = open_session(role=role(bed, "short", token_ttl="2s"))
    mark = bed.mark()
    clock = SystemClock()
    until = clock.monotonic() + 5
    while clock.monotonic() < until:
        await session.read("kv/data/adapter/one")
        await clock.sleep(0.05)
    calls = bed.vault_audit(mark)
    assert [call.error for call in calls if call.error] == []
    assert 3 <= sum(call.path == "auth/kubernetes/login" for call in calls) <= 4


async def test_the_uses_of_a_token_are_counted(bed: RealBed, open_session: Open) -> None:
    bed.vault.kv2_put("kv", "adapter/one", {"a": "b"})
    session = open_session(role=role(bed, "few", token_num_uses=2))
    mark = bed.mark()
    for _ in range(4):
        await session.read("kv/data/adapter/one")
    calls = bed.vault_audit(mark)
    assert [call.error for call in calls if call.error] == []
    assert sum(call.path == "auth/kubernetes/login" for call in calls) == 2


async def test_a_batch_token_reads_and_has_no_identifier(bed: RealBed, open_session: Open) -> None:
    bed.vault.kv2_put("kv", "adapter/one", {"a": "b"})
    session = open_session(role=role(bed, "batch", token_type="batch"))
    await session.read("kv/data/adapter/one")
    assert session.client_meta()[1] == ""
    await session.revoke()


async def test_close_revokes_the_token(bed: RealBed, client: VaultClient) -> None:
    bed.vault.kv2_put("kv", "adapter/one", {"a": "b"})
    sessions = Sessions(SystemClock(), BedCredentials(bed), Observed())
    await sessions.session(client, LOGIN).read("kv/data/adapter/one")
    mark = bed.mark()
    await sessions.close()
    assert [(call.path, call.error) for call in bed.vault_audit(mark)] == [("auth/token/revoke-self", "")]


async def test_a_throttled_read_says_when_to_come_back(bed: RealBed, open_session: Open) -> None:
    bed.vault.kv2_put("kv", "adapter/one", {"a": "b"})
    session = open_session()
    await session.read("kv/data/adapter/one")
    bed.vault.write("sys/quotas/config", {"enable_rate_limit_response_headers": True})
    bed.vault.write("sys/quotas/rate-limit/kv", {"path": "kv", "rate": 1, "interval": "5s"})
    try:
        await session.read("kv/data/adapter/one")
        error = await refusal(session)
    finally:
        bed.vault.delete("sys/quotas/rate-limit/kv")
        bed.vault.write("sys/quotas/config", {"enable_rate_limit_response_headers": False})
    assert error.reason is Reason.VAULT_THROTTLED
    assert 0 < getattr(error, "retry_after", 0) <= 5


async def test_sealed_stopped_and_back(bed: RealBed) -> None:
    bed.vault.kv2_put("kv", "adapter/one", {"a": "b"})
    client = client_of(bed)
    session = Sessions(SystemClock(), BedCredentials(bed), Observed()).session(client, LOGIN)
    try:
        await session.read("kv/data/adapter/one")
        health = await client.health()
        assert (health.reachable, health.sealed, health.version, health.error) == (True, False, "1.21.0", None)
        bed.vault.seal()
        errors = [await refusal(session) for _ in range(4)]
        assert {(error.reason, error.message) for error in errors} == {
            (Reason.VAULT_SEALED, f"Vault at {bed.vault_url} is sealed")
        }
        assert client.breaker_open
        sealed = await client.health()
        assert (sealed.reachable, sealed.sealed) == (True, True)
        bed.vault.unseal()
    finally:
        await client.close()
    again = client_of(bed)
    try:
        bed.stop_server("vault")
        errors = [
            await refusal(Sessions(SystemClock(), BedCredentials(bed), Observed()).session(again, LOGIN))
            for _ in range(2)
        ]
        assert {error.message for error in errors} == {
            f"Vault at {bed.vault_url}: the connection is refused or dropped"
        }
        assert isinstance(errors[0], VaultDownError)
    finally:
        bed.start_server("vault")
        await again.close()


async def test_a_redirect_for_a_path_that_is_cleaned_does_not_happen(client: VaultClient) -> None:
    with pytest.raises(ConfigError):
        await client.send(VaultRequest("GET", "kv/data/../../sys/seal-status"))
