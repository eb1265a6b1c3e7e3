"""Reading audit logs: one entry per request, counted from a mark, whatever lines it leaves."""

from __future__ import annotations

from pathlib import Path

import orjson

from tests.testbed.audits import kube_log, vault_log


def event(identity: str, stage: str, verb: str = "get", code: int = 200) -> dict[str, object]:
    return {
        "kind": "Event",
        "auditID": identity,
        "stage": stage,
        "verb": verb,
        "requestURI": "/api/v1/namespaces/a/secrets?watch=true&limit=500",
        "user": {"username": "system:serviceaccount:vso-system:vault-secrets-operator"},
        "userAgent": "vso",
        "objectRef": {"resource": "secrets", "namespace": "a"},
        "responseStatus": {"code": code},
        "requestReceivedTimestamp": "2026-01-02T03:04:05.678901Z",
    }


def append(path: Path, *entries: dict[str, object], ending: bytes = b"\n") -> None:
    with path.open("ab") as log:
        for entry in entries:
            log.write(orjson.dumps(entry) + ending)


def test_a_watch_counts_once_and_where_it_began(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = kube_log(path)
    append(path, event("w", "ResponseStarted", "watch"))
    mark = log.mark()
    append(path, event("w", "ResponseComplete", "watch"), event("g", "ResponseComplete"))
    assert [(call.verb, call.stage) for call in log.calls()] == [
        ("watch", "ResponseComplete"),
        ("get", "ResponseComplete"),
    ]
    assert [call.verb for call in log.calls(mark)] == ["get"]
    assert log.calls()[0].query == {"watch": "true", "limit": "500"}


def test_a_request_is_forbidden_for_want_of_a_right_alone(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    decision = "authorization.k8s.io/decision"
    refused = {**event("r", "ResponseComplete", code=403), "annotations": {decision: "forbid"}}
    by_quota = {**event("q", "ResponseComplete", code=403), "annotations": {decision: "allow"}}
    append(path, refused, by_quota, event("n", "ResponseComplete"))
    assert [(call.code, call.forbidden) for call in kube_log(path).calls()] == [(403, True), (403, False), (200, False)]


def test_a_half_written_line_waits_for_its_rest(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = kube_log(path)
    assert log.calls() == []
    append(path, event("a", "ResponseComplete"), event("b", "ResponseComplete"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    assert len(log.calls()) == 1
    path.write_bytes(whole)
    assert len(log.calls()) == 2


def test_a_vault_request_and_its_answer_are_one_call(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    request = {"id": "1", "operation": "read", "path": "kv/data/x", "mount_point": "kv/", "namespace": {"id": "root"}}
    auth = {"display_name": "kubernetes-a-app"}
    asked: dict[str, object] = {
        "type": "request",
        "time": "2026-01-02T03:04:05.678901234Z",
        "auth": auth,
        "request": request,
    }
    append(path, asked, {**asked, "type": "response", "error": "1 error occurred: permission denied"})
    (call,) = vault_log(path).calls()
    assert (call.operation, call.path, call.display_name, call.type, call.ok) == (
        "read",
        "kv/data/x",
        "kubernetes-a-app",
        "response",
        False,
    )
