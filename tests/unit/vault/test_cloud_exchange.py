"""What Vault's methods for clouds answer with the wrong status, and what it means to the login."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.cloud_visit import CANARY, Accounts
from tests.fakes.vault_parts import LOGIN, client_to
from tests.fakes.vault_server import VaultServer, errors
from vso.core.errors import Reason, VsoError
from vso.vault.auth.aws import AwsWay
from vso.vault.auth.aws_credentials import OwnIdentity
from vso.vault.auth.azure import AzureWay
from vso.vault.auth.exchange import exchange
from vso.vault.auth.gcp import GcpWay
from vso.vault.way import Shown, Visit, Way

AWS, GCP, AZURE = AwsWay("app", OwnIdentity()), GcpWay("app", "team-a", "app"), AzureWay("app")
REFUSED, AWAY = Reason.VAULT_LOGIN_REFUSED, Reason.VAULT_LOGIN_UNAVAILABLE
UPSTREAM = "error making upstream request: "
KEY = 'unable to get public key for signed JWT: unable to get public key "k" for JWT subject "113": '


# The texts are those of Vault 1.21.
@pytest.mark.parametrize(
    ("way", "status", "text", "reason", "told"),
    [
        (AWS, 400, f"{UPSTREAM}error making request: POST http://sts// giving up after 1 attempt(s)", AWAY, "does not reach the cloud"),
        (AWS, 400, f"{UPSTREAM}error making request: Post http://sts: dial tcp: connection refused {CANARY}", AWAY, "auth/m"),
        (AWS, 400, f"{UPSTREAM}received error code 403 from STS: <Code>SignatureDoesNotMatch</Code>{CANARY}", REFUSED, "SignatureDoesNotMatch"),
        (AWS, 400, f"{UPSTREAM}body of GetCallerIdentity is invalid", REFUSED, "sts_endpoint"),
        (AWS, 500, "internal error", AWAY, "internal error"),
        (GCP, 400, f"{KEY}Get http://iam: dial tcp 127.0.0.1:1: connect: connection refused", AWAY, "does not reach the cloud"),
        (GCP, 400, f"{KEY}googleapi: got HTTP response code 503 with body: {CANARY}", AWAY, "does not reach the cloud"),
        (GCP, 400, f"{KEY}googleapi: got HTTP response code 404 with body: ", REFUSED, "unable to get public key"),
        (GCP, 400, 'role "app" not found', REFUSED, "there is no role 'app'"),
        (AZURE, 500, 'oidc: expected audience "api://vault" got ["x"]', REFUSED, "another resource than spec.azure.resource"),
        (AZURE, 500, "oidc: token is expired (Token Expiry: now)", REFUSED, "token is expired"),
        (AZURE, 500, "failed to verify signature: failed to verify id token signature", REFUSED, "signature"),
        (AZURE, 500, "service principal not authorized: object-1", REFUSED, "role 'app' is not bound to the identity"),
        (AZURE, 500, "groups not authorized: []", REFUSED, "role 'app' is not bound to the identity"),
        (AZURE, 500, "failed to verify signature: fetching keys oidc: get keys failed", AWAY, "fetching keys"),
        (AZURE, 500, "internal error", AWAY, "internal error"),
        (AZURE, 400, 'invalid role name "app"', REFUSED, "there is no role 'app'"),
    ],
)  # fmt: skip
async def test_a_refusal_is_told_from_somebody_who_is_away(
    server: VaultServer, way: Way, status: int, text: str, reason: Reason, told: str
) -> None:
    server.on("PUT", "auth/m/login", errors(status, text))
    async with client_to(server.url) as client:
        visit = Visit(client, replace(LOGIN, way=way, mount="m"), Accounts(), FakeClock())
        with pytest.raises(VsoError) as caught:
            await exchange(visit, Shown({"role": "app"}, "source"))
    assert caught.value.reason is reason
    assert told in caught.value.message
    assert "VaultAuth team-a/vault at auth/m" in caught.value.message
    assert CANARY not in caught.value.message
