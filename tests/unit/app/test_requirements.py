"""The locked requirements: complete, hashed, of one mind, and silent about where they came from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOCKS = ("operator", "run", "dev", "build", "installer")


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;\\]+)", text, re.MULTILINE))


def bounds() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = [re.fullmatch(r"([A-Za-z0-9-]+)>=([0-9.]+)", line) for line in project["dependencies"]]
    return {match[1].lower(): match[2] for match in found if match}


def test_every_dependency_has_a_lower_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert len(bounds()) == len(project["dependencies"])


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_hashes(name: str) -> None:
    lines = [line for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines() if line[:1] != "#"]
    assert all(line.startswith("    --hash=sha256:") or line.endswith("\\") for line in lines)
    assert sum(line.endswith("\\") and line[0] != " " for line in lines) == len(pins(name))


@pytest.mark.parametrize("name", [*LOCKS, "lowest"])
def test_no_lock_names_a_host_or_a_folder(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert not re.search(r"://|--index|--find-links|--trusted|@ |\s/", text)


@pytest.mark.parametrize("name", LOCKS)
def test_the_locks_agree(name: str) -> None:
    everything = pins("dev")
    assert {key: everything.get(key, version) for key, version in pins(name).items()} == pins(name)


@pytest.mark.parametrize("name", ["operator", "run", "dev", "lowest"])
def test_every_lock_holds_what_the_operator_runs_on(name: str) -> None:
    assert bounds().keys() <= pins(name).keys()


def test_the_image_holds_no_tools() -> None:
    assert not pins("operator").keys() & {"rich", "pytest", "ruff", "mypy", "pip"}


def test_the_lowest_versions_are_the_bounds() -> None:
    lowest = pins("lowest")

    def padded(version: str) -> str:
        return ".".join((*version.split("."), "0", "0")[:3])

    assert {name: padded(lowest[name]) for name in bounds()} == {name: padded(v) for name, v in bounds().items()}
