"""One request and its answer: what goes out, what comes back as what, and what is tried again."""

from __future__ import annotations

import socket

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.vault_calls import GOOD, SEALED, TOKEN, failure, send
from tests.fakes.vault_parts import Observed, client_to
from tests.fakes.vault_server import Drop, Hang, Reply, Step, VaultServer, errors
from vso.core.errors import ConfigError, Reason, TransientError
from vso.core.numbers import JsonNumber
from vso.core.sensitive import Sensitive
from vso.vault.client import VaultRequest
from vso.vault.errors import DroppedError, NothingThereError, UnsentError


async def test_a_request_carries_what_vault_and_the_configuration_ask_for(
    server: VaultServer, clock: FakeClock
) -> None:
    server.on("GET", "kv/data/a%20b", Reply(200, {"request_id": "r-1", "data": {"n": 1}}))
    headers = (("X-Team", "a"), ("User-Agent", "forged"))
    async with client_to(server.url, clock, namespace="root-ns", headers=headers) as client:
        answer = await send(client, clock, VaultRequest("GET", "kv/data/a b", token=TOKEN, query=(("version", "3"),)))
        await failure(client, clock, VaultRequest("GET", "x", namespace="own", headers=(("X-Team", "b"),)))
    first, second = server.seen
    assert answer.request_id == "r-1"
    assert type(answer.body["data"]["n"]) is JsonNumber
    assert (first.path, first.query, first.token) == ("kv/data/a%20b", "version=3", "hvs.canary")
    assert first.headers["X-Vault-Request"] == "true"
    assert first.headers["User-Agent"] == "vso-test"
    assert (first.headers["X-Vault-Namespace"], first.headers["X-Team"]) == ("root-ns", "a")
    assert (second.headers["X-Vault-Namespace"], second.headers["X-Team"], second.token) == ("own", "b", "")


async def test_a_body_reveals_its_sensitive_values_on_the_wire_alone(server: VaultServer, clock: FakeClock) -> None:
    server.on("PUT", "auth/x/login", errors(400, "cannot parse hvs.canary and canary-jwt"))
    request = VaultRequest("PUT", "auth/x/login", token=TOKEN, body={"jwt": Sensitive.of("canary-jwt"), "role": "r"})
    async with client_to(server.url, clock) as client:
        error = await failure(client, clock, request)
    assert server.seen[0].body == {"jwt": "canary-jwt", "role": "r"}
    assert "canary" not in f"{error} {error!r} {request!r}"
    assert "cannot parse *** and ***" in error.message


async def test_a_404_that_holds_data_or_warnings_is_an_answer(server: VaultServer, clock: FakeClock) -> None:
    server.on("GET", "a", Reply(404, {"data": {"data": None, "metadata": {}}}))
    server.on("GET", "b", Reply(404, {"data": None, "warnings": ["look"]}))
    server.on("GET", "c", errors(404))
    async with client_to(server.url, clock) as client:
        assert (await send(client, clock, VaultRequest("GET", "a"))).status == 404
        assert (await send(client, clock, VaultRequest("GET", "b"))).status == 404
        assert isinstance(await failure(client, clock, VaultRequest("GET", "c")), NothingThereError)


async def test_a_204_is_an_answer_without_a_body(server: VaultServer, clock: FakeClock) -> None:
    server.on("PUT", "sys/x", Reply(204))
    async with client_to(server.url, clock) as client:
        assert (await send(client, clock, VaultRequest("PUT", "sys/x"))).body == {}


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        pytest.param(Reply(200, b"<html>canary</html>", {"Content-Type": "text/html"}), Reason.VAULT_ANSWER_INVALID, id="html"),
        pytest.param(Reply(404, b"<html>canary</html>"), Reason.VAULT_ANSWER_INVALID, id="html-404"),
        pytest.param(Reply(200, b"[1]"), Reason.VAULT_ANSWER_INVALID, id="not-an-object"),
        pytest.param(Reply(200, b'{"a": "' + b"x" * 5000 + b'"}'), Reason.VAULT_ANSWER_INVALID, id="too-long"),
        pytest.param(Reply(502, b"<html>canary</html>"), Reason.VAULT_UNAVAILABLE, id="proxy-502"),
        pytest.param(Reply(301, b"", {"Location": "https://elsewhere/login?canary"}), Reason.VAULT_ANSWER_INVALID, id="redirect"),
        pytest.param(SEALED, Reason.VAULT_SEALED, id="sealed"),
        pytest.param(Drop(), Reason.VAULT_UNAVAILABLE, id="dropped"),
        pytest.param(Hang(), Reason.VAULT_UNAVAILABLE, id="black-hole"),
        pytest.param(errors(429, "quota", retry_after="7"), Reason.VAULT_THROTTLED, id="throttled"),
    ],
)  # fmt: skip
async def test_each_failure_has_its_reason_and_the_same_message_every_time(
    server: VaultServer, clock: FakeClock, step: Step, reason: Reason
) -> None:
    server.on("GET", "kv/data/app", step)
    async with client_to(server.url, clock, timeout=0.2, max_body=4096) as client:
        first, second = await failure(client, clock), await failure(client, clock)
    assert isinstance(first, TransientError)
    assert (first.reason, first.message) == (reason, second.message)
    assert "canary" not in repr(first)
    assert first.__cause__ is None
    assert first.__context__ is None


async def test_retry_after_is_handed_on(server: VaultServer, clock: FakeClock) -> None:
    server.on("GET", "kv/data/app", errors(429, "quota", retry_after="7"))
    async with client_to(server.url, clock) as client:
        error = await failure(client, clock)
    assert isinstance(error, TransientError)
    assert error.retry_after == 7


async def test_a_refused_connection_and_an_unknown_host_have_stable_messages(clock: FakeClock) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with client_to(url, clock) as client:
            first, second = await failure(client, clock), await failure(client, clock)
    assert first.message == second.message == f"Vault at {url}: the connection is refused or dropped"
    async with client_to("http://vault.invalid:8200", clock) as client:
        error = await failure(client, clock)
    assert error.message == "Vault at http://vault.invalid:8200: the host name cannot be resolved"


async def test_a_write_that_is_dropped_on_a_connection_in_use_goes_out_once(
    server: VaultServer, clock: FakeClock
) -> None:
    server.on("GET", "kv/data/app", GOOD)
    server.on("PUT", "sys/leases/renew", Drop())
    async with client_to(server.url, clock) as client:
        await send(client, clock)
        with pytest.raises(DroppedError):
            await send(client, clock, VaultRequest("PUT", "sys/leases/renew"))
    assert len(server.asked("sys/leases/renew")) == 1


async def test_a_read_is_tried_again_after_a_drop_and_a_login_is_not(server: VaultServer, clock: FakeClock) -> None:
    server.on("GET", "kv/data/app", Drop(), errors(412, "behind"), GOOD)
    server.on("POST", "auth/x/login", Drop())
    async with client_to(server.url, clock) as client:
        assert (await send(client, clock)).status == 200
        await failure(client, clock, VaultRequest("POST", "auth/x/login"))
    assert len(server.asked("kv/data/app")) == 3
    assert len(server.asked("auth/x/login")) == 1


async def test_a_307_is_followed_on_the_same_host_and_port_only(server: VaultServer, clock: FakeClock) -> None:
    server.on("GET", "kv/data/app", Reply(307, b"", {"Location": f"{server.url}/v1/other"}))
    server.on("GET", "other", GOOD)
    async with VaultServer() as stranger, client_to(server.url, clock) as client:
        assert (await send(client, clock)).body["data"] == {"a": "b"}
        server.on("GET", "kv/data/app", Reply(307, b"", {"Location": f"{stranger.url}/v1/kv/data/app"}))
        error = await failure(client, clock)
        assert error.reason is Reason.VAULT_STANDBY
        server.on("GET", "kv/data/app", Reply(307, b"", {"Location": "/v1/kv/data/app"}))
        circle = await failure(client, clock)
        assert circle.reason is Reason.VAULT_ANSWER_INVALID
        assert stranger.seen == []


async def test_plain_http_to_a_tls_port_says_so(server: VaultServer, clock: FakeClock) -> None:
    server.on("GET", "kv/data/app", Reply(400, b"Client sent an HTTP request to an HTTPS server.\n"))
    async with client_to(server.url, clock) as client:
        error = await failure(client, clock)
    assert error.reason is Reason.VAULT_TLS_ERROR
    assert "https" in error.message


async def test_a_namespace_with_a_control_character_never_leaves(server: VaultServer, clock: FakeClock) -> None:
    async with client_to(server.url, clock) as client:
        for _ in range(5):
            error = await failure(client, clock, VaultRequest("GET", "x", namespace="a\r\nX-Evil: 1"))
            assert isinstance(error, ConfigError)
        assert not client.breaker_open
    assert server.seen == []


async def test_what_cannot_be_sent_says_nothing_of_vault(server: VaultServer, clock: FakeClock) -> None:
    server.on("GET", "kv/data/app", SEALED, SEALED, SEALED)
    unsendable = VaultRequest("GET", "kv/data/app", token=Sensitive.of("hvs.canary\nx"))
    async with client_to(server.url, clock) as client:
        for _ in range(2):
            await failure(client, clock)
        for _ in range(5):
            error = await failure(client, clock, unsendable)
            assert (type(error), error.reason) == (UnsentError, Reason.INVALID_SPEC)
            assert "canary" not in f"{error!r}{error.__cause__!r}"
        assert not client.breaker_open
        await failure(client, clock)
        assert client.outage is not None  # what was not sent is no answer either: the three stand in a row
    assert len(server.seen) == 3


async def test_a_redirect_to_what_is_no_url_is_not_vaults(server: VaultServer, clock: FakeClock) -> None:
    server.on("GET", "kv/data/app", Reply(307, b"", {"Location": "http://[canary"}))
    async with client_to(server.url, clock) as client:
        error = await failure(client, clock)
    assert error.reason is Reason.VAULT_ANSWER_INVALID
    assert "canary" not in error.message


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(200, {"initialized": True, "sealed": False, "standby": False, "version": "1.21.0"}), (True, True, False, False, None)),
        (Reply(429, {"initialized": True, "sealed": False, "standby": True, "version": "1.21.0"}), (True, True, False, True, None)),
        (Reply(503, {"initialized": True, "sealed": True, "standby": True}), (True, True, True, True, Reason.VAULT_SEALED)),
        (Reply(501, {"initialized": False, "sealed": True, "standby": True}), (True, False, True, True, Reason.VAULT_SEALED)),
        (Reply(429, {"initialized": True, "sealed": False, "standby": True, "ha_connection_healthy": True}), (True, True, False, True, None)),
        (Reply(474, {"initialized": True, "sealed": False, "standby": True, "ha_connection_healthy": False}), (True, True, False, True, Reason.VAULT_STANDBY)),
        (Reply(530, {"initialized": True, "sealed": False, "standby": True, "removed_from_cluster": True}), (True, True, False, True, Reason.VAULT_STANDBY)),
        (Reply(200, b"<html>"), (False, False, False, False, Reason.VAULT_ANSWER_INVALID)),
        (Reply(503, b"<html>"), (False, False, False, False, Reason.VAULT_UNAVAILABLE)),
        (Drop(), (False, False, False, False, Reason.VAULT_UNAVAILABLE)),
        (Hang(), (False, False, False, False, Reason.VAULT_UNAVAILABLE)),
    ],
)  # fmt: skip
async def test_health_tells_the_states_apart_and_never_raises(
    server: VaultServer, clock: FakeClock, reply: Step, expected: tuple[bool, bool, bool, bool, Reason | None]
) -> None:
    server.on("GET", "sys/health", reply)
    async with client_to(server.url, clock, timeout=0.2) as client:
        health = await client.health()
    reason = None if health.error is None else health.error.reason
    assert (health.reachable, health.initialized, health.sealed, health.standby, reason) == expected


async def test_a_closed_client_says_so(server: VaultServer, clock: FakeClock) -> None:
    async with client_to(server.url, clock) as client:
        await client.close()
        assert "replaced" in (await failure(client, clock)).message
    assert server.seen == []


async def test_operations_are_counted_by_kind(server: VaultServer, clock: FakeClock) -> None:
    observed = Observed()
    server.on("PUT", "auth/kubernetes/login", Reply(200, {"auth": {}}))
    server.on("PUT", "auth/token/revoke-self", Reply(204))
    async with client_to(server.url, clock, observed) as client:
        await send(client, clock, VaultRequest("PUT", "auth/kubernetes/login"))
        await send(client, clock, VaultRequest("PUT", "auth/token/revoke-self"))
        await failure(client, clock)
        await client.health()
    assert observed.requests == [("login", True), ("revoke", True), ("read", True), ("health", True)]
