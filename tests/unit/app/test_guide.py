"""The pages name tests, flags, reasons and other pages, and each exists; every block is run, or says why not.

`manifests/README.md` and `charts/README.md` have tests of their own that see to their blocks.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.conformance import readme
from vso.app.cli import crds, demo, rbac
from vso.app.flag_table import FLAGS
from vso.core.errors import Reason

ROOT = Path(__file__).resolve().parents[3]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
LINK = re.compile(r"\]\(([\w/.-]*)(?:#([\w-]+))?\)")
PAGES = ("README.md", "GUIDE.md")
EVERY_PAGE = (*PAGES, "manifests/README.md", "charts/README.md")
NOT_RUN = {
    "README.md": {
        "`make test` is what runs the others; the demo is run by tests/conformance/test_demo.py",
        "it takes a container engine",
    },
    "GUIDE.md": set(),
}


def page(name: str) -> str:
    return (ROOT / name).read_text()


def section(title: str) -> str:
    return page("GUIDE.md").partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[str]:
    """The rows of the table of a section, without its head."""
    table = [line for line in section(title).splitlines() if line.startswith("|")]
    return table[2:]


def named() -> list[tuple[str, str]]:
    return sorted({found for name in EVERY_PAGE for found in NAMED.findall(page(name))})


@pytest.mark.parametrize(("path", "test"), named())
def test_a_test_that_is_named_exists(path: str, test: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_a_file_of_tests_that_is_named_exists(name: str) -> None:
    """With its path, or alone where it is beside the scenarios."""
    named = {span.partition("::")[0] for span in spans(name, r"(?:tests/[\w/]+|test_\w+)\.py(?:::\w+)?")}
    assert named
    paths = {file if "/" in file else f"tests/conformance/{file}" for file in named}
    assert {path for path in paths if not (ROOT / path).exists()} == set()


@pytest.mark.parametrize(("title", "least"), [("Threat model", 15), ("When something is wrong", 20)])
def test_every_row_names_its_test(title: str, least: int) -> None:
    found = rows(title)
    assert len(found) > least
    assert [row for row in found if not NAMED.search(row)] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_block_says_whether_it_is_run(name: str) -> None:
    marked = readme.marked(ROOT / name)
    assert [block.text for block in marked] == readme.every(ROOT / name)
    names = [block.name for block in marked if block.runs]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", PAGES)
def test_the_blocks_that_nothing_runs_are_these(name: str) -> None:
    assert {block.name for block in readme.marked(ROOT / name) if not block.runs} == NOT_RUN[name]


def test_what_is_no_command_is_applied_on_both_beds() -> None:
    """`test_pages.py` sees by itself that it has typed every command."""
    blocks = [block for name in PAGES for block in readme.marked(ROOT / name) if block.runs and block.language != "sh"]
    tree = ast.parse((ROOT / "tests/conformance/test_guide.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "apply"]
    applied = {arg.value for call in calls for arg in call.args[1:2] if isinstance(arg, ast.Constant)}
    assert {block.name for block in blocks} == applied
    assert {block.language for block in blocks} == {"yaml"}


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_every_link_leads_somewhere(name: str) -> None:
    for path, anchor in LINK.findall(page(name)):
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), path
        if anchor:
            titles = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def prose(name: str) -> str:
    """A page without its blocks."""
    return re.sub(r"^```.*?^```$", "", page(name), flags=re.MULTILINE | re.DOTALL)


def spans(name: str, pattern: str) -> set[str]:
    """What stands between backticks and is as a whole of that form."""
    return {span for span in re.findall(r"`([^`\n]+)`", prose(name)) if re.fullmatch(pattern, span)}


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_every_flag_that_is_named_is_one(name: str) -> None:
    named = {span.removeprefix("--").partition("=")[0].partition(" ")[0] for span in spans(name, "--.+")}
    of_others = {
        "set",
        "tag",
        "reuse-values",
        "no-hooks",
        "entrypoint",
        "force-conflicts",
    }  # of helm, docker and kubectl
    helps = "".join(command.parser().format_help() for command in (crds, demo, rbac))
    assert named <= {flag.name for flag in FLAGS} | set(re.findall(r"--([\w-]+)", helps)) | of_others


@pytest.mark.parametrize("name", EVERY_PAGE)
def test_every_reason_that_is_named_is_one(name: str) -> None:
    no_reasons = {"RolloutRestart", "GetCallerIdentity"}  # a condition, and a call of AWS's
    no_reasons |= {"ClusterIP", "IfNotPresent", "SingleStack", "PreferDualStack", "RequireDualStack"}  # the chart's
    named = spans(name, r"[A-Z][a-z]+(?:[A-Z]\w+)+")
    assert len(named) > 5 or name not in PAGES
    assert named - no_reasons <= {reason.value for reason in Reason}


def test_every_metric_that_is_named_is_one() -> None:
    named = set(re.findall(r"vso_[a-z_]+", prose("GUIDE.md")))
    sources = "".join(path.read_text() for path in (ROOT / "vso" / "app").glob("*.py"))
    assert len(named) > 5
    assert {metric for metric in named if f'"{metric.removesuffix("_total")}"' not in sources} == set()
