"""Options and fixtures of the whole suite: which bed the scenarios run on."""

from __future__ import annotations

from collections.abc import Generator

import pytest

pytest_plugins = ["tests.testbed.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bed",
        choices=("sandbox", "real"),
        default="sandbox",
        help="which servers the conformance scenarios run on",
    )


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file on one worker, but for files that say `APART`; what waits longest begins first."""
    for item in items:
        module = getattr(item, "module", None)
        group = item.nodeid if getattr(module, "APART", False) else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=_patience, reverse=True)


def _patience(item: pytest.Item) -> int:
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
