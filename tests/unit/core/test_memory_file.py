"""Content under a file name."""

from __future__ import annotations

from pathlib import Path

import pytest

from vso.core.memory_file import as_file


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_the_content_is_there_inside_the_block_on_no_disk_and_gone_afterwards() -> None:
    before = open_files()
    with as_file(b"a key", "label") as name:
        assert Path(name).read_bytes() == b"a key"
        assert Path(name).readlink() == Path("/memfd:label (deleted)")
    assert open_files() == before
    assert not Path(name).exists()


def test_it_goes_when_the_block_fails_too() -> None:
    before = open_files()
    with pytest.raises(ValueError, match="no good"), as_file(b"a key", "label"):
        raise ValueError("no good")
    assert open_files() == before
