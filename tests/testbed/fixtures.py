"""The beds as fixtures, started at most once per run and only when a test asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.testbed.real import RealBed
from tests.testbed.sandbox_bed import SandboxBed


@pytest.fixture(scope="session")
def real_bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBed]:
    """The real servers."""
    with RealBed(tmp_path_factory.mktemp("real")) as bed:
        yield bed


@pytest.fixture(scope="session")
def sandbox_bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxBed]:
    """The embedded sandbox."""
    with SandboxBed(tmp_path_factory.mktemp("sandbox")) as bed:
        yield bed
