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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure: a server that is missing must not look like a test that passed."""
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped tests count as failures here: {report.longrepr}"
    return report
