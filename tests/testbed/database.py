"""Vault's database engine with a real PostgreSQL behind it: roles, the users that live, and what becomes of them.

Invariant: a user that Vault makes for a role is called `<role>~…`, so users are counted by what the database holds.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from tests.testbed.postgres import DATABASE, HOST, Login, Postgres
from tests.testbed.vault_admin import Json, VaultAdmin

MOUNT = "database"
CONNECTION = "postgres"
_CREATE = """CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"""
_RENEW = """ALTER ROLE "{{name}}" VALID UNTIL '{{expiration}}'"""
_END_SESSIONS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{name}}'"""
_DROP = 'DROP ROLE IF EXISTS "{{name}}"'
_ROTATE = """ALTER ROLE "{{name}}" WITH PASSWORD '{{password}}'"""
_USERNAME = '{{ printf "%s~%s~%s" .RoleName (random 16) (unix_time) | truncate 63 }}'


@dataclass(frozen=True)
class Statements:
    """What Vault runs for a role; the usual ones bound a user's life in the database too, and end its sessions with it."""

    creation: tuple[str, ...] = (_CREATE,)
    renew: tuple[str, ...] = (_RENEW,)
    revocation: tuple[str, ...] = (_END_SESSIONS, _DROP)


USUAL = Statements()


@dataclass(frozen=True)
class Issued:
    """A credential that Vault issued, and its lease."""

    login: Login
    lease_id: str
    seconds: int
    renewable: bool


@dataclass(frozen=True)
class Rotating:
    """The credential of a static role: when Vault rotated it last, and the seconds until it does so again."""

    login: Login
    rotated: datetime
    seconds: int


class AnyDatabase(ABC):
    """Vault's engine mounted at `database/`, and a database behind it: what every bed's has in common."""

    mount = MOUNT

    def __init__(self, vault: VaultAdmin) -> None:
        self.vault = vault

    def role(self, name: str, *, default_ttl: str = "1h", max_ttl: str = "24h", statements: Statements = USUAL) -> None:
        """Write a role whose users Vault makes and drops."""
        body = {
            "db_name": CONNECTION,
            "default_ttl": default_ttl,
            "max_ttl": max_ttl,
            "creation_statements": list(statements.creation),
            "renew_statements": list(statements.renew),
            "revocation_statements": list(statements.revocation),
        }
        self.vault.write(f"{MOUNT}/roles/{name}", body)

    def static_role(self, name: str, *, rotation_period: str = "24h", **more: object) -> None:
        """Write a static role and the user of the same name whose password it rotates (every 5 s or slower)."""
        if name not in self.users():
            self.add_user(name)
        body = {"db_name": CONNECTION, "username": name, "rotation_statements": [_ROTATE]}
        self.vault.write(f"{MOUNT}/static-roles/{name}", {**body, "rotation_period": rotation_period, **more})

    def issue(self, role: str) -> Issued:
        """Have Vault issue a credential, as root."""
        answer = self.vault.read(f"{MOUNT}/creds/{role}")
        login = _login(answer["data"])
        return Issued(login, answer["lease_id"], int(answer["lease_duration"]), bool(answer["renewable"]))

    def renew(self, lease_id: str, seconds: int = 0) -> int:
        """Have Vault renew a lease, for so many seconds if that is allowed; the seconds that it has now."""
        body: Json = {"lease_id": lease_id, "increment": seconds}
        return int(self.vault.write("sys/leases/renew", body)["lease_duration"])

    def revoke(self, lease_id: str) -> None:
        """Have Vault revoke a lease before it answers."""
        self.vault.write("sys/leases/revoke", {"lease_id": lease_id, "sync": True})

    def rotating(self, role: str) -> Rotating:
        """The credential of a static role as Vault tells it now."""
        data: Json = self.vault.read(f"{MOUNT}/static-creds/{role}")["data"]
        return Rotating(_login(data), datetime.fromisoformat(data["last_vault_rotation"]), int(data["ttl"]))

    def rotate(self, role: str) -> None:
        """Have Vault rotate a static role's password now."""
        self.vault.write(f"{MOUNT}/rotate-role/{role}")

    def leases(self, role: str) -> list[str]:
        """The leases of a role that Vault keeps."""
        prefix = f"{MOUNT}/creds/{role}"
        return [f"{prefix}/{key}" for key in self.vault.list(f"sys/leases/lookup/{prefix}")]

    def users(self, role: str | None = None) -> list[str]:
        """The users that the database has: those that were made for a role, or all."""
        return [name for name in self._users() if role is None or name.startswith(f"{role}~")]

    @abstractmethod
    def set_up(self) -> None:
        """Mount the engine before a database that runs."""

    @abstractmethod
    def _users(self) -> list[str]: ...

    @abstractmethod
    def add_user(self, name: str) -> Login:
        """Make a user with a password, and no lease on it."""

    @abstractmethod
    def drop_user(self, name: str) -> None:
        """Drop a user behind Vault's back."""

    @abstractmethod
    def accepts(self, login: Login) -> bool:
        """Whether a login works now."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the database; `start()` brings it back with its data."""

    @abstractmethod
    def start(self) -> None:
        """Start the database that was stopped."""


class Database(AnyDatabase):
    """PostgreSQL, and Vault's engine mounted at `database/` before it."""

    def __init__(self, vault: VaultAdmin, postgres: Postgres) -> None:
        super().__init__(vault)
        self.postgres = postgres

    @property
    def address(self) -> str:
        """Where the database listens."""
        return f"{HOST}:{self.postgres.port}"

    def set_up(self) -> None:
        """Start the database for the first time and mount the engine; Vault gets a superuser of its own."""
        self.postgres.initialise()
        self.postgres.start()
        vault = self.add_user("vault", "SUPERUSER")
        config = {
            "plugin_name": "postgresql-database-plugin",
            "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@{self.address}/{DATABASE}?sslmode=disable",
            "username": vault.username,
            "password": vault.password,
            "username_template": _USERNAME,
            "allowed_roles": "*",
        }
        self.vault.write(f"sys/mounts/{MOUNT}", {"type": "database"})
        self.vault.write(f"{MOUNT}/config/{CONNECTION}", config)

    def _users(self) -> list[str]:
        return [str(name) for (name,) in self.postgres.execute("SELECT rolname FROM pg_roles ORDER BY oid")]

    def add_user(self, name: str, *rights: str) -> Login:
        """Make a user with a password, and no lease on it."""
        login = Login(name, secrets.token_hex(8))
        statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} {}").format(
            sql.Identifier(name), sql.Literal(login.password), sql.SQL(" ").join(map(sql.SQL, rights))
        )
        self.postgres.execute(statement)
        return login

    def drop_user(self, name: str) -> None:
        """Drop a user behind Vault's back, its sessions with it."""
        self.postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", name)
        self.postgres.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))

    def accepts(self, login: Login) -> bool:
        """Whether a login works now."""
        try:
            self.postgres.connect(login).close()
        except psycopg.OperationalError as error:
            if not refused(error):
                raise
            return False
        return True

    def stop(self) -> None:
        """Stop the database; `start()` brings it back with its data."""
        self.postgres.stop()

    def start(self) -> None:
        """Start the database that was stopped or killed."""
        self.postgres.start()


def refused(error: psycopg.OperationalError) -> bool:
    """Whether the database knows the user and the password no more, rather than being away."""
    return "authentication failed" in str(error)


def _login(data: Json) -> Login:
    return Login(str(data["username"]), str(data["password"]))
