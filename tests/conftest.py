"""Options and fixtures of the whole suite: which bed the scenarios run on."""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.testbed.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bed",
        choices=("sandbox", "real"),
        default="sandbox",
        help="which servers the conformance scenarios run on",
    )
