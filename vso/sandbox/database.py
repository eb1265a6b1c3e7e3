"""Vault's database secrets engine: users made for a lease, and users whose passwords rotate.

Invariant: it knows neither tokens nor leases; what it makes for a role it hands on with the means to renew and to
revoke it. A user that it makes is called `<role>~<random>~<time>`.
"""

from __future__ import annotations

import contextlib
import secrets
import string
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase

from vso.core.clock import Clock
from vso.sandbox.database_server import DatabaseError, DatabaseServer
from vso.sandbox.engines import NOT_FOUND, listing
from vso.sandbox.objects import JsonObject, timestamp
from vso.sandbox.vault_types import (
    UNSUPPORTED_OPERATION,
    UNSUPPORTED_PATH,
    Answer,
    Made,
    VaultRefusalError,
    VaultRequest,
    seconds,
    words,
)

ROTATION_LAG = 2.0
"""Seconds that a static role stays due: Vault looks for due roles every few seconds, with ttl 0 meanwhile."""
_LETTERS = string.ascii_letters + string.digits
_LISTS = ("creation_statements", "renew_statements", "revocation_statements", "rollback_statements")


@dataclass(slots=True)
class _StaticRole:
    username: str
    connection: str
    period: float
    statements: list[str]
    rotated: float
    password: str = field(repr=False)


class Database:
    """Connections, roles and static roles at one mount."""

    kind = "database"
    version = ""

    def __init__(self, clock: Clock, server: DatabaseServer) -> None:
        self._clock = clock
        self._origin = clock.now() - timedelta(seconds=clock.monotonic())
        self._server = server
        self._connections: dict[str, JsonObject] = {}
        self._roles: dict[str, JsonObject] = {}
        self._static: dict[str, _StaticRole] = {}
        server.before_a_look(self._rotate_due)

    def exists(self, path: str) -> bool:
        """Tell whether a write there is an update; only what is stored can be created."""
        head, _, name = path.partition("/")
        stored: dict[str, Collection[str]] = {
            "config": self._connections,
            "roles": self._roles,
            "static-roles": self._static,
        }
        return name in stored[head] if head in stored else True

    def handle(self, request: VaultRequest, path: str) -> Answer:
        """Answer a request below the mount."""
        head, _, name = path.partition("/")
        self._rotate_due()
        try:
            match head:
                case "config":
                    return self._config(request, name)
                case "roles":
                    return self._role(request, name)
                case "static-roles":
                    return self._static_role(request, name)
                case "creds" | "static-creds" | "rotate-role" if name:
                    return self._credential(request, head, name)
        except DatabaseError as error:
            raise _failure(str(error)) from None
        raise VaultRefusalError(404, UNSUPPORTED_PATH)

    def _config(self, request: VaultRequest, name: str) -> Answer:
        match request.operation:
            case "list":
                return listing(list(self._connections), "")
            case "read":
                return Answer(_found(self._connections, name))
            case "delete":
                self._connections.pop(name, None)
            case _:
                about = self._connections.get(name, {"allowed_roles": []}) | dict(request.body)
                about.pop("password", None)
                self._connections[name] = about | {"allowed_roles": words(about["allowed_roles"])}
        return Answer()

    def _role(self, request: VaultRequest, name: str) -> Answer:
        match request.operation:
            case "list":
                return listing(list(self._roles), "")
            case "read":
                return Answer(_found(self._roles, name))
            case "delete":
                self._roles.pop(name, None)
            case _:
                role = {"credential_type": "password"} | self._roles.get(name, {}) | dict(request.body)
                if not role.get("db_name"):
                    raise VaultRefusalError(400, "database name is required")
                role |= {key: int(seconds(role.get(key))) for key in ("default_ttl", "max_ttl")}
                self._roles[name] = role | {key: _statements(role.get(key)) for key in _LISTS}
        return Answer()

    def _credential(self, request: VaultRequest, head: str, name: str) -> Answer:
        match head, request.operation:
            case "creds", "read":
                return self._issue(name)
            case "static-creds", "read":
                return self._static_credential(name)
            case "rotate-role", "update":
                self._rotate(self._find(name, "no static role found for role name"), self._clock.monotonic())
                return Answer()
            case _:
                raise VaultRefusalError(405, UNSUPPORTED_OPERATION)

    def _issue(self, name: str) -> Answer:
        role = self._roles.get(name)
        if role is None:
            raise VaultRefusalError(400, f"unknown role: {name}")
        self._check_connection(role["db_name"], name)
        username = f"{name}~{_random(16)}~{int(self._clock.now().timestamp())}"[:63]
        data = {"username": username, "password": _random(20)}
        server = self._server
        server.create(username, data["password"], name)
        made = Made(
            float(role["default_ttl"]),
            float(role["max_ttl"]),
            renew=lambda: server.require(username),
            revoke=lambda: server.drop(username),
        )
        return Answer(data, made=made)

    def _check_connection(self, connection: str, role: str) -> None:
        about = self._connections.get(connection)
        if about is None:
            raise _failure(f'failed to find entry for connection with name: "{connection}"')
        if not any(fnmatchcase(role, allowed) for allowed in about["allowed_roles"]):
            raise _failure(f'"{role}" is not an allowed role')

    def _static_role(self, request: VaultRequest, name: str) -> Answer:
        match request.operation:
            case "list":
                return listing(list(self._static), "")
            case "read":
                role = self._static.get(name)
                if role is None:
                    raise NOT_FOUND
                about = {"credential_type": "password", "db_name": role.connection, "username": role.username}
                return Answer(about | {"rotation_statements": role.statements} | self._rotation(role))
            case "delete":
                self._static.pop(name, None)
            case _:
                self._write_static(name, dict(request.body))
        return Answer()

    def _write_static(self, name: str, body: JsonObject) -> None:
        old = self._static.get(name)
        username, period = str(body.get("username") or ""), seconds(body.get("rotation_period"))
        if old is not None and username != old.username:
            raise VaultRefusalError(400, "cannot update static account username")
        if not period and old is None:
            text = "one of rotation_schedule or rotation_period must be provided to create a static account"
            raise VaultRefusalError(400, text)
        if period and period < 5:
            raise VaultRefusalError(400, "rotation_period must be 5 seconds or more")
        if old is not None:
            old.period = period or old.period
            return
        self._check_connection(str(body.get("db_name") or ""), name)
        statements = _statements(body.get("rotation_statements"))
        role = _StaticRole(username, str(body["db_name"]), period, statements, self._clock.monotonic(), "")
        try:
            self._rotate(role, role.rotated)
        except DatabaseError as error:
            raise _failure(f"error setting credentials: {error}") from None
        self._static[name] = role

    def _static_credential(self, name: str) -> Answer:
        role = self._find(name, f"unknown role: {name}")
        left = max(0.0, role.rotated + role.period - self._clock.monotonic())
        data = {"username": role.username, "password": role.password, "ttl": round(left)}
        return Answer(data | self._rotation(role))

    def _rotation(self, role: _StaticRole) -> JsonObject:
        moment = timestamp(self._origin + timedelta(seconds=role.rotated), micro=True)
        return {"last_vault_rotation": moment, "rotation_period": int(role.period)}

    def _find(self, name: str, missing: str) -> _StaticRole:
        role = self._static.get(name)
        if role is None:
            raise VaultRefusalError(400, missing)
        return role

    def _rotate(self, role: _StaticRole, moment: float) -> None:
        password = _random(20)
        self._server.set_password(role.username, password)
        role.password, role.rotated = password, moment

    def _rotate_due(self) -> None:
        """Rotate what has fallen due: as often as it would have been, had somebody looked all the time."""
        now = self._clock.monotonic()
        for role in self._static.values():
            first = max(role.rotated + role.period + ROTATION_LAG, self._server.up_since)
            if not self._server.up or now < first:
                continue
            cycle = role.period + ROTATION_LAG
            with contextlib.suppress(DatabaseError):  # its user was dropped: it stays due
                self._rotate(role, first + (now - first) // cycle * cycle)


def _found(stored: dict[str, JsonObject], name: str) -> JsonObject:
    if name not in stored:
        raise NOT_FOUND
    return stored[name]


def _statements(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [str(part) for part in value] if isinstance(value, list) else []


def _failure(text: str) -> VaultRefusalError:
    return VaultRefusalError(500, f"1 error occurred:\n\t* {text}\n\n")


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))
