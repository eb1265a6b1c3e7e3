"""The real servers, the fleet on them, and the table that the run prints at its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rich.console import Console

from tests.bench.figures import Figures
from tests.bench.fleet import Fleet
from tests.bench.hall import Hall
from tests.conformance.crowds import Crowd
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
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    """Servers of its own for a crowd of ten thousand, which no other test has to share them with."""
    with RealBed(tmp_path_factory.mktemp("hall")) as bed, bed.vault_proxy() as proxy:
        stage = Stage(bed)
        stage.set_up()
        stage.start_operator()
        team = stage.team("bench-crowd")
        team.access(address=proxy.url)
        yield Hall(Crowd(team, period="60s"), proxy)
        stage.close()


@pytest.fixture(scope="module")
def fleet(real_bed: RealBed, figures: Figures) -> Iterator[Fleet]:
    """A thousand objects' worth of namespaces, identities and Vault secrets, and an operator at rest without objects."""
    stage = Stage(real_bed)
    stage.set_up()
    fleet = Fleet(stage)
    fleet.found()
    operator = stage.start_operator()
    fleet.wait_for_auths()
    figures.inform("resident memory, no secrets", f"{operator.rss() / 1e6:.0f} MB", "60 MB")
    yield fleet
    stage.close()
