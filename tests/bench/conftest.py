"""The real servers, the fleet on them, and the table that the run prints at its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rich.console import Console

from tests.bench.figures import Figures
from tests.bench.fleet import Fleet
from tests.conformance.stage import Stage
from tests.testbed.real import RealBed


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    """What was measured; printed when everything has been."""
    figures = Figures()
    yield figures
    if figures.lines:
        figures.show(Console(width=160))


@pytest.fixture(scope="module")
def fleet(real_bed: RealBed, figures: Figures) -> Iterator[Fleet]:
    """A thousand objects' worth of namespaces, identities and Vault secrets, and an operator at rest without objects."""
    stage = Stage(real_bed)
    stage.install()
    fleet = Fleet(stage)
    fleet.found()
    operator = stage.start_operator()
    fleet.wait_for_auths()
    # Outside a cluster the kubeconfig library comes on top, with some 45 MB.
    figures.inform("resident memory, no secrets, kubeconfig", f"{operator.rss() / 1e6:.0f} MB")
    yield fleet
    stage.close()
