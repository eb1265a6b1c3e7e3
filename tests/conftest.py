"""Options and fixtures of the whole suite: which bed the scenarios run on."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

pytest_plugins = ["tests.testbed.fixtures", "tests.rights"]

# What helpers assert is told with its values, as in the tests themselves.
pytest.register_assert_rewrite("tests.conformance", "tests.fakes")

APART = ("tests/conformance/test_persistence.py", "tests/conformance/test_missing_rights.py")
"""Files whose tests have an operator of their own each, so that any worker may run any of them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bed",
        choices=("sandbox", "real"),
        default="sandbox",
        help="which servers the conformance scenarios run on",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file on one worker, but for those in `APART`."""
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # noqa: PLC0415  may be off

    class ByFile(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if nodeid.startswith(APART) else str(super()._split_scope(nodeid))

    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the tests of files that take long begin first."""
    items.sort(key=_seconds, reverse=True)


def _seconds(item: pytest.Item) -> int:
    """How long the tests of the item's file take: `LASTS` of the module, in seconds in all."""
    return int(getattr(getattr(item, "module", None), "LASTS", 0))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure: a server that is missing must not look like a test that passed."""
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped tests count as failures here: {report.longrepr}"
    return report
