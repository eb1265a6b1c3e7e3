"""A folder as kubelet mounts a Secret or a projected volume into a pod.

Invariant: whoever reads sees all files of one state. The files are links through `..data`, which is a link itself
and is swapped in one step; the folder of the state before is removed right after, with the links to files that are
no more.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePath


class Mounted:
    """One volume."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._states = itertools.count(1)

    def show(self, files: Mapping[str, str | bytes]) -> None:
        """Swap what the volume holds."""
        data = self.folder / "..data"
        before = data.resolve() if data.is_symlink() else None
        state = self.folder / f"..state-{next(self._states)}"
        state.mkdir()
        for name, content in files.items():
            file = state / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        fresh = self.folder / "..data_tmp"
        fresh.symlink_to(state.name)
        fresh.replace(data)
        self._link({PurePath(name).parts[0] for name in files})
        if before is not None:
            shutil.rmtree(before)

    def _link(self, names: set[str]) -> None:
        for link in self.folder.iterdir():
            if not link.name.startswith("..") and link.name not in names:
                link.unlink()
        for name in names:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(Path("..data") / name)
