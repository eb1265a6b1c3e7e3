"""Events: counted, bounded, never in the way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fakes.clock import FakeClock, settle
from tests.fakes.kube_transport import FakeApiServer, Reply, Request, connected, serving, status
from vso.core.errors import VsoError
from vso.core.keys import Kind, ObjectKey
from vso.kube.client import KubeClient
from vso.kube.event_recorder import EventRecorder

KEY = ObjectKey("app", "db")


def answer(request: Request) -> Reply:
    return Reply(201 if request.method == "POST" else 200, {})


def say(recorder: EventRecorder, message: str = "written", times: int = 1, name: str = "db") -> None:
    for _ in range(times):
        recorder.record(Kind.VAULT_STATIC_SECRET, ObjectKey("app", name), "cr-1", "Normal", "SecretSynced", message)


def made(client: KubeClient, clock: FakeClock, **settings: Any) -> EventRecorder:
    return EventRecorder(client, clock, "VaultStaticSecret", instance="pod-1", **settings)


async def test_an_event_says_who_and_what() -> None:
    clock = FakeClock()
    async with serving(answer) as server, connected(server, clock=clock) as client:
        recorder = made(client, clock)
        say(recorder)
        await recorder.flush()
    (seen,) = server.requests
    body = seen.json
    assert seen.path == "/api/v1/namespaces/app/events"
    assert body["metadata"]["name"].startswith("db.")
    assert body["involvedObject"] == {
        "apiVersion": "secrets.hashicorp.com/v1beta1",
        "kind": "VaultStaticSecret",
        "namespace": "app",
        "name": "db",
        "uid": "cr-1",
    }
    assert (body["type"], body["reason"], body["message"], body["count"]) == ("Normal", "SecretSynced", "written", 1)
    assert body["firstTimestamp"] == body["lastTimestamp"] == "2026-01-01T12:00:00Z"
    assert body["source"] == {"component": "VaultStaticSecret"}
    assert body["reportingInstance"] == "pod-1"


async def test_the_same_words_are_one_event_within_ten_minutes() -> None:
    clock = FakeClock()
    async with serving(answer) as server, connected(server, clock=clock) as client:
        recorder = made(client, clock)
        for seconds in (0, 60, 600):
            await clock.advance(seconds)
            say(recorder, times=2)
            await recorder.flush()
    assert [(seen.method, seen.json["count"]) for seen in server.requests] == [("POST", 2), ("PATCH", 4), ("POST", 2)]
    assert server.requests[1].json == {"count": 4, "lastTimestamp": "2026-01-01T12:01:00Z"}
    assert server.requests[0].json["metadata"]["name"] in server.requests[1].path


async def test_an_event_that_has_gone_is_made_anew() -> None:
    clock = FakeClock()
    async with serving(answer) as server, connected(server, clock=clock) as client:
        recorder = made(client, clock)
        say(recorder)
        await recorder.flush()
        server.script.append(status(404, "NotFound"))
        say(recorder)
        await recorder.flush()
    assert [seen.method for seen in server.requests] == ["POST", "PATCH", "POST"]


async def test_what_does_not_fit_is_dropped_and_counted() -> None:
    clock = FakeClock()
    async with serving(answer) as server, connected(server, clock=clock) as client:
        recorder = made(client, clock, limit=2)
        for number in range(5):
            say(recorder, f"message {number}")
        assert recorder.statistics().waiting == 2
        await recorder.flush()
        assert recorder.statistics().dropped == 3
        assert recorder.statistics().sent == 2
    assert len(server.requests) == 2


@pytest.mark.parametrize("refusal", [status(403, "Forbidden"), status(500, "InternalError")])
async def test_a_refused_event_harms_nobody(refusal: Reply) -> None:
    clock = FakeClock()
    async with serving(lambda _: refusal) as server, connected(server, clock=clock) as client:
        recorder = made(client, clock)
        say(recorder)
        await recorder.flush()
        assert recorder.statistics().failed == 1
        assert recorder.statistics().waiting == 0


async def test_while_one_is_on_its_way_its_twin_waits_and_grows() -> None:
    clock = FakeClock()
    async with serving(answer) as server, connected(server, clock=clock) as client:
        server.script.append(Reply(201, {}, hang=True))
        recorder = made(client, clock)
        running = asyncio.create_task(recorder.run())
        say(recorder)
        await _until(server, 1)
        say(recorder, times=3)
        say(recorder, "other words")
        await _until(server, 2)
        server.release.set()
        await _until(server, 3)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert [(seen.method, seen.json["count"]) for seen in server.requests] == [("POST", 1), ("POST", 1), ("PATCH", 4)]


async def test_long_texts_and_names_are_cut() -> None:
    clock = FakeClock()
    async with serving(answer) as server, connected(server, clock=clock) as client:
        recorder = made(client, clock)
        say(recorder, "m" * 5000, name="n" * 253)
        await recorder.flush()
    body = server.requests[0].json
    assert len(body["message"]) == 1024
    assert len(body["metadata"]["name"]) == 253


async def _until(server: FakeApiServer, requests: int) -> None:
    while len(server.requests) < requests:
        await settle()


async def test_a_missing_right_is_named_once_for_each_place_and_verb() -> None:
    clock, named = FakeClock(), list[VsoError]()

    def refuse(request: Request) -> Reply:
        verb, namespace = "patch" if request.method == "PATCH" else "create", request.path.split("/")[4]
        return answer(request) if namespace == "half" and verb == "create" else forbidden(verb, namespace)

    def forbidden(verb: str, namespace: str) -> Reply:
        text = f'User "vso" cannot {verb} resource "events" in API group "" in the namespace "{namespace}"'
        return status(403, "Forbidden", text) if namespace != "app-2" else Reply(500, {})

    async with serving(refuse) as server, connected(server, clock=clock) as client:
        recorder = made(client, clock, on_refusal=named.append)
        for namespace in ("app-1", "app-1", "app-2", "half", "half", "half"):
            recorder.record(
                Kind.VAULT_STATIC_SECRET, ObjectKey(namespace, "db"), "cr-1", "Normal", "SecretSynced", "written"
            )
            await recorder.flush()
    rule = '{apiGroups: [""], resources: ["events"], verbs: ["%s"]}'
    assert [error.message.partition(": ")[2] for error in named] == [
        f"a right is missing in namespace app-1; the rule is {rule % 'create'}",
        f"a right is missing in namespace half; the rule is {rule % 'patch'}",
    ]
    assert recorder.statistics().failed == 5
