"""A directory of users, OpenLDAP's slapd, on the loopback.

Invariant: it keeps its port over stop and start, and its people over everything; what it holds is written while it
is down, since the testbed has no client of LDAP. Nothing is left behind after `remove()`.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.testbed.debian import SLAPD, Programs, programs
from tests.testbed.process import Command, Exit, Process, ProcessError, free_port

HOST = "127.0.0.1"
BASE = "dc=example,dc=org"
PEOPLE = f"ou=people,{BASE}"
GROUPS = f"ou=groups,{BASE}"
_CONFIG = """\
include {root}/etc/ldap/schema/core.schema
include {root}/etc/ldap/schema/cosine.schema
include {root}/etc/ldap/schema/inetorgperson.schema
modulepath {root}/usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
database mdb
suffix "{base}"
rootdn "cn=admin,{base}"
rootpw {password}
directory {data}
dbnosync
maxsize 16777216
access to attrs=userPassword by anonymous auth by * none
access to * by users read
"""
_TREE = f"""\
dn: {BASE}
objectClass: dcObject
objectClass: organization
o: Example

dn: {PEOPLE}
objectClass: organizationalUnit

dn: {GROUPS}
objectClass: organizationalUnit
"""
_PERSON = """
dn: uid={name},{people}
objectClass: inetOrgPerson
cn: {name}
sn: {name}
userPassword: {password}
"""


class Directory:
    """One slapd; whoever asks who somebody is has to be somebody, and only the password's owner can prove it."""

    def __init__(self, folder: Path, found: Programs | None = None) -> None:
        self.port = free_port()
        self._folder = folder
        self._programs = found or programs(SLAPD)
        self._people: dict[str, str] = {}
        self._groups: dict[str, tuple[str, ...]] = {}
        (folder / "data").mkdir(parents=True)
        self._write_private(
            "slapd.conf",
            _CONFIG.format(
                root=str(self._programs.root).rstrip("/"),
                folder=folder,
                data=folder / "data",
                base=BASE,
                password=secrets.token_hex(8),
            ),
        )
        args: list[str | Path] = [self._slapd, "-d", "0", "-h", self.url, "-f", folder / "slapd.conf"]
        self.process = Process(Command("slapd", args, folder / "slapd.log", cwd=folder, env=self._env))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"ldap://{HOST}:{self.port}"

    def holds(self, people: Mapping[str, str], groups: Mapping[str, tuple[str, ...]] | None = None) -> None:
        """Add people, or change their passwords, and groups of them; it is down for a moment if it runs."""
        self._people.update(people)
        self._groups.update(groups or {})
        up = self.process.running
        if up:
            self.stop()
        self._fill()
        if up:
            self.start()

    def start(self) -> None:
        """Start it and return when it listens."""
        self.process.start()
        self.process.wait_ready(self._listens)

    def stop(self) -> Exit:
        """Stop it; its people are there when it starts again."""
        return self.process.stop()

    def remove(self) -> None:
        """Stop it if it runs and remove what it holds."""
        if self.process.running:
            self.stop()
        shutil.rmtree(self._folder)

    def _fill(self) -> None:
        shutil.rmtree(self._folder / "data")
        (self._folder / "data").mkdir()
        self._write_private("entries.ldif", self._ldif())
        done = subprocess.run(
            [self._slapd, "-T", "add", "-f", self._folder / "slapd.conf", "-l", self._folder / "entries.ldif"],
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ProcessError(f"slapadd ended with {done.returncode}:\n{done.stderr[-2000:]}")

    def _ldif(self) -> str:
        people = [_PERSON.format(name=name, people=PEOPLE, password=word) for name, word in self._people.items()]
        groups = [
            "\n".join(
                [
                    f"\ndn: cn={name},{GROUPS}",
                    "objectClass: groupOfNames",
                    *(f"member: uid={member},{PEOPLE}" for member in members),
                    "",
                ]
            )
            for name, members in self._groups.items()
        ]
        return "".join([_TREE, *people, *groups])

    def _write_private(self, name: str, text: str) -> None:
        path = self._folder / name
        path.touch(mode=0o600)
        path.write_text(text)

    def _listens(self) -> bool:
        socket.create_connection((HOST, self.port), timeout=1).close()
        return True

    @property
    def _slapd(self) -> Path:
        return self._programs.bin / "slapd"

    @property
    def _env(self) -> dict[str, str]:
        return {"PATH": os.defpath, "HOME": str(self._folder), **self._programs.env}
