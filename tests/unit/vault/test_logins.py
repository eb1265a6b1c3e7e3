"""Each login method: what it shows to Vault and where, and what is said when Vault does not accept it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.vault_parts import IDENTITY, JWT, LOGIN, VA_UID, Credentials, Observed, Tokens, client_to, until
from tests.fakes.vault_server import Answer, Hang, Reply, VaultServer, errors
from vso.core.errors import Reason, VsoError
from vso.core.sensitive import Sensitive
from vso.runtime.workqueue import Lane
from vso.vault.auth.approle import AppRoleWay
from vso.vault.auth.certificate import CertificateWay
from vso.vault.auth.generic import FromSecret, GenericWay
from vso.vault.auth.given import GivenWay
from vso.vault.auth.kubernetes import JwtWay
from vso.vault.auth.password import PasswordWay
from vso.vault.auth.refusal import LoginHeldBackError
from vso.vault.client import VaultClient
from vso.vault.config import LoginConfig, TlsConfig
from vso.vault.session import Session
from vso.vault.sessions import Sessions
from vso.vault.way import SecretData, Way

NS = IDENTITY.namespace
READ = "kv/data/app"
GRANTED = Reply(200, {"auth": {"client_token": "hvs.canary", "accessor": "a", "lease_duration": 3600}})
FOUND = Reply(200, {"data": {"data": {"a": "b"}, "metadata": {"version": 1}}})


@dataclass
class Bench:
    """A Vault by script, the credentials that there are, and sessions over one client."""

    server: VaultServer
    clock: FakeClock
    client: VaultClient
    credentials: Credentials
    sessions: Sessions

    def session(self, way: Way, mount: str = "m", **changes: Any) -> Session:
        login = LoginConfig("team-a/va", VA_UID, 1, "method", mount, "", NS, way)
        return self.sessions.session(self.client, replace(login, **changes))

    async def read(self, way: Way, *, lane: Lane = Lane.REFRESH, **changes: Any) -> None:
        await self.session(way, **changes).read(READ, lane=lane)

    async def refusal(self, way: Way, lane: Lane = Lane.REFRESH) -> VsoError:
        with pytest.raises(VsoError) as caught:
            await self.read(way, lane=lane)
        assert "canary" not in f"{caught.value!r}"
        return caught.value


@asynccontextmanager
async def bench_on(clock: FakeClock, **connection: Any) -> AsyncIterator[Bench]:
    async with VaultServer() as server, client_to(server.url, clock, **connection) as client:
        server.on("GET", READ, FOUND)
        credentials = Credentials()
        credentials.put(NS, "kept", id="canary-id", jwt="canary.jwt", password="canary-pw", token="hvs.canary-given")
        credentials.files["/run/id"] = "canary-file"
        yield Bench(server, clock, client, credentials, Sessions(clock, credentials, Observed()))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with bench_on(FakeClock()) as made:
        yield made


@pytest.mark.parametrize(
    ("way", "path", "body"),
    [
        pytest.param(JwtWay("r", IDENTITY), "auth/m/login", {"role": "r", "jwt": JWT}, id="jwt of a ServiceAccount"),
        pytest.param(
            JwtWay("r", secret="kept"), "auth/m/login", {"role": "r", "jwt": "canary.jwt"}, id="jwt of a Secret"
        ),
        pytest.param(
            AppRoleWay("ri", secret="kept"),
            "auth/m/login",
            {"role_id": "ri", "secret_id": "canary-id"},
            id="secret id of a Secret",
        ),
        pytest.param(
            AppRoleWay("ri", file="/run/id"),
            "auth/m/login",
            {"role_id": "ri", "secret_id": "canary-file"},
            id="secret id of a file",
        ),
        pytest.param(
            PasswordWay("a b?", "kept", "password"), "auth/m/login/a%20b%3F", {"password": "canary-pw"}, id="password"
        ),
        pytest.param(GenericWay(), "auth/m/login", {}, id="nothing"),
        pytest.param(
            GenericWay((("a", "1"), ("b", "2")), (FromSecret("b", "kept", "id"),)),
            "auth/m/login",
            {"a": "1", "b": "canary-id"},
            id="generic",
        ),
    ],
)
async def test_what_is_shown_and_where(bench: Bench, way: Way, path: str, body: dict[str, str]) -> None:
    bench.server.on("PUT", path, GRANTED)
    await bench.read(way)
    login, read = bench.server.seen
    assert (login.method, login.path, login.body) == ("PUT", path, body)
    assert read.token == "hvs.canary"
    assert "canary" not in repr(way)


async def test_the_login_path_is_the_users_to_choose(bench: Bench) -> None:
    bench.server.on("PUT", "auth/m/sign/in", GRANTED)
    await bench.read(GenericWay(), login_path="sign/in", params=(("extra", "1"),))
    assert bench.server.seen[0].body == {"extra": "1"}


@pytest.mark.parametrize(
    ("way", "answer", "words"),
    [
        (AppRoleWay("ri", secret="kept"), errors(400, "invalid role or secret ID"), "invalid role or secret ID"),
        (PasswordWay("eve", "kept", "password"), errors(400, "invalid username or password"), "invalid username"),
        (PasswordWay("eve", "kept", "password"), errors(403, "permission denied"), "user 'eve'"),
        (JwtWay("r", IDENTITY), errors(400, 'role "r" could not be found'), "there is no role 'r'"),
        (JwtWay("r", IDENTITY), errors(400, "invalid audience (aud) claim"), "the audience (vault)"),
        (JwtWay("r", secret="kept"), errors(400, "error validating token: expired"), "error validating token"),
        (GenericWay(), errors(404, "no handler for route"), "perhaps nothing is mounted there"),
    ],
)
async def test_a_refusal_says_what_to_look_at(bench: Bench, way: Way, answer: Answer, words: str) -> None:
    bench.server.on("PUT", f"auth/m/{way.path}", answer)
    error = await bench.refusal(way)
    assert error.reason is Reason.VAULT_LOGIN_REFUSED
    assert words in error.message
    assert "VaultAuth team-a/va at auth/m" in error.message


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (AppRoleWay("ri", secret="none"), "Secret team-a/none does not exist"),
        (PasswordWay("eve", "kept", "pw"), "Secret team-a/kept has no key 'pw'; its keys: id, jwt, password, token"),
        (GenericWay((), (FromSecret("f", "kept", "x"),)), "has no key 'x'"),
        (GivenWay("kept", "t"), "has no key 't'"),
        (CertificateWay(), "method cert needs spec.cert.secretRef, or a client certificate"),
    ],
)
async def test_a_credential_that_is_missing_is_named_and_vault_is_not_asked(bench: Bench, way: Way, words: str) -> None:
    error = await bench.refusal(way)
    assert words in error.message
    assert bench.server.seen == []


async def test_an_empty_credential_is_not_shown(bench: Bench) -> None:
    bench.credentials.put(NS, "kept", id="")
    assert "key 'id' is empty" in (await bench.refusal(AppRoleWay("ri", secret="kept"))).message


@pytest.mark.parametrize(
    "way",
    [
        AppRoleWay("ri", secret="odd"),
        AppRoleWay("ri", secret="odd", wrapped=True),
        JwtWay("r", secret="odd"),
        PasswordWay("eve", "odd", "id"),
        GenericWay((), (FromSecret("f", "odd", "id"),)),
        GivenWay("odd", "id"),
    ],
)
async def test_a_credential_that_is_no_text_is_named_and_not_shown(bench: Bench, way: Way) -> None:
    odd = Sensitive(b"canary-\xff")
    bench.credentials.secrets[f"{NS}/odd"] = SecretData(f"{NS}/odd", "u", "1", {"id": odd, "jwt": odd})
    error = await bench.refusal(way)
    assert error.reason is Reason.INVALID_SPEC
    assert f"Secret {NS}/odd: the value of key " in error.message
    assert error.__context__ is None
    assert bench.server.seen == []


@pytest.mark.parametrize("value", ["hvs.canary\nx", "hvs.canary\x00", "hvs.\x7fcanary", " \n"])
@pytest.mark.parametrize("way", [GivenWay("odd", "id"), AppRoleWay("ri", secret="odd", wrapped=True)])
async def test_a_token_that_can_be_none_says_nothing_of_vault(bench: Bench, way: Way, value: str) -> None:
    bench.credentials.put(NS, "odd", id=value)
    for _ in range(4):
        error = await bench.refusal(way, lane=Lane.URGENT)
        assert error.reason is Reason.INVALID_SPEC
        assert f"Secret {NS}/odd: the value of key 'id'" in error.message
    assert not bench.client.breaker_open
    assert bench.server.seen == []


async def test_a_changed_secret_is_shown_at_the_next_login_and_has_a_try_of_its_own(bench: Bench) -> None:
    bench.server.on("PUT", "auth/m/login", errors(400, "invalid role or secret ID"))
    way = AppRoleWay("ri", secret="kept")
    for _ in range(5):
        await bench.refusal(way, lane=Lane.URGENT)
        await bench.clock.advance(10)
    assert len(bench.server.seen) == 3
    bench.credentials.put(NS, "kept", version="2", id="canary-right")
    bench.server.on("PUT", "auth/m/login", GRANTED)
    await bench.read(way, lane=Lane.URGENT)
    assert bench.server.asked("auth/m/login")[-1].body["secret_id"] == "canary-right"


async def test_the_consumers_share_the_login_of_a_file_and_no_other(bench: Bench) -> None:
    assert not AppRoleWay("ri", file="/run/id").personal
    assert not GivenWay(file="/run/token").personal
    assert not CertificateWay().personal
    assert AppRoleWay("ri", secret="kept").personal
    assert GivenWay("kept").personal
    assert CertificateWay(secret="tls").personal


# How often an account is tried: Vault locks it, and not the VaultAuth or the namespace.

EVE = PasswordWay("eve", "kept", "password")
AT_EVE = "auth/m/login/eve"
WRONG = errors(400, "invalid username or password")


async def pressed(bench: Bench, way: Way, times: int = 5, **changes: Any) -> Reason:
    """Log in again and again; why the last try failed."""
    for _ in range(times):
        with pytest.raises(VsoError) as caught:
            await bench.read(way, lane=Lane.URGENT, **changes)
        await bench.clock.advance(10)
    return caught.value.reason


def for_all(bench: Bench, count: int) -> list[dict[str, Any]]:
    """VaultAuths in as many namespaces, with the same password in each."""
    for number in range(count):
        bench.credentials.put(f"ns-{number}", "kept", id="canary-id", password="canary-pw")
    return [{"uid": f"va-{number}", "consumer": f"ns-{number}"} for number in range(count)]


@pytest.mark.parametrize(
    ("way", "path"), [(EVE, AT_EVE), (AppRoleWay("ri", secret="kept"), "auth/m/login")], ids=["user", "role id"]
)
async def test_all_namespaces_together_have_four_tries_at_an_account(bench: Bench, way: Way, path: str) -> None:
    bench.server.on("PUT", path, WRONG)
    for team in for_all(bench, 3):
        assert await pressed(bench, way, **team) is Reason.VAULT_LOGIN_LIMITED
    assert len(bench.server.asked(path)) == 4
    await bench.clock.advance(900)
    bench.server.on("PUT", path, GRANTED)
    await bench.read(way, consumer="ns-1", uid="va-1")


async def test_an_edit_keeps_the_history_of_the_account_and_has_the_one_try_that_is_kept_for_it(bench: Bench) -> None:
    bench.server.on("PUT", AT_EVE, WRONG)
    for generation, tries in ((1, 3), (2, 4), (3, 4)):
        assert await pressed(bench, EVE, generation=generation) is Reason.VAULT_LOGIN_LIMITED
        assert len(bench.server.asked(AT_EVE)) == tries


async def test_who_has_another_account_is_not_held_back(bench: Bench) -> None:
    bench.server.on("PUT", AT_EVE, WRONG)
    await pressed(bench, EVE)
    bench.server.on("PUT", "auth/m/login/bob", GRANTED)
    bench.server.on("PUT", "auth/other/login/eve", GRANTED)
    await bench.read(PasswordWay("bob", "kept", "password"), uid="bob", lane=Lane.URGENT)
    await bench.read(EVE, mount="other", uid="other", lane=Lane.URGENT)
    bench.server.on("PUT", AT_EVE, GRANTED)
    await bench.read(EVE, namespace="child", uid="child", lane=Lane.URGENT)


async def test_a_name_in_capitals_is_the_same_user(bench: Bench) -> None:
    bench.server.on("PUT", AT_EVE, WRONG)
    bench.server.on("PUT", "auth/m/login/EVE", WRONG)
    await pressed(bench, EVE)
    await pressed(bench, PasswordWay("EVE", "kept", "password"), mount="/m/", uid="capitals")
    assert len(bench.server.asked(AT_EVE)) + len(bench.server.asked("auth/m/login/EVE")) == 4


async def test_a_role_that_vault_never_locks_is_limited_for_each_namespace_alone(bench: Bench) -> None:
    bench.server.on("PUT", "auth/m/login", errors(403, "namespace not authorized"))
    for team in for_all(bench, 3):
        await pressed(bench, JwtWay("app", IDENTITY), **team)
    assert len(bench.server.asked("auth/m/login")) == 9


async def test_many_that_begin_at_once_do_not_lock_the_account(bench: Bench) -> None:
    bench.server.on("PUT", AT_EVE, WRONG)
    results = await asyncio.gather(*(bench.read(EVE, **team) for team in for_all(bench, 10)), return_exceptions=True)
    assert [type(result) for result in results].count(LoginHeldBackError) == 6
    assert len(bench.server.asked(AT_EVE)) == 4


async def test_many_that_begin_at_once_all_get_in(bench: Bench) -> None:
    bench.server.on("PUT", AT_EVE, GRANTED)
    await asyncio.gather(*(bench.read(EVE, **team) for team in for_all(bench, 10)))
    assert len(bench.server.asked(AT_EVE)) == 10


async def test_who_waits_for_a_turn_may_leave(bench: Bench) -> None:
    bench.server.on("PUT", AT_EVE, Hang())
    teams = for_all(bench, 6)
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(bench.read(EVE, lane=Lane.URGENT, **team)) for team in teams]
        await until(lambda: bench.server.hanging == 4)
        for task in waiting:
            task.cancel()
    bench.server.on("PUT", AT_EVE, GRANTED)
    await bench.read(EVE, **teams[5])


# A secret id in a wrapping.

WRAPPED = AppRoleWay("ri", secret="wrapped", wrapped=True)
MADE_HERE = Reply(200, {"data": {"creation_path": "auth/m/role/app/secret-id", "creation_ttl": 300}})
INSIDE = Reply(200, {"data": {"secret_id": "canary-inside", "secret_id_accessor": "x"}})


@pytest.fixture
def wrapping(bench: Bench) -> Bench:
    bench.credentials.put(NS, "wrapped", id="hvs.canary-wrapping")
    bench.server.on("PUT", "sys/wrapping/lookup", MADE_HERE)
    bench.server.on("PUT", "sys/wrapping/unwrap", INSIDE, errors(400, "wrapping token is not valid or does not exist"))
    bench.server.on("PUT", "auth/m/login", GRANTED)
    return bench


async def test_a_wrapping_is_opened_once_for_all_logins(wrapping: Bench) -> None:
    session = wrapping.session(WRAPPED)
    await session.read(READ)
    await wrapping.clock.advance(3590)
    await session.read(READ)
    opened = wrapping.server.asked("sys/wrapping/unwrap")
    assert [seen.token for seen in opened] == ["hvs.canary-wrapping"]
    assert [seen.body["secret_id"] for seen in wrapping.server.asked("auth/m/login")] == ["canary-inside"] * 2


async def test_whitespace_around_a_wrapping_token_is_none_of_it(wrapping: Bench) -> None:
    wrapping.credentials.put(NS, "wrapped", id=" hvs.canary-wrapping\n")
    await wrapping.read(WRAPPED)
    assert wrapping.server.asked("sys/wrapping/lookup")[0].body == {"token": "hvs.canary-wrapping"}
    assert wrapping.server.asked("sys/wrapping/unwrap")[0].token == "hvs.canary-wrapping"


async def test_a_wrapping_that_was_opened_before_is_an_alarm(wrapping: Bench) -> None:
    wrapping.server.on("PUT", "sys/wrapping/lookup", errors(400, "wrapping token is not valid or does not exist"))
    error = await wrapping.refusal(WRAPPED)
    assert error.reason is Reason.WRAPPING_TOKEN_REFUSED
    assert "is over, or was opened before, perhaps by this operator before a restart" in error.message
    assert wrapping.server.asked("auth/m/login") == []


@pytest.mark.parametrize("path", ["sys/wrapping/wrap", "auth/other/role/app/secret-id", "kv/data/app", ""])
async def test_a_wrapping_of_something_else_is_not_opened(wrapping: Bench, path: str) -> None:
    wrapping.server.on("PUT", "sys/wrapping/lookup", Reply(200, {"data": {"creation_path": path}}))
    error = await wrapping.refusal(WRAPPED)
    assert error.reason is Reason.WRAPPING_TOKEN_REFUSED
    assert wrapping.server.asked("sys/wrapping/unwrap") == []


@pytest.mark.parametrize("changes", [{"generation": 2}, {"params": (("extra", "1"),)}], ids=["VaultAuth", "default"])
async def test_what_was_inside_survives_an_edit(wrapping: Bench, changes: dict[str, Any]) -> None:
    await wrapping.read(WRAPPED)
    await wrapping.read(WRAPPED, **changes)
    assert len(wrapping.server.asked("sys/wrapping/unwrap")) == 1
    assert [seen.body["secret_id"] for seen in wrapping.server.asked("auth/m/login")] == ["canary-inside"] * 2


async def test_what_was_inside_survives_an_edit_of_the_connection(wrapping: Bench) -> None:
    await wrapping.read(WRAPPED)
    wrapping.client.config = replace(wrapping.client.config, generation=2)
    await wrapping.read(WRAPPED)
    assert len(wrapping.server.asked("sys/wrapping/unwrap")) == 1
    assert len(wrapping.server.asked("auth/m/login")) == 2


@pytest.mark.parametrize(
    "changes", [{"mount": "other"}, {"uid": "another", "generation": 1}, {"namespace": "child"}], ids=str
)
async def test_what_was_inside_is_for_that_mount_and_vault_auth_alone(wrapping: Bench, changes: dict[str, Any]) -> None:
    await wrapping.read(WRAPPED)
    wrapping.server.on("PUT", "sys/wrapping/lookup", errors(400, "wrapping token is not valid or does not exist"))
    with pytest.raises(VsoError) as caught:
        await wrapping.read(WRAPPED, **changes)
    assert caught.value.reason is Reason.WRAPPING_TOKEN_REFUSED
    assert len(wrapping.server.asked("auth/m/login")) == 1
    assert wrapping.server.asked("auth/other/login") == []


async def test_a_new_wrapping_is_opened(wrapping: Bench) -> None:
    session = wrapping.session(WRAPPED)
    await session.read(READ)
    wrapping.credentials.put(NS, "wrapped", version="2", id="hvs.canary-second")
    wrapping.server.on("PUT", "sys/wrapping/unwrap", Reply(200, {"data": {"secret_id": "canary-new"}}))
    await wrapping.clock.advance(3590)
    await session.read(READ)
    assert wrapping.server.asked("auth/m/login")[-1].body["secret_id"] == "canary-new"


async def test_a_wrapping_without_a_secret_id_is_not_vaults(wrapping: Bench) -> None:
    wrapping.server.on("PUT", "sys/wrapping/unwrap", Reply(200, {"data": {"other": "x"}}))
    assert (await wrapping.refusal(WRAPPED)).reason is Reason.VAULT_ANSWER_INVALID


# A token that somebody else has made.

LIVES = Reply(200, {"data": {"ttl": 3600, "renewable": True, "accessor": "acc", "type": "service", "policies": ["p"]}})
RENEWED = Reply(200, {"auth": {"client_token": "hvs.canary-given", "accessor": "acc", "lease_duration": 7200}})


@pytest.fixture
def given(bench: Bench) -> Bench:
    bench.server.on("GET", "auth/token/lookup-self", LIVES)
    bench.server.on("PUT", "auth/token/renew-self", RENEWED)
    return bench


def paths(bench: Bench) -> list[str]:
    return [seen.path for seen in bench.server.seen]


async def test_a_token_is_looked_up_renewed_and_used(given: Bench) -> None:
    await given.read(GivenWay("kept"))
    assert paths(given) == ["auth/token/lookup-self", "auth/token/renew-self", READ]
    assert {seen.token for seen in given.server.seen} == {"hvs.canary-given"}


async def test_whitespace_around_a_token_is_none_of_it(given: Bench) -> None:
    given.credentials.put(NS, "kept", token="\thvs.canary-given\r\n")
    await given.read(GivenWay("kept"))
    assert {seen.token for seen in given.server.seen} == {"hvs.canary-given"}


@pytest.mark.parametrize(
    ("way", "answer"),
    [
        pytest.param(GivenWay("kept", renew=False), LIVES, id="not wanted"),
        pytest.param(GivenWay("kept"), Reply(200, {"data": {"ttl": 0, "renewable": False}}), id="cannot be"),
    ],
)
async def test_a_token_is_left_alone(given: Bench, way: GivenWay, answer: Reply) -> None:
    given.server.on("GET", "auth/token/lookup-self", answer)
    await given.read(way)
    assert paths(given) == ["auth/token/lookup-self", READ]


async def test_a_token_that_may_not_look_at_itself_is_used(given: Bench) -> None:
    given.server.on("GET", "auth/token/lookup-self", errors(403, "permission denied"))
    await given.read(GivenWay("kept"))
    assert paths(given) == ["auth/token/lookup-self", READ]


async def test_a_renewal_that_is_refused_does_no_harm(given: Bench) -> None:
    given.server.on("PUT", "auth/token/renew-self", errors(403, "permission denied"))
    await given.read(GivenWay("kept"))
    assert paths(given)[-1] == READ


async def test_a_dead_token_is_said_to_be_one(given: Bench) -> None:
    given.server.on("GET", "auth/token/lookup-self", errors(403, "permission denied", "invalid token"))
    error = await given.refusal(GivenWay("kept"))
    assert error.reason is Reason.VAULT_LOGIN_REFUSED
    assert "knows the token of VaultAuth team-a/va no more" in error.message


async def test_the_source_of_a_token_is_looked_at_again_every_few_minutes(given: Bench) -> None:
    session = given.session(GivenWay("kept"))
    await session.read(READ)
    given.credentials.put(NS, "kept", version="2", token="hvs.canary-next")
    await given.clock.advance(299)
    await session.read(READ)
    assert given.server.seen[-1].token == "hvs.canary-given"
    given.server.on("PUT", "auth/token/renew-self", Reply(200, {"auth": {"client_token": "hvs.canary-next"}}))
    await given.clock.advance(2)
    await session.read(READ)
    assert given.server.seen[-1].token == "hvs.canary-next"


async def test_a_token_of_somebody_elses_is_never_revoked(given: Bench) -> None:
    await given.read(GivenWay("kept"))
    await given.sessions.close()
    assert "auth/token/revoke-self" not in paths(given)


# A certificate.


async def test_a_certificate_is_shown_by_the_connection(clock: FakeClock) -> None:
    tls = TlsConfig(client_cert_pem=b"-----BEGIN CERTIFICATE-----", client_key=Sensitive.of("canary"))
    async with bench_on(clock) as bench:
        bench.client.config = replace(bench.client.config, tls=tls)
        bench.server.on("PUT", "auth/m/login", GRANTED)
        await bench.read(CertificateWay("web"))
        assert bench.server.seen[0].body == {"name": "web"}


async def test_a_login_by_kubernetes_is_one_of_them(clock: FakeClock) -> None:
    async with bench_on(clock) as bench:
        Tokens(bench.server, clock).secret(READ)
        await bench.sessions.session(bench.client, LOGIN).read(READ)
        assert bench.server.seen[0].body == {"role": "app", "jwt": JWT}
