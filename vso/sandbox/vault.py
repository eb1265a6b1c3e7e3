"""Vault's core and HTTP face: seal, route, token, policy, engine, audit.

Invariant: every request but health, seal-status, init and unseal leaves a request line and a response
line in the audit log, before its answer goes out; a sealed Vault answers nothing else.
"""

from __future__ import annotations

import hmac
import json
import secrets
import uuid
from collections.abc import Mapping
from typing import Literal

from aiohttp import web

from vso.core.clock import Clock
from vso.sandbox.audit import AuditLog
from vso.sandbox.leases import Leases
from vso.sandbox.literals import dumps, loads
from vso.sandbox.objects import JsonObject
from vso.sandbox.policies import ROOT
from vso.sandbox.token_api import handle_token
from vso.sandbox.vault_audit import VaultAudit
from vso.sandbox.vault_kubernetes import Review
from vso.sandbox.vault_system import System
from vso.sandbox.vault_tokens import Grant, Token, TokenStore
from vso.sandbox.vault_types import (
    INVALID_TOKEN,
    PERMISSION_DENIED,
    Answer,
    InvalidRequestError,
    VaultRefusalError,
    VaultRequest,
    seconds,
)
from vso.sandbox.wrapping import Wrappings

VERSION = "1.21.0"
Role = Literal["active", "standby", "performance-standby", "dr-secondary", "uninitialized"]
_OPERATIONS = {"PUT": "update", "POST": "update", "DELETE": "delete", "LIST": "list", "GET": "read", "PATCH": "patch"}
_UNWRAP = "sys/wrapping/unwrap"
_SUDO = ("sys/seal", "sys/leases/lookup/", "sys/leases/revoke-prefix/", "sys/sandbox/", "auth/token/accessors/")
_HEALTH: dict[Role, int] = {
    "active": 200, "standby": 429, "dr-secondary": 472, "performance-standby": 473, "uninitialized": 501,
}  # fmt: skip


class Vault:
    """One Vault node with everything in memory; sealing keeps what it holds."""

    def __init__(self, clock: Clock, audit: AuditLog, review: Review, *, root_token: str = "root") -> None:
        self._clock = clock
        self.tokens = TokenStore(clock)
        self.leases = Leases(clock, self.tokens)
        self.system = System(clock, review, self.leases)
        self._wrappings = Wrappings(clock, self.tokens)
        self._audit = VaultAudit(audit, clock, self.system)
        self.tokens.issue(Grant((ROOT,), "root", "auth/token/root", renewable=False), root_token)
        self.unseal_key = secrets.token_hex(32)
        self.sealed = False
        self.role: Role = "active"

    def seal(self) -> None:
        """Answer nothing but that it is sealed, from now on."""
        self.sealed = True

    def unseal(self, key: str) -> None:
        """Answer again, if the key is right."""
        if not hmac.compare_digest(key.encode(), self.unseal_key.encode()):
            raise VaultRefusalError(400, "failed to decrypt encrypted stored keys: message authentication failed")
        self.sealed = False

    def application(self) -> web.Application:
        """Return the application to serve."""
        app = web.Application(client_max_size=32 << 20)
        app.router.add_route("*", "/v1/{path:.*}", self.handle)
        return app

    async def handle(self, http: web.Request) -> web.Response:
        """Answer one HTTP request."""
        try:
            request = _parse(http, await http.read())
            unaudited = self._unauthenticated(http, request)
            if unaudited is not None:
                return unaudited
            answer = self._wrappings.wrap(request, self._audited(request, http.remote or ""))
            return _frame(request, answer, self.system.kind(request.path)[1])
        except VaultRefusalError as refusal:
            return _json({"errors": list(refusal.errors)}, refusal.status)

    def _unauthenticated(self, http: web.Request, request: VaultRequest) -> web.Response | None:
        match request.path:
            case "sys/health":
                return self._health(http.query)
            case "sys/seal-status":
                return _json(self._seal_status())
            case "sys/init" if request.operation == "read":
                return _json({"initialized": self.role != "uninitialized"})
            case "sys/unseal":
                if not request.body.get("reset"):
                    self.unseal(str(request.body.get("key") or ""))
                return _json(self._seal_status())
            case _:
                return None

    def _health(self, query: Mapping[str, str]) -> web.Response:
        code = 503 if self.sealed else _HEALTH[self.role]
        if code == 429 and query.get("standbyok") in ("", "true"):
            code = 200
        names = {200: "activecode", 429: "standbycode", 472: "drsecondarycode", 473: "performancestandbycode"}
        override = query.get(names.get(code, "sealedcode" if self.sealed else "uninitcode"), "")
        body = {
            "initialized": self.role != "uninitialized",
            "sealed": self.sealed or self.role == "uninitialized",
            "standby": self.sealed or self.role != "active",
            "performance_standby": self.role == "performance-standby",
            "replication_performance_mode": "disabled",
            "replication_dr_mode": "secondary" if self.role == "dr-secondary" else "disabled",
            "server_time_utc": int(self._clock.now().timestamp()),
            "version": VERSION,
            "enterprise": False,
            "cluster_name": "sandbox",
        }
        return _json(body, int(override) if override.isdigit() else code)

    def _seal_status(self) -> JsonObject:
        shares = {"type": "shamir", "t": 1, "n": 1, "progress": 0, "nonce": ""}
        state = {"initialized": True, "sealed": self.sealed, "version": VERSION, "storage_type": "inmem"}
        return state | shares

    def _audited(self, request: VaultRequest, remote: str) -> Answer:
        if self.sealed:
            raise VaultRefusalError(503, "Vault is sealed")
        self.leases.sweep()
        token = self.tokens.find(request.token) if request.token else None
        operation = request.operation if self._login_mount(request) else self._operation(request)
        entry = self._audit.entry(request, operation, token, remote)
        error = self._refusal(request, token)
        if error is None and token is not None:
            self.tokens.spend(token)
        self._audit.write("request", entry, error)
        answer = Answer()
        if error is None:
            try:
                answer = self._dispatch(request, token)
            except VaultRefusalError as refusal:
                error = refusal
        login = self._login_mount(request) is not None
        if login and answer.auth is not None and (issued := self.tokens.find(answer.auth["client_token"])) is not None:
            entry |= {"auth": self._audit.about(issued)}
        self._audit.write("response", entry, error, answer.lease_id)
        if error is not None:
            raise error
        return answer

    def _refusal(self, request: VaultRequest, token: Token | None) -> VaultRefusalError | None:
        """Return why the request may not go on, if it may not; logins need no token."""
        if self._login_mount(request) is not None:
            return None
        if token is None and request.path == _UNWRAP:
            return InvalidRequestError("wrapping token is not valid or does not exist")
        if token is None:
            return VaultRefusalError(403, INVALID_TOKEN if request.token else "permission denied")
        found = self.system.policies.capabilities(token.grant.policies, request.path)
        if request.operation == "list":
            found |= self.system.policies.capabilities(token.grant.policies, request.path.rstrip("/"))
        wanted = self._operation(request)
        needed = {wanted, "sudo"} if request.path.startswith(_SUDO) else {wanted}
        if ROOT in found or (needed <= found and "deny" not in found):
            return None
        return VaultRefusalError(403, PERMISSION_DENIED)

    def _operation(self, request: VaultRequest) -> str:
        """Tell a create from an update where the path's backend can."""
        mount, backend = self.system.backend(request.path)
        if request.operation == "update" and backend is not None and not backend.exists(request.path[len(mount) :]):
            return "create"
        return request.operation

    def _login_mount(self, request: VaultRequest) -> str | None:
        path = request.path.removeprefix("auth/")
        mount = path.removesuffix("login")
        is_login = request.path.startswith("auth/") and mount in self.system.auths and path.endswith("/login")
        return mount if is_login and request.operation == "update" else None

    def _dispatch(self, request: VaultRequest, token: Token | None) -> Answer:
        login = self._login_mount(request)
        if login is not None:
            return Answer(auth=self.tokens.auth(self.tokens.issue(self.system.auths[login].login(request))))
        if token is None:
            raise VaultRefusalError(403, PERMISSION_DENIED)
        path = request.path
        if path == "sys/seal":
            self.seal()
            return Answer()
        if path == _UNWRAP:
            return self._wrappings.open(request)
        if path.startswith("sys/"):
            return self.system.handle(request, path.removeprefix("sys/"), token)
        if path.startswith("auth/token/"):
            return handle_token(self.tokens, request, path.removeprefix("auth/token/"), token)
        mount, backend = self.system.backend(path)
        if backend is None:
            raise VaultRefusalError(404, f'no handler for route "{path}". route entry not found.')
        answer = backend.handle(request, path[len(mount) :])
        return answer if answer.made is None else self.leases.grant(path, answer, answer.made, token)


def _parse(http: web.Request, raw: bytes) -> VaultRequest:
    operation = _OPERATIONS.get(http.method)
    if operation is None:
        raise VaultRefusalError(405)
    try:
        body = loads(raw) if raw and operation in ("update", "patch") else {}
    except json.JSONDecodeError:
        raise VaultRefusalError(400, "failed to parse JSON input: invalid character") from None
    if not isinstance(body, dict):
        raise VaultRefusalError(400, "error parsing JSON")
    if operation == "read" and http.query.get("list") == "true":
        operation = "list"
    header = http.headers.get("X-Vault-Token") or http.headers.get("Authorization", "").removeprefix("Bearer ")
    path = http.match_info["path"]
    path = path.rstrip("/") + ("/" if operation == "list" else "")
    wrap_ttl = seconds(http.headers.get("X-Vault-Wrap-TTL"))
    return VaultRequest(str(uuid.uuid4()), operation, path, header, body, http.query, wrap_ttl)


def _frame(request: VaultRequest, answer: Answer, mount_type: str) -> web.Response:
    if (
        answer.data is None
        and answer.auth is None
        and not answer.warnings
        and not (answer.lease_id or answer.wrap_info)
    ):
        return web.Response(status=204)
    body = {
        "request_id": request.id,
        "lease_id": answer.lease_id,
        "renewable": bool(answer.lease_id),
        "lease_duration": answer.lease_duration,
        "data": answer.data,
        "wrap_info": answer.wrap_info,
        "warnings": list(answer.warnings) or None,
        "auth": answer.auth,
        "mount_type": mount_type if answer.status == 200 and not request.path.endswith("/login") else "",
    }
    return _json(body, answer.status)


def _json(body: JsonObject, status: int = 200) -> web.Response:
    text = dumps(body) + "\n"
    headers = {"Cache-Control": "no-store"}
    return web.Response(text=text, status=status, content_type="application/json", headers=headers)
