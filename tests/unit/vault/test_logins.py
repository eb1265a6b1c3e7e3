"""Each login method: what it shows to Vault and where, what is said when Vault does not accept it, and how often
an account is tried.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.login_bench import GRANTED, NS, READ, Bench, bench_on
from tests.fakes.vault_parts import IDENTITY, JWT, LOGIN, Tokens, until
from tests.fakes.vault_server import Answer, Hang, errors
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
from vso.vault.config import TlsConfig
from vso.vault.way import SecretData, Way


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
