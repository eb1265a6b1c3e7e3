"""An API server at the far end of a real socket: scripted answers, or a small store of Secrets.

`FakeApiServer` records every request and answers from a function; `FakeSecrets` is such a function,
with the few rules of the real server that the write protocol leans on.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from vso.core.clock import Clock, SystemClock
from vso.kube.client import KubeClient
from vso.kube.config import Credentials, NoToken, TokenSource


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: tuple[bytes, ...] | None = None
    """A streamed answer instead of a body."""
    hang: bool = False
    """Never end the answer: for streams after the chunks, otherwise before anything."""
    cut: bool = False
    """Break the connection instead of ending the answer."""


def status(code: int, reason: str, message: str = "", **details: Any) -> Reply:
    return Reply(
        code,
        {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message, "details": details},
    )


class FakeApiServer:
    """Answers on a loopback port; `script` first, then `respond`."""

    def __init__(self, respond: Callable[[Request], Reply] | None = None) -> None:
        self.requests: list[Request] = []
        self.script: deque[Reply] = deque()
        self.respond = respond
        self.url = ""
        self.in_flight = 0
        self.most_in_flight = 0
        self.release = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        seen = Request(request.method, request.path, dict(request.query), dict(request.headers), await request.read())
        self.requests.append(seen)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            reply = self.script.popleft() if self.script else self._answer(seen)
            return await self._send(request, reply)
        finally:
            self.in_flight -= 1

    def _answer(self, seen: Request) -> Reply:
        return self.respond(seen) if self.respond else status(500, "InternalError", "the script is over")

    async def _send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        transport = request.transport
        if reply.chunks is None:
            if reply.hang:
                await self.release.wait()
            if reply.cut and transport is not None:
                transport.abort()
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            return web.Response(status=reply.status, body=body, headers=dict(reply.headers))
        response = web.StreamResponse(status=reply.status)
        await response.prepare(request)
        for chunk in reply.chunks:
            await response.write(chunk)
        if reply.hang:
            await self.release.wait()
        if reply.cut and transport is not None:
            transport.abort()
        return response


@asynccontextmanager
async def serving(respond: Callable[[Request], Reply] | None = None) -> AsyncIterator[FakeApiServer]:
    server = FakeApiServer(respond)
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{tail:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        server.release.set()
        await runner.cleanup()


@asynccontextmanager
async def connected(
    server: FakeApiServer, *, clock: Clock | None = None, tokens: TokenSource | None = None, **settings: Any
) -> AsyncIterator[KubeClient]:
    credentials = Credentials(server.url, tokens or NoToken())
    async with KubeClient(credentials, clock or SystemClock(), **settings) as client:
        yield client


class FakeSecrets:
    """Secrets of one namespace, with uid, resourceVersion, immutable types, dry runs and the time of our writes."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.stored: dict[str, dict[str, Any]] = {}
        self._clock = clock or SystemClock()
        self._versions = itertools.count(100)
        self._uids = itertools.count(1)

    def put(self, name: str, *, kind: str = "Opaque", data: dict[str, str] | None = None, **metadata: Any) -> None:
        uid = metadata.pop("uid", None) or f"secret-{next(self._uids)}"
        meta = {"name": name, "namespace": "app", "uid": uid, "resourceVersion": str(next(self._versions)), **metadata}
        self.stored[name] = {"metadata": meta, "type": kind, "data": data or {}}

    def __call__(self, request: Request) -> Reply:
        assert request.method == "DELETE" or "as=PartialObjectMetadata" in request.headers["Accept"]
        name = request.path.removeprefix("/api/v1/namespaces/app/secrets").strip("/")
        if request.method == "POST":
            return self._create(request.json)
        if name not in self.stored:
            return status(404, "NotFound", kind="secrets", name=name)
        if request.method == "DELETE":
            return self._delete(name, request.json)
        changed = json.loads(json.dumps(self.stored[name]))
        if isinstance(request.json, list):
            refusal = _json_patch(changed, request.json)
            if refusal is not None:
                return refusal
        else:
            _merge(changed, request.json)
        return self._store(name, changed, dry_run=request.query.get("dryRun") == "All")

    def _create(self, body: dict[str, Any]) -> Reply:
        name = body["metadata"]["name"]
        if name in self.stored:
            return status(409, "AlreadyExists", kind="secrets", name=name)
        metadata = {key: value for key, value in body["metadata"].items() if key not in {"name", "namespace"}}
        record = self._record(body, {"metadata": {}, "data": {}})
        self.put(name, kind=body["type"], data=body["data"], managedFields=record, **metadata)
        return Reply(201, {"metadata": self.stored[name]["metadata"]})

    def _record(self, new: dict[str, Any], old: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the record of field managers: what we set, and when we last gave a field a value."""
        before, after = _given(old), _given(new)
        changed = {field for field, value in after.items() if before.get(field) != value}
        known = old["metadata"].get("managedFields") or [{}]
        if not changed:
            return list(known)
        ours = {(part, key) for part, key in after if f"f:{key}" in _part(known[0], part)} | changed
        fields: dict[str, dict[str, Any]] = {"data": {}, "labels": {}, "annotations": {}}
        for part, key in ours:
            fields[part][f"f:{key}"] = {}
        mine = {
            "f:metadata": {f"f:{part}": fields[part] for part in ("labels", "annotations")},
            "f:data": fields["data"],
        }
        time = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        return [{"manager": "vault-secrets-operator", "operation": "Update", "time": time, "fieldsV1": mine}]

    def _delete(self, name: str, options: dict[str, Any]) -> Reply:
        if options.get("preconditions", {}).get("uid") not in {None, self.stored[name]["metadata"]["uid"]}:
            return status(409, "Conflict", "Precondition failed: UID in precondition")
        del self.stored[name]
        return Reply(200, {"kind": "Status", "status": "Success"})

    def _store(self, name: str, changed: dict[str, Any], *, dry_run: bool) -> Reply:
        old = self.stored[name]
        if changed["metadata"]["uid"] != old["metadata"]["uid"]:
            return _invalid("metadata.uid", "FieldValueInvalid")
        if changed["type"] != old["type"]:
            return _invalid("type", "FieldValueInvalid")
        if old.get("immutable") and changed["data"] != old["data"]:
            return _invalid("data", "FieldValueForbidden")
        if changed["type"] == "kubernetes.io/tls" and not changed["data"].keys() >= {"tls.crt", "tls.key"}:
            return _invalid("data[tls.crt]", "FieldValueRequired", "data[tls.key]")
        if changed != old and not dry_run:
            changed["metadata"]["managedFields"] = self._record(changed, old)
            changed["metadata"]["resourceVersion"] = str(next(self._versions))
            self.stored[name] = changed
        return Reply(200, {"metadata": changed["metadata"]})


def _given(secret: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Every field of a Secret with its value."""
    meta = secret["metadata"]
    parts = {"data": secret["data"], "labels": meta.get("labels", {}), "annotations": meta.get("annotations", {})}
    return {(part, key): value for part, held in parts.items() for key, value in held.items()}


def _part(entry: dict[str, Any], part: str) -> dict[str, Any]:
    fields = entry.get("fieldsV1", {})
    found: dict[str, Any] = (fields if part == "data" else fields.get("f:metadata", {})).get(f"f:{part}", {})
    return found


def _invalid(field: str, reason: str, *more: str) -> Reply:
    causes = [{"field": name, "reason": reason, "message": 'Invalid value: "hunter2"'} for name in (field, *more)]
    return status(422, "Invalid", f'Secret "x" is invalid: {field}: "hunter2"', kind="Secret", causes=causes)


def _json_patch(target: dict[str, Any], operations: list[dict[str, Any]]) -> Reply | None:
    for operation in operations:
        steps = operation["path"].strip("/").split("/")
        *parents, last = [step.replace("~1", "/").replace("~0", "~") for step in steps]  # RFC 6901
        place = target
        for parent in parents:
            if parent not in place:
                return status(422, "Invalid", "the server rejected our request due to an error in our request")
            place = place[parent]
        if operation["op"] == "add":
            place[last] = operation["value"]
        elif place.get(last) != operation["value"]:
            return status(422, "Invalid", "the server rejected our request due to an error in our request")
    return None


def _merge(target: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            inner = target.setdefault(key, {})
            _merge(inner, value)
        else:
            target[key] = value


def once(refusal: Reply, method: str, part: str) -> Callable[[Request], Reply | None]:
    """Refuse the first request of that method whose path has the part, and no other."""
    left = [refusal]

    def refuse(request: Request) -> Reply | None:
        hit = request.method == method and part in request.path and left
        return left.pop() if hit else None

    return refuse
