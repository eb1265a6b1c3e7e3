"""The blocks of a page: files of YAML that say in their first line where they stand, commands, and blocks with a name.

A block with a name has `<!-- run: NAME -->` above it, and one that cannot be run `<!-- not run: WHY -->`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"# (\S+\.yaml)\n")
_MARKED = re.compile(r"^<!-- (run|not run): (.+?) -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block with what stands above it."""

    runs: bool
    name: str
    """Or the reason why nothing runs it."""
    language: str
    text: str


def marked(page: Path) -> list[Block]:
    """The blocks that say of themselves whether they are run."""
    return [
        Block(mark == "run", name, language, text) for mark, name, language, text in _MARKED.findall(page.read_text())
    ]


def block(page: Path, name: str) -> str:
    """The block of that name."""
    (text,) = [found.text for found in marked(page) if found.runs and found.name == name]
    return text


def every(page: Path) -> list[str]:
    """All blocks in whatever language; a picture has none."""
    return [text for _, text in _BLOCK.findall(page.read_text())]


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
