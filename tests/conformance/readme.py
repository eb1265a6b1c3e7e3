"""The blocks of a README: files of YAML that say in their first line where they stand, and commands."""

from __future__ import annotations

import re
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"# (\S+\.yaml)\n")


def blocks(readme: Path, language: str) -> list[str]:
    """The blocks in a language."""
    return [text for found, text in _BLOCK.findall(readme.read_text()) if found == language]


def files(readme: Path) -> dict[str, str]:
    """The blocks of YAML by the path that each names; every one must name one."""
    found = {}
    for text in blocks(readme, "yaml"):
        named = _NAMED.match(text)
        assert named, f"a block that names no file: {text}"
        found[named[1]] = text
    return found


def commands(readme: Path) -> list[str]:
    """The commands, in order."""
    lines = "".join(blocks(readme, "console")).splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
