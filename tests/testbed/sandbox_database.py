"""The database of the embedded sandbox, as the real bed's is used: its users are asked for under `sys/sandbox/`.

Invariant: a user that Vault makes for a role is called `<role>~…`, as on the real bed.
"""

from __future__ import annotations

import secrets

from tests.testbed.database import CONNECTION, AnyDatabase
from tests.testbed.postgres import Login


class SandboxDatabase(AnyDatabase):
    """The sandbox's database, and its engine mounted at `database/` before it."""

    def set_up(self) -> None:
        """Mount the engine; the database runs with the sandbox."""
        self.vault.write(f"sys/mounts/{self.mount}", {"type": "database"})
        self.vault.write(f"{self.mount}/config/{CONNECTION}", {"plugin_name": "sandbox", "allowed_roles": "*"})

    def _users(self) -> list[str]:
        return list(self.vault.read("sys/sandbox/users")["data"]["users"])

    def add_user(self, name: str) -> Login:
        """Make a user with a password, and no lease on it."""
        login = Login(name, secrets.token_hex(8))
        self.vault.write(f"sys/sandbox/users/{name}", {"password": login.password})
        return login

    def drop_user(self, name: str) -> None:
        """Drop a user behind Vault's back."""
        self.vault.delete(f"sys/sandbox/users/{name}")

    def accepts(self, login: Login) -> bool:
        """Whether a login works now."""
        body = {"username": login.username, "password": login.password}
        return bool(self.vault.write("sys/sandbox/login", body)["data"]["accepted"])

    def stop(self) -> None:
        """Send the database away; `start()` brings it back with its users."""
        self.vault.write("sys/sandbox/database", {"up": False})

    def start(self) -> None:
        """Bring the database back."""
        self.vault.write("sys/sandbox/database", {"up": True})
