"""A folder as kubelet mounts a Secret or a projected volume into a pod.

Invariant: whoever reads sees all files of one state. The files are links through `..data`, which is a link itself
and is swapped in one step; the folder of the state before is removed right after.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path


class Mounted:
    """One volume."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._states = itertools.count(1)

    def show(self, files: Mapping[str, str]) -> None:
        """Swap what the volume holds."""
        data = self.folder / "..data"
        before = data.resolve() if data.is_symlink() else None
        state = self.folder / f"..state-{next(self._states)}"
        state.mkdir()
        for name, content in files.items():
            (state / name).write_text(content)
            link = self.folder / name
            if not link.is_symlink():
                link.symlink_to(Path("..data") / name)
        fresh = self.folder / "..data_tmp"
        fresh.symlink_to(state.name)
        fresh.replace(data)
        if before is not None:
            shutil.rmtree(before)
