"""A PostgreSQL server on the loopback: its processes, its data, and its clients' logins.

Invariant: it forgets nothing over stop, kill and start, and leaves nothing behind after `remove()`. It refuses to
run as root, so root runs it as `nobody`, in a folder that `nobody` can reach.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg.rows import TupleRow

from tests.testbed.debian import POSTGRESQL, Programs, programs
from tests.testbed.process import Command, Exit, Process, ProcessError, free_port

HOST = "127.0.0.1"
DATABASE = "postgres"
_UNPRIVILEGED = "nobody"
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "16MB",
    "password_encryption": "md5",  # a login costs a hundredth of what SCRAM costs, and tests log in all the time
    "log_min_error_statement": "panic",  # statements of Vault hold passwords
    "log_checkpoints": "off",
    "timezone": "GMT",
    "log_timezone": "GMT",
    "jit": "off",
    "autovacuum": "off",
    "fsync": "off",  # but commits are synchronous, so that a killed server has all that was answered
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


@dataclass(frozen=True)
class Login:
    """A user of the database."""

    username: str
    password: str = field(repr=False)


class Postgres:
    """One server; `admin` is its superuser."""

    def __init__(self, log: Path, found: Programs | None = None) -> None:
        self.port = free_port()
        self.admin = Login("admin", secrets.token_hex(8))
        self._user = _UNPRIVILEGED if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="vso-testbed-postgres-"))
        self._programs = self._reachable(found or programs(POSTGRESQL))
        self.process = Process(self._command(log))

    def initialise(self) -> None:
        """Make the data folder."""
        password = self._folder / "password"
        password.write_text(self.admin.password)
        if self._user is not None:
            for path in (self._folder, password):
                shutil.chown(path, self._user)
        options = ["--auth=md5", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        who = [f"--username={self.admin.username}", f"--pwfile={password}"]
        done = subprocess.run(
            [self._programs.bin / "initdb", f"--pgdata={self._data}", *options, *who],
            cwd=self._folder,
            env=self._env,
            user=self._user,
            extra_groups=[] if self._user else None,
            capture_output=True,
            text=True,
            check=False,
        )
        password.unlink()
        if done.returncode != 0:
            raise ProcessError(f"initdb ended with {done.returncode}:\n{done.stderr[-2000:]}")

    def start(self) -> None:
        """Start it, on its port and its data, and return when it takes logins."""
        self.process.start()
        self.process.wait_ready(self._ready)

    def stop(self, grace: float = 10) -> Exit:
        """Stop it in good order; its clients are thrown out."""
        return self.process.stop(grace)

    def kill(self) -> Exit:
        """Kill it as a crash does."""
        return self.process.kill()

    def remove(self) -> None:
        """Stop it if it runs and remove its data."""
        if self.process.running:
            self.stop()
        shutil.rmtree(self._folder)

    def connect(self, login: Login | None = None) -> psycopg.Connection[TupleRow]:
        """Log in, as administrator unless said otherwise; whoever asked closes the connection."""
        who = login or self.admin
        return psycopg.connect(
            host=HOST,
            port=self.port,
            dbname=DATABASE,
            user=who.username,
            password=who.password,
            sslmode="disable",
            gssencmode="disable",
            connect_timeout=5,
            autocommit=True,
        )

    def execute(self, statement: LiteralString | psycopg.sql.Composed, *values: Any) -> list[TupleRow]:
        """Run a statement as administrator and return its rows."""
        with self.connect() as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def _reachable(self, found: Programs) -> Programs:
        """The programs where the unprivileged user can run them: the cache may be where it cannot look."""
        if found.tree is None or self._user is None:
            return found
        copy = shutil.copytree(found.tree, self._folder / "programs", symlinks=True)
        return found.below(copy)

    def _ready(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _command(self, log: Path) -> Command:
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        args: list[str | Path] = [self._programs.bin / "postgres", "-D", self._data, "-p", str(self.port), *settings]
        # SIGINT: SIGTERM would wait until the last client has gone.
        return Command("postgres", args, log, cwd=self._folder, env=self._env, user=self._user, end=signal.SIGINT)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _env(self) -> dict[str, str]:
        return {"PATH": os.defpath, "HOME": str(self._folder), "TZ": "GMT", **self._programs.env}
