"""Starts a program that sees the machine's files with a pod's volumes among them, at the paths that the pod says.

Run as a script: own_root.py PLAN PROGRAM [ARGUMENT...], the plan being JSON {root, folder, mounts: [[source, path,
read-only]]}. A mount namespace of its own gets a root in memory: the machine's folders are bound into it, and the
folders on the way to a volume are made anew with their entries bound one by one, so that no mount point has to be on
the machine itself. Invariant: nothing that happens here is seen outside; the program has the process id it was
started with. Whoever is not root takes a user namespace as well.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path

_NEW_MOUNTS, _NEW_USERS = 0x20000, 0x10000000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18
_KEPT = 2 | 4 | 8 | 1024 | 2048  # nosuid, nodev, noexec, noatime, nodiratime: who is not root may not drop them
_LIBC = ctypes.CDLL(None, use_errno=True)


def main(plan: str, argv: list[str]) -> None:
    """Build the root, enter it, and become the program."""
    said = json.loads(plan)
    _unshare()
    root = Path(said["root"])
    _mount("tmpfs", root, "tmpfs", 0)
    # A mount point may be reached by a link, as /var/run is: what counts is where that leads.
    mounts = sorted((os.path.realpath(path), source, read_only) for source, path, read_only in said["mounts"])
    _mirror(Path("/"), root, {Path(path) for path, _, _ in mounts})
    for path, source, read_only in mounts:
        _bind(Path(source), root / path.lstrip("/"), read_only=read_only)
    os.chroot(root)
    os.chdir(said["folder"])
    _LIBC.prctl(1, 9)  # the leash: a change of credentials takes it off
    os.execvp(argv[0], argv)


def _unshare() -> None:
    user, group = os.geteuid(), os.getegid()
    _checked(_LIBC.unshare(_NEW_MOUNTS | (0 if user == 0 else _NEW_USERS)), "unshare")
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _mount("none", Path("/"), None, _RECURSIVE | _PRIVATE)


def _mirror(here: Path, there: Path, mounts: set[Path]) -> None:
    """Show a folder's entries in another; those on the way to a mount point are mirrored in turn."""
    on_the_way = {parent for mount in mounts for parent in mount.parents}
    for entry in here.iterdir():
        shown = there / entry.name
        if entry.is_symlink():
            shown.symlink_to(entry.readlink())
        elif entry in on_the_way and entry.is_dir():
            shown.mkdir()
            _mirror(entry, shown, {mount for mount in mounts if entry in mount.parents})
        elif entry not in mounts and (entry.is_dir() or entry.is_file()):
            _bind(entry, shown, read_only=False)


def _bind(source: Path, target: Path, *, read_only: bool) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount(str(source), target, None, _BIND | _RECURSIVE)
    if read_only:
        kept = os.statvfs(target).f_flag & _KEPT
        _mount("none", target, None, _REMOUNT | _BIND | _READ_ONLY | kept)


def _mount(source: str, target: Path, kind: str | None, flags: int) -> None:
    made = _LIBC.mount(source.encode(), str(target).encode(), kind.encode() if kind else None, flags, None)
    _checked(made, f"mount {source} on {target}")


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
