"""A Containerfile, read as far as this project's goes: stages, their instructions, and what stays out of the context.

Invariant: pure text to data; an instruction, a flag or a pattern that is not understood is an Unsupported, never skipped.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

_INSTRUCTION = re.compile(r"([A-Z]+)\s+(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


class Unsupported(Exception):  # noqa: N818  a verdict, not an accident
    """The Containerfile asks for something that is not done here."""


@dataclass(frozen=True)
class Copy:
    """`COPY`: from the context, or from the root of an earlier stage."""

    sources: tuple[str, ...]
    target: str
    stage: str = ""


@dataclass(frozen=True)
class Run:
    """`RUN`: a line for the shell, in a folder and with the environment so far."""

    line: str
    folder: str
    env: Mapping[str, str]


@dataclass(frozen=True)
class Config:
    """What a container of the image starts with."""

    env: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0:0"
    entrypoint: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()


@dataclass(frozen=True)
class Stage:
    """From `FROM` to the next: its base, its name, what is done, and the configuration at its end."""

    base: str
    name: str
    steps: tuple[Copy | Run, ...] = ()
    config: Config = Config()


def parse(text: str, base_env: Mapping[str, str]) -> list[Stage]:
    """Return the stages; `base_env` is the environment that the base image brings."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for word, rest in _instructions(text):
        if word == "ARG":
            name, _, value = rest.partition("=")
            arguments[name] = value
        elif word == "FROM":
            base, _, name = _expand(rest, arguments).partition(" AS ")
            stages.append(Stage(base, name, config=Config(env=dict(base_env))))
        else:
            stages[-1] = _after(stages[-1], word, rest)
    return stages


def _after(stage: Stage, word: str, rest: str) -> Stage:
    config = stage.config
    if word == "RUN":
        step: Copy | Run = Run(rest, config.folder, config.env)
    elif word == "COPY":
        step = _copy(rest, config.folder)
    else:
        return replace(stage, config=_configured(config, word, rest))
    return replace(stage, steps=(*stage.steps, step))


def _configured(config: Config, word: str, rest: str) -> Config:
    if word == "ENV":
        said = (pair.partition("=") for pair in shlex.split(_expand(rest, config.env)))
        return replace(config, env={**config.env, **{name: value for name, _, value in said}})
    if word == "WORKDIR":
        return replace(config, folder=str(PurePosixPath(config.folder) / rest))
    if word == "USER":
        return replace(config, user=rest)
    if word == "EXPOSE":
        return replace(config, ports=(*config.ports, *map(int, rest.split())))
    if word == "ENTRYPOINT" and rest.startswith("["):
        return replace(config, entrypoint=tuple(json.loads(rest)))
    raise Unsupported(f"{word} {rest}")


def _copy(rest: str, folder: str) -> Copy:
    words = shlex.split(rest)
    flags = [word for word in words if word.startswith("--")]
    if any(not flag.startswith("--from=") for flag in flags):
        raise Unsupported(f"COPY {rest}")
    stage = flags[0].removeprefix("--from=") if flags else ""
    *sources, target = (word for word in words if not word.startswith("--"))
    absolute = str(PurePosixPath(folder) / target) + ("/" if target.endswith("/") else "")
    return Copy(tuple(sources), absolute, stage)


def _instructions(text: str) -> list[tuple[str, str]]:
    lines = "\n".join(line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    found = []
    for line in lines.replace("\\\n", " ").splitlines():
        matched = _INSTRUCTION.fullmatch(line)
        if not matched:
            raise Unsupported(line)
        found.append((matched[1], matched[2].strip()))
    return found


def _expand(text: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: values.get(found[1], ""), text)


class Context:
    """Which files of a folder a build may see, by its .dockerignore: the last line that fits decides."""

    def __init__(self, ignore: str) -> None:
        lines = [line.strip() for line in ignore.splitlines()]
        self._rules = [line for line in lines if line and not line.startswith("#")]

    def has(self, path: str) -> bool:
        """Whether a file, by its path in the folder, is in the context."""
        kept = True
        for rule in self._rules:
            if _fits(path, rule.removeprefix("!")):
                kept = rule.startswith("!")
        return kept


def _fits(path: str, pattern: str) -> bool:
    """Whether a pattern names a file, or a folder above it."""
    parts = PurePosixPath(path).parts
    if pattern.startswith("**/"):
        wanted = pattern.removeprefix("**/")
        if "/" in wanted:
            raise Unsupported(pattern)
        return any(fnmatchcase(part, wanted) for part in parts)
    if "**" in pattern:
        raise Unsupported(pattern)
    wanted_parts = PurePosixPath(pattern).parts
    heads = zip(parts, wanted_parts, strict=False)
    return len(parts) >= len(wanted_parts) and all(fnmatchcase(part, wanted) for part, wanted in heads)
