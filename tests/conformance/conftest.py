"""The bed of the run, the operator of a module of scenarios, and a team with a namespace of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests import rights
from tests.conformance import contract, install
from tests.conformance.cloud_stage import clear, vault_in
from tests.conformance.stage import Stage, Team, team_of
from tests.conformance.statuses import (  # noqa: F401  fixtures, one of which every scenario has
    _every_status_keeps_the_contract,
    court,
    court_of_the_module,
    judged,
    watch_over_statuses,
)
from tests.testbed.bed import Bed
from tests.testbed.cluster import Cluster
from tests.testbed.operator import Operator, Setting
from tests.testbed.proxy import Proxy
from tests.testbed.vault_admin import VaultAdmin


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the operator said last."""
    report = yield
    stage = getattr(item, "funcargs", {}).get("stage")
    if report.failed and isinstance(stage, Stage):
        with contextlib.suppress(AssertionError):  # none was started yet
            report.sections.append(("last words of the operator", stage.operator.process.log_tail(60)))
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what holds in other installs only."""
    left_out = [item for item in items if install.unwanted(config, item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """No request of the operator's is refused for want of a right while a scenario plays, but those that it expects."""
    bed = getattr(item, "funcargs", {}).get("prepared")
    if not isinstance(bed, Bed):
        yield
        return
    mark = bed.mark()
    yield
    markers = list(item.iter_markers("refused"))
    if all(marker.args for marker in markers):
        expected = {right for marker in markers for right in marker.args}
        assert rights.refused(bed, mark) - expected == set()


@pytest.fixture(scope="session")
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """The servers that the run was asked for; never a silent substitute."""
    chosen: Bed = request.getfixturevalue(f"{request.config.getoption('--bed')}_bed")
    yield chosen
    rights.note(request.config, chosen)


@pytest.fixture(scope="session")
def prepared(bed: Bed) -> Bed:
    """The bed with the CRDs and the shipped Roles installed."""
    Stage(bed).set_up()
    return bed


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of a module's own, whose pods run; a crash or a bug in what they log fails the module."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster, judged(request.node, cluster.bed):
        yield cluster
        log = cluster.kubelet.logs()
    assert "Traceback" not in log, log[-4000:]
    assert "InternalError" not in log, log[-4000:]


@pytest.fixture(scope="module")
def kube_proxy(prepared: Bed) -> Iterator[Proxy]:
    """A fault proxy before the API server; the operator of a module that says `BEHIND_A_PROXY` goes through it."""
    with prepared.kube_proxy() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is mounted into the operator's pod; the operator of a module that says `READS_FILES` may read it."""
    return tmp_path_factory.mktemp("mounted")


@pytest.fixture(scope="module")
def stage(prepared: Bed, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The bed and one operator, shared by a module's scenarios; `OPERATOR_ARGS` of the module adds flags.

    That of a module that says `IN_CLOUDS` has the module's fixture `environment` around it.
    """
    stage = Stage.of(request, prepared, at_once=10)
    in_clouds = getattr(request.module, "IN_CLOUDS", False)
    proxied = getattr(request.module, "BEHIND_A_PROXY", False)
    server = request.getfixturevalue("kube_proxy").url if proxied else None
    setting = Setting(
        name=f"operator-of-{request.module.__name__.rpartition('.')[2]}",
        server=server,
        kubeconfig=getattr(request.module, "WITH_A_KUBECONFIG", False),
        env=request.getfixturevalue("environment") if in_clouds else {},
    )
    args = [*getattr(request.module, "OPERATOR_ARGS", ())]
    if getattr(request.module, "READS_FILES", False):
        args.append(f"--allowed-file-prefixes={request.getfixturevalue('files')}")
    stage.start_operator(*args, setting=setting)
    yield stage
    if in_clouds:
        clear(prepared)
    stage.close()


@pytest.fixture(scope="module")
def cloud_vault(
    prepared: Bed, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VaultAdmin]:
    """A Vault in the clouds of a module that says `IN_CLOUDS`, which are its fixture `clouds`.

    `SERVER_ID` of the module is what a login of AWS's has to name there.
    """
    clouds, server_id = request.getfixturevalue("clouds"), getattr(request.module, "SERVER_ID", "")
    with vault_in(clouds, prepared, tmp_path_factory.mktemp("vault"), server_id=server_id) as vault:
        yield vault


@pytest.fixture
def _turn(stage: Stage, request: pytest.FixtureRequest) -> None:
    """The operator watches the scenario's namespaces."""
    stage.turn_to(request.node)


@pytest.fixture
def operator(stage: Stage, kube_proxy: Proxy, _turn: None) -> Iterator[Operator]:
    """The operator, well before and after, for scenarios that stop it or break what it asks."""
    operator = stage.operator
    yield operator
    kube_proxy.clear()
    if not operator.running:
        operator.start()
    operator.wait_ready()


@pytest.fixture
def team(stage: Stage, request: pytest.FixtureRequest, _turn: None) -> Iterator[Team]:
    """A namespace with a ServiceAccount, a Vault role and a policy for `kv/data/<team>/*`, gone afterwards.

    Whatever a scenario leaves behind is of the contract that Argo CD and Flux read.
    """
    team = stage.team(team_of(request.node))
    yield team
    try:
        contract.hold(team.bed, team.ns)
    finally:
        team.disband()
