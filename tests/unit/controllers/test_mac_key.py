from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.fakes.kube_transport import Reply, connected, serving, status
from vso.controllers.mac_key import LENGTH, NAME, load_mac_key
from vso.core.errors import Reason, TerminalError

KEY = b"0123456789abcdef"
MISSING = status(404, "NotFound", kind="secrets", name=NAME)


def secret(key: bytes) -> Reply:
    return Reply(200, {"data": {"key": base64.b64encode(key).decode()}})


async def test_a_key_that_is_there_is_used() -> None:
    async with serving() as api, connected(api) as kube:
        api.script.append(secret(KEY))
        assert (await load_mac_key(kube, "vso-system")).reveal() == KEY
        assert [(seen.method, seen.path) for seen in api.requests] == [
            ("GET", f"/api/v1/namespaces/vso-system/secrets/{NAME}")
        ]


async def test_a_missing_key_is_made() -> None:
    async with serving() as api, connected(api) as kube:
        api.script.extend([MISSING, Reply(201, {"metadata": {}})])
        made = await load_mac_key(kube, "vso-system")
        body = api.requests[1].json
        assert base64.b64decode(body["data"]["key"]) == made.reveal()
        assert len(made) == LENGTH
        assert body["immutable"] is True
        assert body["metadata"]["labels"]["app.kubernetes.io/component"] == "client-cache-storage-verification"
        assert "as=PartialObjectMetadata" in api.requests[1].headers["Accept"]


async def test_of_two_operators_that_race_the_first_one_wins() -> None:
    async with serving() as api, connected(api) as kube:
        api.script.extend([MISSING, status(409, "AlreadyExists"), secret(KEY)])
        assert (await load_mac_key(kube, "vso-system")).reveal() == KEY


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"data": {"key": base64.b64encode(b"short").decode()}}, id="short"),
        pytest.param({"data": {"key": base64.b64encode(b"x" * 17).decode()}}, id="long"),
        pytest.param({"data": {"key": "%%%"}}, id="not-base64"),
        pytest.param({"data": {}}, id="no-key"),
        pytest.param({"data": None}, id="null-data"),
        pytest.param({}, id="no-data"),
    ],
)
async def test_a_key_of_another_length_is_never_replaced(body: dict[str, Any]) -> None:
    async with serving() as api, connected(api) as kube:
        api.script.append(Reply(200, body))
        with pytest.raises(TerminalError) as caught:
            await load_mac_key(kube, "vso-system")
        assert caught.value.reason is Reason.INVALID_SPEC
        assert f"vso-system/{NAME}" in caught.value.message
        assert len(api.requests) == 1
