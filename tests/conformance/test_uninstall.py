"""`vso run --uninstall`: what an operator leaves behind holds nobody up, in whatever namespace it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.stage import Json, Stage, Team, team_of
from tests.testbed.bed import eventually
from tests.testbed.operator import Operator, Setting

pytestmark = pytest.mark.beside("a", "b")
GROUP = "secrets.hashicorp.com"
FOREIGN = "example.com/somebody-else"
# Each kind's finalizer, as the reference operator spells it.
FINALIZERS = {
    "VaultConnection": f"vaultconnection.{GROUP}/finalizer",
    "VaultAuth": f"vaultauth.{GROUP}/finalizer",
    "VaultStaticSecret": f"vaultstaticsecret.{GROUP}/finalizer",
    "VaultDynamicSecret": f"vaultdynamicsecret.{GROUP}/finalizer",
    "VaultPKISecret": f"vaultpkisecrets.{GROUP}/finalizer",
}
DESTINATION: Json = {"name": "left", "create": True}
SPECS: dict[str, Json] = {
    "VaultConnection": {"address": "http://127.0.0.1:1"},
    "VaultAuth": {"method": "kubernetes", "mount": "kubernetes", "kubernetes": {"role": "x", "serviceAccount": "app"}},
    "VaultStaticSecret": {"mount": "kv", "type": "kv-v2", "path": "x", "destination": DESTINATION},
    "VaultDynamicSecret": {"mount": "database", "path": "creds/x", "destination": DESTINATION},
    "VaultPKISecret": {"mount": "pki", "role": "x", "commonName": "x", "destination": DESTINATION},
}


@pytest.fixture
def teams(stage: Stage, operator: Operator, request: pytest.FixtureRequest) -> Iterator[tuple[Team, Team]]:
    """Two teams with an object of each kind that carries its finalizer, and no operator that runs."""
    operator.stop()
    teams = (stage.team(f"{team_of(request.node)}-a"), stage.team(f"{team_of(request.node)}-b"))
    for team in teams:
        for kind, spec in SPECS.items():
            team.apply(kind, "left", spec, finalizers=[FINALIZERS[kind], FOREIGN])
    yield teams
    for team in teams:
        for kind in SPECS:
            team.patch({"metadata": {"finalizers": None}}, kind, "left")
        team.disband()


def uninstalled(stage: Stage, *args: str) -> tuple[int | None, str]:
    """Run it to its end; its exit code and its log."""
    leaving = stage.other("--uninstall", *args, setting=Setting(name=f"uninstall-{len(args)}"))
    leaving.start()
    eventually(lambda: not leaving.running, timeout=60, message="it has ended")
    return leaving.process.exit_code, leaving.log_text()


def finalizers(team: Team) -> dict[str, list[str]]:
    return {kind: team.get(kind, "left")["metadata"].get("finalizers", []) for kind in SPECS}


def test_every_finalizer_of_the_operator_goes_and_those_of_others_stay(teams: tuple[Team, Team], stage: Stage) -> None:
    code, log = uninstalled(stage)
    assert code == 0, log
    for team in teams:
        assert finalizers(team) == {kind: [FOREIGN] for kind in SPECS}
        released = [line for line in log.splitlines() if "finalizer removed" in line and f"{team.ns}/left" in line]
        assert len(released) == len(SPECS)


def test_an_install_for_namespaces_looks_into_those_alone(teams: tuple[Team, Team], stage: Stage) -> None:
    code, log = uninstalled(stage, f"--watch-namespaces={teams[0].ns}")
    assert code == 0, log
    assert finalizers(teams[0]) == {kind: [FOREIGN] for kind in SPECS}
    assert finalizers(teams[1]) == {kind: [name, FOREIGN] for kind, name in FINALIZERS.items()}
