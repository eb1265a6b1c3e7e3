from __future__ import annotations

import base64

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.vault_parts import LOGIN, Credentials, Observed, Tokens, client_to
from tests.fakes.vault_server import Reply, VaultServer
from vso.core.errors import Reason, TransientError
from vso.core.sensitive import Sensitive
from vso.vault import transit
from vso.vault.sessions import Sessions


async def test_bytes_go_in_as_base64_and_come_back(server: VaultServer, clock: FakeClock) -> None:
    Tokens(server, clock)
    coded = base64.b64encode(b"hvs.canary").decode()
    server.on("PUT", "transit/encrypt/k", Reply(200, {"data": {"ciphertext": "vault:v1:x"}}))
    server.on("PUT", "transit/decrypt/k", Reply(200, {"data": {"plaintext": coded}}))
    async with client_to(server.url, clock) as client:
        session = Sessions(clock, Credentials(), Observed()).session(client, LOGIN)
        assert await transit.encrypt(session, "transit", "k", Sensitive.of("hvs.canary")) == "vault:v1:x"
        assert (await transit.decrypt(session, "transit", "k", "vault:v1:x")).reveal() == b"hvs.canary"
    assert server.asked("transit/encrypt/k")[0].body == {"name": "k", "plaintext": coded}
    assert server.asked("transit/decrypt/k")[0].body == {"name": "k", "ciphertext": "vault:v1:x"}


@pytest.mark.parametrize("data", [None, {}, {"plaintext": ""}, {"plaintext": 1}, {"plaintext": "%%%canary"}])
async def test_an_answer_without_the_bytes_is_not_vaults(server: VaultServer, clock: FakeClock, data: object) -> None:
    Tokens(server, clock)
    server.on("PUT", "transit/decrypt/k", Reply(200, {"data": data, "request_id": "r"}))
    async with client_to(server.url, clock) as client:
        session = Sessions(clock, Credentials(), Observed()).session(client, LOGIN)
        with pytest.raises(TransientError) as caught:
            await transit.decrypt(session, "transit", "k", "vault:v1:x")
    assert caught.value.reason is Reason.VAULT_ANSWER_INVALID
    assert "canary" not in caught.value.message
