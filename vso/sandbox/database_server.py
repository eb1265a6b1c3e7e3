"""The database behind the sandbox's database engines: users with passwords, away when it is told to be.

`sys/sandbox/` is its face, for tests and the demo; no real Vault has it. Invariant: while the database is away
no user is made, changed or dropped.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from vso.core.clock import Clock
from vso.sandbox.vault_types import UNSUPPORTED_PATH, Answer, BackendError, VaultRefusalError, VaultRequest


class DatabaseError(BackendError):
    """The database is away, or does not know the user."""


@dataclass(slots=True)
class _User:
    password: str = field(repr=False)
    role: str


class DatabaseServer:
    """One database for all engines of a sandbox."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._users: dict[str, _User] = {}
        self._settlers: list[Callable[[], None]] = []
        self.up = True
        self.up_since = clock.monotonic()

    def before_a_look(self, settle: Callable[[], None]) -> None:
        """Have an engine do what has fallen due before anybody looks at the users."""
        self._settlers.append(settle)

    def create(self, name: str, password: str, role: str = "") -> None:
        """Make a user, for a role of an engine or for nobody."""
        self.ping()
        self._users[name] = _User(password, role)

    def set_password(self, name: str, password: str) -> None:
        """Change a user's password."""
        self.require(name)
        self._users[name].password = password

    def drop(self, name: str) -> None:
        """Drop a user if there is one."""
        self.ping()
        self._users.pop(name, None)

    def require(self, name: str) -> None:
        """Raise unless there is such a user."""
        self.ping()
        if name not in self._users:
            raise DatabaseError(f'ERROR: role "{name}" does not exist (SQLSTATE 42704)')

    def ping(self) -> None:
        """Raise if the database is away."""
        if not self.up:
            raise DatabaseError("failed to connect to `host=sandbox user=vault database=sandbox`: connection refused")

    def handle(self, request: VaultRequest, path: str) -> Answer:
        """Answer a request below sys/sandbox/."""
        for settle in self._settlers:
            settle()
        head, _, name = path.partition("/")
        try:
            return self._handle(request, head, name)
        except DatabaseError as error:
            raise VaultRefusalError(500, str(error)) from None

    def _handle(self, request: VaultRequest, head: str, name: str) -> Answer:
        match head, request.operation:
            case "users", "read":
                return Answer({"users": {user: about.role for user, about in self._users.items()}})
            case "users", "update" if name:
                self.create(name, str(request.body.get("password") or ""))
            case "users", "delete":
                self.require(name)
                self.drop(name)
            case "login", "update":
                return Answer({"accepted": self._accepts(str(request.body["username"]), str(request.body["password"]))})
            case "database", "update":
                self._switch(up=bool(request.body["up"]))
            case _:
                raise VaultRefusalError(404, UNSUPPORTED_PATH)
        return Answer()

    def _accepts(self, name: str, password: str) -> bool:
        self.ping()
        user = self._users.get(name)
        return user is not None and hmac.compare_digest(user.password.encode(), password.encode())

    def _switch(self, *, up: bool) -> None:
        if up and not self.up:
            self.up_since = self._clock.monotonic()
        self.up = up
