"""The operator's image without a container engine: the steps of the Containerfile, carried out in folders.

The base is a root of Debian's own packages in place of the image that `FROM` names. A step and a container run in a mount
namespace of their own with that folder as their root; the network is the machine's.
Invariant: a finished image is never written to: containers have it read-only, and the base is copied before it is used.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.containerfile import Config, Context, Copy, Run, Stage, parse

# What a build engine hands to a step by itself: how names are looked up, and the way to the packages.
_LENT = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs", "/etc/pip.conf")
_PASSED = ("PIP_", "SSL_CERT_", "REQUESTS_CA_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_", "https_", "no_")
BASE_ENV = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
# In a namespace of its own: the root bound to itself so that it can be made read-only, the lent files, then the program.
# TMP and what a pod mounts are in the arguments: pairs of a source and a place, ended by a `--`.
_ENTER = """\
set -eu
root=$1 mode=$2 user=$3 folder=$4; shift 4
mount --bind "$root" "$root"
while [ "$1" != -- ]; do mount --rbind "$1" "$root$2"; shift 2; done; shift
mount -t proc proc "$root/proc"
if [ "$mode" = ro ]; then mount -o remount,ro,bind "$root"; fi
exec chroot --userspec="$user" "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$folder" "$@"
"""


class StepError(RuntimeError):
    """A step of the Containerfile ended with an error; the message has its last lines."""


@dataclass(frozen=True)
class Place:
    """Where a program runs: its root and whether it may write there (rw, ro), as whom, and in which folder."""

    root: Path
    mode: str
    user: str
    folder: str


@dataclass(frozen=True)
class Image:
    """A root folder, and what a container of it starts with."""

    root: Path
    config: Config

    def command(
        self, *argv: str, mounts: Mapping[Path, str] | None = None, env: Mapping[str, str] | None = None
    ) -> list[str | Path]:
        """The command of a container that runs a program: a read-only root, the image's user and environment.

        `mounts` are folders of the machine, each with its place in the container, which must exist in the image.
        """
        place = Place(self.root, "ro", self.config.user, self.config.folder)
        return _entered(place, {Path("/dev"): "/dev", **(mounts or {})}, {**self.config.env, **(env or {})}, argv)

    def run(self, *argv: str) -> str:
        """What a program in a container prints."""
        return _done(self.command(*argv))


def build(project: Path, base: Path, folder: Path) -> Image:
    """Carry out the project's Containerfile, with `base` for every `FROM`; raise StepError with what a step said."""
    context = Context((project / ".dockerignore").read_text())
    roots: dict[str, Path] = {}
    stages = parse((project / "Containerfile").read_text(), BASE_ENV)
    for number, stage in enumerate(stages):
        root = folder / f"stage-{number}"
        shutil.copytree(base, root, symlinks=True)
        _carry_out(stage, root, project, context, roots)
        roots[stage.name or str(number)] = root
    final = folder / f"stage-{len(stages) - 1}"
    for place in ("var/run/secrets/kubernetes.io/serviceaccount", "dev", "proc", "tmp"):
        (final / place).mkdir(parents=True, exist_ok=True)  # an engine makes them where it mounts
    return Image(final, stages[-1].config)


def _carry_out(stage: Stage, root: Path, project: Path, context: Context, roots: Mapping[str, Path]) -> None:
    for step in stage.steps:
        if isinstance(step, Run):
            _run(step, root)
        else:
            source = roots[step.stage] if step.stage else project
            _copy(step, source, root, None if step.stage else context)


def _run(step: Run, root: Path) -> None:
    (root / step.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
    lent = {Path(path): path for path in _LENT if Path(path).exists()} | {Path("/dev"): "/dev"}
    for place in lent.values():
        _place(Path(place), root / place.lstrip("/"))
    passed = {name: value for name, value in os.environ.items() if name.startswith(_PASSED)}
    where = Place(root, "rw", "0:0", step.folder)
    _done(_entered(where, lent, {**step.env, **passed}, ["/bin/sh", "-c", step.line]))


def _place(source: Path, target: Path) -> None:
    """Have something to mount upon."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()


def _copy(step: Copy, source: Path, root: Path, context: Context | None) -> None:
    several = len(step.sources) > 1 or step.target.endswith("/")
    for name in step.sources:
        found = source / name.lstrip("/")
        target = root / step.target.lstrip("/")
        if found.is_dir():  # a folder's content, not the folder
            shutil.copytree(found, target, symlinks=True, dirs_exist_ok=True, ignore=_ignored(source, context))
        elif context is None or context.has(name):
            place = target / found.name if several else target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, place)
        else:
            raise StepError(f"COPY {name}: .dockerignore keeps it out of the context")


class _ignored:  # noqa: N801  what copytree calls
    def __init__(self, source: Path, context: Context | None) -> None:
        self._source, self._context = source, context

    def __call__(self, folder: str, names: list[str]) -> set[str]:
        if self._context is None:
            return set()
        within = Path(folder).relative_to(self._source)
        return {name for name in names if not self._context.has(str(within / name))}


def _entered(place: Place, lent: Mapping[Path, str], env: Mapping[str, str], argv: Sequence[str]) -> list[str | Path]:
    pairs = [part for source, target in lent.items() for part in (source, target)]
    where: list[str | Path] = [place.root, place.mode, place.user, place.folder]
    inside: list[str | Path] = ["env", "-i", *(f"{name}={value}" for name, value in env.items()), *argv]
    return ["unshare", "--mount", "sh", "-c", _ENTER, "sh", *where, *pairs, "--", *inside]


def _done(command: Sequence[str | Path]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = shlex.join(map(str, command[list(command).index("-i") + 1 :]))
        raise StepError(f"{said} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout
