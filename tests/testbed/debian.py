"""Servers as Debian packages them: the machine's own, or unpacked into the cache beside the built ones.

Invariant: nothing on the machine changes but the cache. apt keeps its lists there too, and packages are
unpacked without being installed: no service starts, no user is made, and no right of root is needed.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.cache import BuildError, cache, locked

_PLANNED = re.compile(r"^Inst (\S+)", re.MULTILINE)
_PYTHON_ROOT = ("python3", "python3-pip", "libstdc++6", "dash", "coreutils", "base-files", "netbase")
# What comes with a server and is not needed to run it: the C library is the machine's, LLVM is for queries
# that run long, the rest belongs to packages that set up a system.
_NOT_NEEDED = re.compile(r"libc(6|-)|libllvm|libz3|libsem|libsepol|lib.*(perl|-common|-modules)")


@dataclass(frozen=True)
class Package:
    """What apt is asked for, which package of its plan has the server, where that is, and how it says its version."""

    name: str
    holder: re.Pattern[str]
    program: str
    version: str

    def find(self, root: Path) -> Path | None:
        """Return the newest server below a root."""
        found = [*root.glob(self.program)]
        return max(
            found,
            key=lambda path: [int(number) for number in re.findall(r"\d+", str(path.relative_to(root)))],
            default=None,
        )


@dataclass(frozen=True)
class Programs:
    """The folder of a package's programs, and the unpacked tree that it is in (None: it is installed)."""

    bin: Path
    tree: Path | None = None

    def below(self, tree: Path) -> Programs:
        """The same programs in a copy of their tree."""
        return self if self.tree is None else Programs(tree / self.bin.relative_to(self.tree), tree)

    @property
    def root(self) -> Path:
        """Where the paths of the package begin."""
        return self.tree or Path("/")

    @property
    def env(self) -> dict[str, str]:
        """What the programs need in their environment."""
        if self.tree is None:
            return {}
        folders = [*self.tree.glob("usr/lib/*-linux-gnu*"), *self.tree.glob("lib/*-linux-gnu*")]
        return {"LD_LIBRARY_PATH": ":".join(map(str, folders))}


POSTGRESQL = Package(
    "postgresql", re.compile(r"postgresql-\d+"), "usr/lib/postgresql/*/bin/postgres", version="--version"
)
SLAPD = Package("slapd", re.compile("slapd"), "usr/sbin/slapd", version="-VVV")
ALL = (POSTGRESQL, SLAPD)


def programs(package: Package, installed: Path = Path("/")) -> Programs:
    """Return a package's programs: the newest that the machine has, or the cache's, unpacked now if it lacks them."""
    found = package.find(installed)
    if found is not None:
        return Programs(found.parent)
    tree = cache() / f"{package.name}-{_release(package.program)}"
    with locked("debian"):  # one for all: they share apt's folder
        if not tree.exists():
            _unpack(package, tree)
    return _unpacked(package, tree)


def python_root() -> Path:
    """Return the root of a system that is Python, pip and a shell, as slim as a base image: unpacked now if need be.

    It differs from an installed one where packages set themselves up: there are no users and no certificates.
    """
    tree = cache() / f"python-root-{_release('usr/bin/python3')}"
    with locked("debian"):
        if not tree.exists():
            with _unpacking(_PYTHON_ROOT, _PLANNED.findall, tree) as scratch:
                _set_up(scratch)
    return tree


def _set_up(root: Path) -> None:
    # pip may install into it, and it is called as a base image calls it.
    for mark in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        mark.unlink()
    (root / "usr/local/bin").mkdir(parents=True, exist_ok=True)
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    _run(["chroot", root, "/usr/local/bin/python", "-m", "pip", "--version"])


def _unpack(package: Package, tree: Path) -> None:
    with _unpacking([package.name], lambda plan: needed(plan, package), tree) as scratch:
        found = _unpacked(package, scratch)
        _run([found.bin / Path(package.program).name, package.version], env=found.env)


@contextlib.contextmanager
def _unpacking(names: Sequence[str], wanted: Callable[[str], list[str]], tree: Path) -> Iterator[Path]:
    """Unpack what is wanted of apt's plan for some packages; it becomes the tree when the caller is content with it."""
    apt = tree.with_name("apt")
    scratch = tree.with_name(f"{tree.name}.unpacking")
    for left in (apt, scratch):
        shutil.rmtree(left, ignore_errors=True)
    for folder in ("lists/partial", "cache/archives/partial", "packages"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").touch()  # nothing is installed: everything that is needed comes along
    _apt(apt, "update")
    plan = _apt(apt, "install", "--simulate", "--no-install-recommends", *names)
    _apt(apt, "download", *wanted(plan))
    for archive in sorted((apt / "packages").glob("*.deb")):
        _run(["dpkg", "-x", archive, scratch])
    yield scratch
    scratch.rename(tree)
    shutil.rmtree(apt)


def needed(plan: str, package: Package) -> list[str]:
    """The packages of apt's plan (`Inst name (version …)`) that a package's server needs to run."""
    names = _PLANNED.findall(plan)
    libraries = [name for name in names if name.startswith(("lib", "zlib")) and not _NOT_NEEDED.match(name)]
    return [*libraries, *(name for name in names if package.holder.fullmatch(name))]


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
        raise BuildError(f"unpacking Debian's packages fails: {error}") from error
    if done.returncode != 0:
        raise BuildError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def _unpacked(package: Package, tree: Path) -> Programs:
    server = package.find(tree)
    if server is None:
        raise BuildError(f"{tree} holds no {package.program}")
    return Programs(server.parent, tree)


def _release(program: str) -> str:
    try:
        return platform.freedesktop_os_release()["VERSION_CODENAME"]
    except (OSError, KeyError) as error:
        raise BuildError(f"/{program} is not there, and this is no Debian that has packages of it") from error
