"""The API server's HTTP face: authenticate, authorise, act, audit.

Invariant: every request that names a resource leaves exactly one ResponseComplete line in the audit
log, written before its answer goes out (a watch: when it ends).
"""

from __future__ import annotations

import functools
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import orjson
from aiohttp import web

from vso.api.crds import crd
from vso.core.clock import Clock
from vso.core.keys import Kind
from vso.sandbox import discovery, protobuf
from vso.sandbox.audit import AuditLog
from vso.sandbox.identities import Identities, TokenError
from vso.sandbox.objects import Json, JsonObject, meta, timestamp
from vso.sandbox.patches import PatchError, json_patch, merge, strategic
from vso.sandbox.rbac import ADMIN_ROLES, MASTERS, Authorizer, User, refusal
from vso.sandbox.requests import Form, Target, form, options, resolve
from vso.sandbox.resources import CLUSTER_ROLES, CRDS, NAMESPACES, Registry, Resource
from vso.sandbox.rest import Rest, Written
from vso.sandbox.reviews import Reviews
from vso.sandbox.status import ApiError, bad_request, details, forbidden, no_such_path
from vso.sandbox.storage import Storage
from vso.sandbox.tables import partial, table
from vso.sandbox.watching import Reader, view

NAMESPACES_AT_START = ("default", "kube-system", "kube-public")
_PUBLIC = ("/healthz", "/livez", "/readyz", "/version")
_ANONYMOUS = User("system:anonymous")


@dataclass(slots=True)
class Exchange:
    """One request on its way through, as far as it is understood."""

    request: web.Request
    received: datetime
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    user: User = _ANONYMOUS
    target: Target | None = None
    body: Json = None
    forbidden: bool = False


class ApiServer:
    """The storage, its verbs and the HTTP in front of them."""

    def __init__(self, clock: Clock, rng: random.Random, audit: AuditLog, *, window: int = 1000) -> None:
        self._clock = clock
        self._audit = audit
        self.storage = Storage(window)
        self.registry = Registry()
        self.rest = Rest(self.storage, self.registry, clock, rng)
        self.identities = Identities(self.storage, clock)
        self._authorizer = Authorizer(self.storage)
        self.reviews = Reviews(self.identities, self._authorizer)
        self._reader = Reader(self.storage, clock)
        self._seed()

    def application(self) -> web.Application:
        """Return the application to serve."""
        app = web.Application(client_max_size=4 << 20)
        app.router.add_route("*", "/{path:.*}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        exchange = Exchange(request, self._clock.now())
        try:
            await self._understand(exchange)
            if exchange.target is not None and exchange.target.verb == "watch":
                return await self._watch(exchange, exchange.target)
            response = self._act(exchange)
        except ApiError as error:
            response = _json(error.body(), error.code)
        self._record(exchange, response.status)
        return response

    def _seed(self) -> None:
        for name in NAMESPACES_AT_START:
            self.rest.create(NAMESPACES, "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for name, rules in ADMIN_ROLES.items():
            role = {"apiVersion": CLUSTER_ROLES.api_version, "kind": "ClusterRole", "metadata": {"name": name}}
            self.rest.create(CLUSTER_ROLES, "", role | {"rules": rules})
        for definition in _definitions():
            self.rest.create(CRDS, "", definition)

    async def _understand(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.path in _PUBLIC:
            return
        try:
            exchange.target = resolve(self.registry, request.method, request.path, request.query)
        finally:  # an unknown path is no excuse for an unknown caller
            exchange.user = self._authenticate(request)
        if exchange.target is not None and not self._authorizer.allowed(exchange.user, exchange.target.access):
            exchange.forbidden = True
            why = refusal(exchange.user, exchange.target.access)
            raise forbidden(exchange.target.resource, exchange.target.name, why)
        exchange.body = await _read_body(request)

    def _authenticate(self, request: web.Request) -> User:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            if scheme.lower() == "bearer":
                user = self.identities.authenticate(token.strip())
                wanted = request.headers.get("Impersonate-User")
                return self.identities.impersonate(user, wanted) if wanted else user
        except TokenError:
            pass
        raise ApiError(401, "Unauthorized", "Unauthorized")

    def _act(self, exchange: Exchange) -> web.Response:
        request, target = exchange.request, exchange.target
        if target is None:
            return self._beside(exchange)
        if target.resource.review:
            return _json(self.reviews.answer(target.resource, _object(exchange.body), exchange.user), 201)
        wanted = form(request.headers.get("Accept", ""))
        match target.verb:
            case "list":
                seen = view(target.resource, target.namespace, request.query, wanted)
                return _json(self._reader.page(seen, request.query))
            case "get":
                found = self.rest.get(target.resource, target.ref.namespace, target.name)
                return self._show(target.resource, Written(found), wanted)
            case "create" if target.subresource == "token":
                account = self.rest.get(target.resource, target.namespace, target.name)
                return _json(self.reviews.token_request(account, _object(exchange.body)), 201)
            case "create" if not target.name:
                asked = options(request.query, "", request.headers.get("User-Agent", ""))
                written = self.rest.create(target.resource, target.ref.namespace, _object(exchange.body), asked)
                return self._show(target.resource, written, wanted, 201)
            case "update" | "patch":
                return self._show(target.resource, self._write(exchange, target), wanted)
            case "delete" | "deletecollection":
                return self._delete(exchange, target, wanted)
            case _:
                text = "the server does not allow this method on the requested resource"
                raise ApiError(405, "MethodNotAllowed", text)

    def _write(self, exchange: Exchange, target: Target) -> Written:
        agent = exchange.request.headers.get("User-Agent", "")
        asked = options(exchange.request.query, target.subresource, agent)
        if target.verb == "update":
            return self.rest.update(target.resource, target.ref, _object(exchange.body), asked)
        change = _patch(target.resource, exchange.request.content_type, exchange.body)
        return self.rest.patch(target.resource, target.ref, change, asked)

    def _delete(self, exchange: Exchange, target: Target, wanted: Form) -> web.Response:
        body, query = exchange.body or {}, exchange.request.query
        dry_run = bool(query.get("dryRun") or body.get("dryRun"))
        policy = query.get("propagationPolicy")
        body = body | {"propagationPolicy": policy} if policy else body
        if target.verb == "deletecollection":
            found = self._reader.page(view(target.resource, target.namespace, query, "object"), {})
            for obj in found["items"]:
                ref = target.ref._replace(namespace=meta(obj).get("namespace", ""), name=meta(obj)["name"])
                self.rest.delete(target.resource, ref, body, dry_run=dry_run)
            return _json(found)
        uid = meta(self.rest.get(target.resource, target.ref.namespace, target.name))["uid"]
        kept = self.rest.delete(target.resource, target.ref, body, dry_run=dry_run)
        if kept is not None:
            return self._show(target.resource, Written(kept), wanted)
        about = details(target.resource, target.name, uid=uid)
        return _json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": about})

    def _beside(self, exchange: Exchange) -> web.Response:
        path = exchange.request.path
        if path in _PUBLIC[:3]:
            return web.Response(text="ok")
        if path == "/sandbox/compact" and MASTERS in exchange.user.groups:
            return _json({"resourceVersion": str(self.storage.compact())})
        found = discovery.answer(self.registry, path) if exchange.request.method == "GET" else None
        if found is None:
            raise no_such_path()
        return _json(found)

    def _show(self, resource: Resource, written: Written, wanted: Form, code: int = 200) -> web.Response:
        obj = written.object
        if wanted == "table":
            obj = table(resource, [obj], self._clock.now())
        response = _json(partial(obj) if wanted == "partial" else obj, code)
        for warning in written.warnings:
            quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
            response.headers.add("Warning", f'299 - "{quoted}"')
        return response

    async def _watch(self, exchange: Exchange, target: Target) -> web.StreamResponse:
        request = exchange.request
        seen = view(target.resource, target.namespace, request.query, form(request.headers.get("Accept", "")))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        self._record(exchange, 200, "ResponseStarted")
        try:
            async for line in self._reader.watch(seen, request.query):
                await response.write(line)
            await response.write_eof()
        except ConnectionResetError:  # the client has hung up: the usual end of a watch
            pass
        finally:
            self._record(exchange, 200)
        return response

    def _record(self, exchange: Exchange, code: int, stage: str = "ResponseComplete") -> None:
        request, target, user = exchange.request, exchange.target, exchange.user
        if target is None and request.path in _PUBLIC:
            return
        verb = target.verb if target else request.method.lower()
        entry: JsonObject = {"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata"}
        entry |= {"auditID": exchange.id, "stage": stage, "requestURI": request.path_qs, "verb": verb}
        entry |= {"user": {"username": user.name, "groups": list(user.groups)}, "sourceIPs": ["127.0.0.1"]}
        entry["userAgent"] = request.headers.get("User-Agent", "")
        if target is not None:
            body_name = meta(exchange.body).get("name", "") if isinstance(exchange.body, dict) else ""
            entry["objectRef"] = target.reference(body_name)
        entry |= {"responseStatus": {"metadata": {}, "code": code}}
        entry["annotations"] = {"authorization.k8s.io/decision": "forbid" if exchange.forbidden else "allow"}
        entry["requestReceivedTimestamp"] = timestamp(exchange.received, micro=True)
        entry["stageTimestamp"] = timestamp(self._clock.now(), micro=True)
        self._audit.write(entry)


@functools.cache
def _definitions() -> tuple[JsonObject, ...]:
    """Return the ten kinds' definitions; making them takes longer than all the rest of a start."""
    return tuple(crd(kind) for kind in Kind)


def _json(obj: JsonObject, code: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(obj), status=code, content_type="application/json")


async def _read_body(request: web.Request) -> Json:
    raw = await request.read()
    if not raw:
        return None
    if request.content_type == protobuf.CONTENT_TYPE:
        if (found := protobuf.decode(raw)) is None:
            raise _unsupported()
        return found
    if "Content-Type" in request.headers and not request.content_type.endswith("json"):
        raise _unsupported()
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise bad_request("the body of the request is not JSON") from None


def _object(body: Json) -> JsonObject:
    if not isinstance(body, dict):
        raise bad_request("the body of the request must be an object")
    return body


def _unsupported() -> ApiError:
    accepted = "application/json-patch+json, application/merge-patch+json"
    text = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return ApiError(415, "UnsupportedMediaType", text)


def _patch(resource: Resource, content_type: str, body: Json) -> Callable[[JsonObject], JsonObject]:
    match content_type:
        case "application/json-patch+json" if isinstance(body, list):
            return lambda old: _fitting(old, body)
        case "application/merge-patch+json" if isinstance(body, dict):
            return lambda old: dict(merge(old, body))
        case "application/strategic-merge-patch+json" if isinstance(body, dict) and not resource.custom:
            return lambda old: dict(strategic(old, body))
        case "application/json-patch+json" | "application/merge-patch+json":
            raise bad_request("error decoding patch: it has the wrong shape")
        case _:
            raise _unsupported()


def _fitting(old: JsonObject, operations: list[JsonObject]) -> JsonObject:
    try:
        return dict(json_patch(old, operations))
    except PatchError:
        text = "the server rejected our request due to an error in our request"
        raise ApiError(422, "Invalid", text, {}) from None
