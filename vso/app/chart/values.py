"""values.yaml, read as its own documentation.

Invariant: a key is either a section, whose keys are documented one by one, or a value with a comment of its own;
anything else is an error, so that nothing can be set that is not documented.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

_TAG = re.compile(r"@(type|enum|items|form|pattern|harmless|when|inert)\b ?(.*)")


class ValuesError(ValueError):
    """values.yaml says something that cannot be documented; one line tells where and what."""


@dataclass(frozen=True)
class Value:
    """What can be set under one path."""

    path: tuple[str, ...]
    default: Any
    text: str
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The path as it is given to --set."""
        return ".".join(self.path)

    @property
    def inert(self) -> str:
        """Why it changes nothing, or an empty text when it does."""
        return self.tags.get("inert", "")

    def words(self, tag: str) -> tuple[str, ...]:
        """The words after a tag; a pair of quotes is the empty one."""
        return tuple("" if word == '""' else word for word in self.tags.get(tag, "").split())


@dataclass(frozen=True)
class Section:
    """A map whose keys are documented one by one."""

    path: tuple[str, ...]
    entries: Mapping[str, Section | Value]

    def values(self) -> Iterator[Value]:
        """Everything that can be set below, in the file's order."""
        for entry in self.entries.values():
            if isinstance(entry, Section):
                yield from entry.values()
            else:
                yield entry


def parse(text: str) -> Section:
    """Return what values.yaml offers."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ValuesError("values.yaml is not a map")
    return _section((), root, text.splitlines())


def _section(path: tuple[str, ...], node: yaml.MappingNode, lines: list[str]) -> Section:
    entries: dict[str, Section | Value] = {}
    for key, value in node.value:
        here = (*path, str(key.value))
        comment = _comment(key, lines)
        if isinstance(value, yaml.MappingNode) and _documents(value, lines):
            entries[here[-1]] = _section(here, value, lines)
        elif not comment:
            raise ValuesError(f"{'.'.join(here)}: a comment is missing")
        else:
            entries[here[-1]] = _value(here, value, comment)
    return Section(path, entries)


def _documents(node: yaml.MappingNode, lines: list[str]) -> bool:
    return any(_comment(key, lines) or _inside(value, lines) for key, value in node.value)


def _inside(node: yaml.Node, lines: list[str]) -> bool:
    return isinstance(node, yaml.MappingNode) and _documents(node, lines)


def _comment(key: yaml.Node, lines: list[str]) -> list[str]:
    """The comment right above a key, at the key's own depth."""
    begin = "#".rjust(key.start_mark.column + 1)
    found: list[str] = []
    for line in reversed(lines[: key.start_mark.line]):
        if not line.startswith(begin):
            break
        found.insert(0, line[len(begin) :].strip())
    return found


def _value(path: tuple[str, ...], node: yaml.Node, comment: list[str]) -> Value:
    tags: dict[str, str] = {}
    text: list[str] = []
    for line in comment:
        tag = _TAG.fullmatch(line)
        if tag is None:
            text.append(line)
        else:
            tags[tag[1]] = tag[2]
    default = yaml.SafeLoader("").construct_object(node, deep=True)
    if not text and "inert" not in tags:
        raise ValuesError(f"{'.'.join(path)}: no word says what it is")
    if default is None and "type" not in tags:
        raise ValuesError(f"{'.'.join(path)}: null tells no type, @type has to")
    return Value(path, default, " ".join(text), tags)
