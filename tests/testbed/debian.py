"""PostgreSQL as Debian packages it: the machine's own, or unpacked into the cache beside the built servers.

Invariant: nothing on the machine changes but the cache. apt keeps its lists there too, and packages are
unpacked without being installed: no service starts, no user is made, and no right of root is needed.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.cache import BuildError, cache, locked

INSTALLED = Path("/usr/lib/postgresql")
_SERVER = re.compile(r"postgresql-\d+")
# What comes with the server and is not needed to run it: the C library is the machine's, LLVM is for queries
# that run long, the rest belongs to packages that set up a system.
_NOT_NEEDED = re.compile(r"libc(6|-)|libllvm|libz3|libsem|libsepol|lib.*(perl|-common|-modules)")


@dataclass(frozen=True)
class PostgresPrograms:
    """The folder of PostgreSQL's programs, and the unpacked tree that it is in (None: it is installed)."""

    bin: Path
    tree: Path | None = None

    def below(self, tree: Path) -> PostgresPrograms:
        """The same programs in a copy of their tree."""
        return self if self.tree is None else PostgresPrograms(tree / self.bin.relative_to(self.tree), tree)

    @property
    def env(self) -> dict[str, str]:
        """What the programs need in their environment."""
        if self.tree is None:
            return {}
        folders = [*self.tree.glob("usr/lib/*-linux-gnu*"), *self.tree.glob("lib/*-linux-gnu*")]
        return {"LD_LIBRARY_PATH": ":".join(map(str, folders))}


def postgresql(installed: Path = INSTALLED) -> PostgresPrograms:
    """Return PostgreSQL's programs: the newest that the machine has, or the cache's, unpacked now if it lacks them."""
    found = [*installed.glob("*/bin/postgres")]
    if found:
        return PostgresPrograms(max(found, key=_version).parent)
    tree = cache() / f"postgresql-{_release()}"
    with locked("postgresql"):
        if not tree.exists():
            _unpack(tree)
    return _programs(tree)


def _unpack(tree: Path) -> None:
    apt = tree.with_name("apt")
    scratch = tree.with_name(f"{tree.name}.unpacking")
    for left in (apt, scratch):
        shutil.rmtree(left, ignore_errors=True)
    for folder in ("lists/partial", "cache/archives/partial", "packages"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").touch()  # nothing is installed: everything that is needed comes along
    _apt(apt, "update")
    plan = _apt(apt, "install", "--simulate", "--no-install-recommends", "postgresql")
    _apt(apt, "download", *needed(plan))
    for package in sorted((apt / "packages").glob("*.deb")):
        _run(["dpkg", "-x", package, scratch])
    programs = _programs(scratch)
    _run([programs.bin / "postgres", "--version"], env=programs.env)
    scratch.rename(tree)
    shutil.rmtree(apt)


def needed(plan: str) -> list[str]:
    """The packages of apt's plan (`Inst name (version …)`) that the server needs to run."""
    names = re.findall(r"^Inst (\S+)", plan, re.MULTILINE)
    libraries = [name for name in names if name.startswith(("lib", "zlib")) and not _NOT_NEEDED.match(name)]
    return [*libraries, *(name for name in names if _SERVER.fullmatch(name))]


def _apt(folder: Path, *args: str) -> str:
    settings = {
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",  # the cache may be where nobody else can write
    }
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    return _run(["apt-get", *options, "--quiet", *args], cwd=folder / "packages")


def _run(command: Sequence[str | Path], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise BuildError(f"PostgreSQL is not below {INSTALLED}, and unpacking Debian's fails: {error}") from error
    if done.returncode != 0:
        raise BuildError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def _programs(tree: Path) -> PostgresPrograms:
    server = next((tree / "usr/lib/postgresql").glob("*/bin/postgres"), None)
    if server is None:
        raise BuildError(f"{tree} holds no PostgreSQL")
    return PostgresPrograms(server.parent, tree)


def _version(program: Path) -> float:
    return float(program.parts[-3])


def _release() -> str:
    try:
        return platform.freedesktop_os_release()["VERSION_CODENAME"]
    except (OSError, KeyError) as error:
        raise BuildError(
            f"PostgreSQL is not below {INSTALLED}, and this is no Debian that has packages of it"
        ) from error
