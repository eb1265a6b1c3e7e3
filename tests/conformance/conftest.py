"""The bed of the run, the operator of a module of scenarios, and a team with a namespace of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.conformance.stage import Stage, Team
from tests.testbed.bed import Bed

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def bed(request: pytest.FixtureRequest) -> Bed:
    """The servers that the run was asked for; never a silent substitute."""
    chosen: Bed = request.getfixturevalue(f"{request.config.getoption('--bed')}_bed")
    return chosen


@pytest.fixture(scope="session")
def prepared(bed: Bed) -> Bed:
    """The bed with the CRDs and the shipped Roles installed."""
    Stage(bed).install()
    return bed


@pytest.fixture(scope="module")
def stage(prepared: Bed, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The bed and one operator, shared by a module's scenarios; `OPERATOR_ARGS` of the module adds flags."""
    stage = Stage(prepared, mode=getattr(request.module, "SECRETS_ACCESS", "full"))
    stage.start_operator(*getattr(request.module, "OPERATOR_ARGS", ()))
    yield stage
    stage.close()


@pytest.fixture
def team(stage: Stage) -> Iterator[Team]:
    """A namespace with a ServiceAccount, a Vault role and a policy for `kv/data/<team>/*`, gone afterwards."""
    team = stage.team(f"team-{next(_numbers)}")
    yield team
    team.disband()
