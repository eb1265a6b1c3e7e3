from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.vault_parts import LOGIN, Credentials, Observed, Tokens, client_to
from tests.fakes.vault_server import Reply, VaultServer, errors
from vso.core.errors import Reason, VsoError
from vso.vault.engines import KvRequest, KvSecret, KvType, read_kv
from vso.vault.errors import SourceDeletedError
from vso.vault.sessions import Sessions

META = {"version": 3, "created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": False}
WRONG_ENGINE = "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints"


async def read(server: VaultServer, clock: FakeClock, request: KvRequest) -> KvSecret:
    Tokens(server, clock)
    async with client_to(server.url, clock) as client:
        session = Sessions(clock, Credentials(), Observed()).session(client, LOGIN)
        return await read_kv(session, request)


@pytest.mark.parametrize(
    ("request_", "path", "query"),
    [
        (KvRequest("kv", "app/config", "kv-v2"), "kv/data/app/config", ()),
        (KvRequest("/team/kv/", "/app/config/", "kv-v2", 7), "team/kv/data/app/config", (("version", "7"),)),
        (KvRequest("kv", "app", "kv-v2", 0), "kv/data/app", ()),
        (KvRequest("kv1", "app", "kv-v1", 7), "kv1/app", ()),
    ],
)
def test_where_a_request_goes(request_: KvRequest, path: str, query: tuple[tuple[str, str], ...]) -> None:
    assert (request_.url_path(), request_.query()) == (path, query)


async def test_kv_v2_gives_fields_version_and_the_whole_answer(server: VaultServer, clock: FakeClock) -> None:
    body = b'{"request_id": "r", "data": {"data": {"n": 12345678901234567890, "f": 1.0}, "metadata": {"version": 3}}}'
    server.on("GET", "kv/data/app%20x", Reply(200, body))
    secret = await read(server, clock, KvRequest("kv", "app x", "kv-v2", 3))
    assert secret.data == {"n": "12345678901234567890", "f": "1.0"}
    assert secret.raw == {"data": secret.data, "metadata": {"version": "3"}}
    assert secret.version == "3"
    assert server.asked("kv/data/app%20x")[0].query == "version=3"
    assert repr(secret) == "KvSecret(version='3')"


async def test_kv_v1_gives_its_data(server: VaultServer, clock: FakeClock) -> None:
    server.on("GET", "kv1/app", Reply(200, {"data": {"a": "b"}, "lease_duration": 2764800}))
    secret = await read(server, clock, KvRequest("kv1", "app", "kv-v1"))
    assert (secret.data, secret.raw, secret.version) == ({"a": "b"}, {"a": "b"}, "")


@pytest.mark.parametrize(
    ("type_", "reply", "reason", "told"),
    [
        pytest.param("kv-v2", Reply(404, {"data": {"data": None, "metadata": {**META, "deletion_time": "2026"}}}), Reason.SOURCE_DELETED, "version 3 of kv/app is deleted", id="deleted"),
        pytest.param("kv-v2", Reply(404, {"data": {"data": None, "metadata": {**META, "destroyed": True}}}), Reason.SOURCE_DELETED, "version 3 of kv/app is destroyed", id="destroyed"),
        pytest.param("kv-v2", errors(404), Reason.SOURCE_NOT_FOUND, "nothing at kv/data/app", id="nothing"),
        pytest.param("kv-v2", Reply(200, {"data": {"data": None, "metadata": META}}), Reason.SOURCE_INVALID, "null", id="null"),
        pytest.param("kv-v2", Reply(200, {"data": {"data": {}, "metadata": META}}), Reason.SOURCE_INVALID, "no fields", id="empty"),
        pytest.param("kv-v2", Reply(200, {"data": {"data": ["canary"], "metadata": META}}), Reason.SOURCE_INVALID, "not an object", id="list"),
        pytest.param("kv-v2", Reply(200, {"data": {"a": "canary"}}), Reason.SOURCE_INVALID, "kv-v1", id="not-v2"),
        pytest.param("kv-v1", Reply(200, {"data": None}), Reason.SOURCE_INVALID, "not an object", id="v1-null"),
        pytest.param("kv-v1", Reply(200, {"data": {}}), Reason.SOURCE_INVALID, "no fields", id="v1-empty"),
        pytest.param("kv-v1", Reply(404, {"data": None, "warnings": [WRONG_ENGINE]}), Reason.VAULT_REQUEST_INVALID, "set type: kv-v2", id="not-v1"),
        pytest.param("kv-v1", Reply(200, {"status": "ok"}), Reason.VAULT_ANSWER_INVALID, "has no data", id="another-service"),
    ],
)  # fmt: skip
async def test_what_is_not_a_secret_is_never_returned(
    server: VaultServer, clock: FakeClock, type_: KvType, reply: Reply, reason: Reason, told: str
) -> None:
    server.on("GET", "kv/data/app" if type_ == "kv-v2" else "kv/app", reply)
    with pytest.raises(VsoError) as caught:
        await read(server, clock, KvRequest("kv", "app", type_))
    assert caught.value.reason is reason
    assert told in caught.value.message
    assert "canary" not in repr(caught.value)
    assert isinstance(caught.value, SourceDeletedError) is (reason is Reason.SOURCE_DELETED)


def test_requests_are_values() -> None:
    made: Any = {KvRequest("kv", "a", "kv-v2"), KvRequest("kv", "a", "kv-v2"), KvRequest("kv", "a", "kv-v2", 1)}
    assert len(made) == 2
