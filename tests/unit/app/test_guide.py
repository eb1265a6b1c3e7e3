"""The guide names tests: each of them exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
PAGES = ("README.md", "GUIDE.md")


def named() -> list[tuple[str, str]]:
    return sorted({found for page in PAGES for found in NAMED.findall((ROOT / page).read_text())})


@pytest.mark.parametrize(("path", "test"), named())
def test_a_test_that_is_named_exists(path: str, test: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_threat_names_its_test() -> None:
    lines = (ROOT / "GUIDE.md").read_text().partition("## Threat model")[2].splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| a tenant tries to")]
    assert len(rows) > 15
    assert [row for row in rows if not NAMED.search(row)] == []
