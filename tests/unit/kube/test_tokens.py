"""TokenRequest: what is asked for, and what comes back."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from tests.fakes.kube_transport import Reply, connected, serving, status
from vso.core.errors import ConfigError, Reason, TransientError
from vso.kube.tokens import TokenMinter, account_uid


def jwt(claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.sig"


TOKEN = jwt({"kubernetes.io": {"serviceaccount": {"name": "web", "uid": "sa-1"}}})
ANSWER = Reply(201, {"status": {"token": TOKEN, "expirationTimestamp": "2026-01-01T12:10:00Z"}})


async def test_a_token_is_minted() -> None:
    async with serving() as server, connected(server) as client:
        server.script.extend([ANSWER, ANSWER])
        minted = await TokenMinter(client).mint("app", "web", ("vault",), 600)
        await TokenMinter(client).mint("app", "web", (), 900)
    assert (minted.jwt.reveal_text(), minted.uid) == (TOKEN, "sa-1")
    assert minted.expires == datetime(2026, 1, 1, 12, 10, tzinfo=UTC)
    assert TOKEN not in repr(minted)
    first, second = server.requests
    assert first.path == "/api/v1/namespaces/app/serviceaccounts/web/token"
    assert first.json["spec"] == {"audiences": ["vault"], "expirationSeconds": 600}
    assert second.json["spec"] == {"expirationSeconds": 900}


async def test_a_missing_service_account_is_named() -> None:
    async with serving() as server, connected(server) as client:
        server.script.append(status(404, "NotFound", kind="serviceaccounts"))
        with pytest.raises(ConfigError, match="app/web") as caught:
            await TokenMinter(client).mint("app", "web", (), 600)
    assert caught.value.reason is Reason.SERVICE_ACCOUNT_NOT_FOUND


async def test_an_answer_without_a_token_is_tried_again() -> None:
    async with serving() as server, connected(server) as client:
        server.script.append(Reply(201, {"status": {}}))
        with pytest.raises(TransientError):
            await TokenMinter(client).mint("app", "web", (), 600)


@pytest.mark.parametrize("token", ["", "no-jwt", "a.b.c", "a.!!!.c", jwt([]), jwt({"sub": "x"})])
def test_a_token_that_names_no_account(token: str) -> None:
    assert account_uid(token) == ""
