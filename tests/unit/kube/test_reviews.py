"""What the API server is asked about a caller, and which of its answers counts as a yes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.kube_transport import Reply, connected, serving, status
from vso.core.errors import TransientError, VsoError
from vso.core.sensitive import Sensitive
from vso.kube.reviews import Caller, Reviewer

TOKEN = Sensitive.of("canary.of.a.token")
USER = {
    "username": "system:serviceaccount:m:p",
    "uid": "u-1",
    "groups": ["system:serviceaccounts"],
    "extra": {"k": ["v"]},
}
CALLER = Caller("p", {"user": "p", "groups": ["g"]})


def answered(**said: Any) -> Reply:
    return Reply(201, {"kind": "TokenReview", "spec": {"token": TOKEN.reveal_text()}, "status": said})


@pytest.mark.parametrize(
    ("reply", "known"),
    [
        pytest.param(answered(authenticated=True, user=USER), True, id="known"),
        pytest.param(answered(authenticated=False, user=USER), False, id="not-known"),
        pytest.param(answered(user=USER, error="[invalid bearer token]"), False, id="an-error"),
        pytest.param(answered(authenticated="true", user=USER), False, id="not-a-plain-yes"),
        pytest.param(answered(authenticated=True), False, id="nobody-in-particular"),
        pytest.param(answered(authenticated=True, user={"username": ""}), False, id="without-a-name"),
        pytest.param(Reply(201, {"kind": "TokenReview"}), False, id="without-a-status"),
    ],
)
async def test_whose_token_it_is(reply: Reply, known: bool) -> None:
    async with serving() as server, connected(server) as client:
        server.script.append(reply)
        caller = await Reviewer(client).caller(TOKEN)
    (asked,) = server.requests
    assert (asked.method, asked.path) == ("POST", "/apis/authentication.k8s.io/v1/tokenreviews")
    assert asked.json["spec"] == {"token": "canary.of.a.token"}
    assert (caller is not None) is known
    if caller is not None:
        assert caller.info == {
            "user": USER["username"],
            "uid": "u-1",
            "groups": ["system:serviceaccounts"],
            "extra": {"k": ["v"]},
        }


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        pytest.param({"allowed": True}, True, id="yes"),
        pytest.param({"allowed": False, "reason": "no rule"}, False, id="no"),
        pytest.param({"allowed": True, "denied": True}, False, id="denied-wins"),
        pytest.param({"allowed": 1}, False, id="not-a-plain-yes"),
        pytest.param({}, False, id="nothing"),
    ],
)
async def test_what_the_caller_may_do(said: dict[str, Any], allowed: bool) -> None:
    async with serving() as server, connected(server) as client:
        server.script.append(Reply(201, {"kind": "SubjectAccessReview", "status": said}))
        assert await Reviewer(client).may_get(CALLER, "/metrics") is allowed
    (asked,) = server.requests
    assert asked.path == "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    assert asked.json["spec"] == {**CALLER.info, "nonResourceAttributes": {"path": "/metrics", "verb": "get"}}


async def test_a_connection_that_breaks_is_tried_once_more_and_no_oftener() -> None:
    async with serving() as server, connected(server) as client:
        server.script.extend([Reply(cut=True), answered(authenticated=True, user=USER)])
        assert await Reviewer(client).caller(TOKEN) is not None
        server.script.extend([Reply(cut=True), Reply(cut=True)])
        with pytest.raises(TransientError):
            await Reviewer(client).caller(TOKEN)
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        pytest.param(
            status(403, "Forbidden", 'User "x" cannot create resource "tokenreviews"'), 'verbs: ["create"]', id="rule"
        ),
        pytest.param(status(422, "Invalid", "canary.of.a.token is invalid"), "rejected", id="refused"),
        pytest.param(status(429, "TooManyRequests", "canary.of.a.token"), "answer 429", id="throttled"),
        pytest.param(Reply(201, b"canary.of.a.token"), "tokenreviews", id="no-json"),
    ],
)
async def test_a_failure_names_what_is_missing_and_never_the_token(reply: Reply, told: str) -> None:
    async with serving() as server, connected(server) as client:
        server.script.append(reply)
        with pytest.raises(VsoError) as caught:
            await Reviewer(client).caller(TOKEN)
    assert told in str(caught.value)
    assert "canary" not in str(caught.value)
