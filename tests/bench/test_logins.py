"""Five thousand VaultStaticSecrets on ten VaultAuths, whose tokens live for two minutes: how often they log in.

What is counted stands in Vault's audit log. The objects of a VaultAuth share a Vault secret, which is polled all the
time, so that no token's end goes unnoticed; counts are gates.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

import pytest

from tests.bench.figures import Figures
from tests.conformance.crowds import side_by_side
from tests.conformance.stage import OPERATOR_USER, Json, Stage, Team
from tests.testbed.bed import Mark, always, eventually
from tests.testbed.real import RealBed

pytestmark = pytest.mark.bench

AUTHS, EACH = 10, 500
SIZE = AUTHS * EACH
LIFE, REPLACED_FROM, REPLACED_TO = 120.0, 0.8, 0.9
PERIOD = 10.0
LIVES = 3
PATIENCE = 1200.0
KIND = "VaultStaticSecret"
CONNECTION = "guild-0/vault"


class Guilds:
    """Ten teams, each with a VaultAuth and five hundred objects."""

    def __init__(self, stage: Stage) -> None:
        self.bed = stage.bed
        self.teams = [stage.team(f"guild-{number}") for number in range(AUTHS)]

    def found(self) -> None:
        """Create everything but the VaultStaticSecrets; all share one connection."""
        self.teams[0].apply("VaultConnection", "vault", {"address": self.bed.vault.url, "allowedNamespaces": ["*"]})
        for team in self.teams:
            team.role(token_ttl=f"{LIFE:.0f}s")
            team.put("shared", {"password": "v1"})
            team.apply("VaultAuth", "auth", team.auth_spec(vaultConnectionRef=CONNECTION))

    def gather(self) -> None:
        """Create every object, and wait until the status of each is written."""
        mark = self.bed.mark()
        side_by_side(self.bed, lambda kube, manifest: kube.create(manifest), self._manifests())
        eventually(
            lambda: self._told(mark) >= SIZE,
            timeout=PATIENCE,
            message=lambda: f"{SIZE} are told of; {self._told(mark)} are",
            interval=2.0,
        )

    def logins(self, since: Mark) -> dict[str, list[datetime]]:
        """When each team has logged in."""
        calls = self.bed.vault_audit(since)
        moments: dict[str, list[datetime]] = {team.ns: [] for team in self.teams}
        for call in calls:
            if call.path == "auth/kubernetes/login":
                moments[call.display_name.removeprefix("kubernetes-").removesuffix("-app")].append(call.time)
        return moments

    def minted(self, since: Mark) -> int:
        """How many tokens of ServiceAccounts were asked for."""
        calls = self.bed.kube_audit(since)
        return sum(call.user == OPERATOR_USER and call.subresource == "token" for call in calls)

    def renewals(self, since: Mark) -> int:
        """How many tokens were renewed or looked up."""
        return sum(call.path.startswith("auth/token/") for call in self.bed.vault_audit(since))

    def _manifests(self) -> Iterator[Json]:
        for number in range(EACH):
            for team in self.teams:
                yield self._manifest(team, f"app-{number}")

    @staticmethod
    def _manifest(team: Team, name: str) -> Json:
        return team.manifest(KIND, name, team.secret_spec("shared", name=name, refreshAfter=f"{PERIOD:.0f}s"))

    def _told(self, since: Mark) -> int:
        calls = self.bed.kube_audit(since)
        told = {
            (call.namespace, call.name)
            for call in calls
            if (call.user, call.resource, call.subresource) == (OPERATOR_USER, "vaultstaticsecrets", "status")
        }
        return len(told)


@pytest.fixture(scope="module")
def guilds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guilds]:
    """Servers of its own, with an operator as in a pod."""
    with RealBed(tmp_path_factory.mktemp("guilds")) as bed:
        stage = Stage(bed)
        stage.set_up()
        guilds = Guilds(stage)
        guilds.found()
        stage.start_operator()
        yield guilds
        stage.close()


def test_ten_auths_log_in_ten_times_per_token_life_whatever_hangs_on_them(guilds: Guilds, figures: Figures) -> None:
    mark = guilds.bed.mark()
    guilds.gather()
    created = {name: len(moments) for name, moments in guilds.logins(mark).items()}
    always(lambda: True, during=LIVES * LIFE)
    logins = guilds.logins(mark)
    lives = [(later - earlier).total_seconds() for ms in logins.values() for earlier, later in pairwise(ms)]
    total = sum(len(moments) for moments in logins.values())
    figures.gate(
        f"{SIZE} static secrets on {AUTHS} VaultAuths, tokens of {LIFE:.0f} s: logins",
        f"{total}, each after {min(lives):.0f} to {max(lives):.0f} s, {guilds.renewals(mark)} renewals",
        f"{AUTHS} per token life",
    )
    assert all(len(moments) >= created[name] + LIVES - 1 for name, moments in logins.items())
    assert min(lives) >= LIFE * REPLACED_FROM
    assert max(lives) <= LIFE * REPLACED_TO + PERIOD * 1.5
    assert guilds.minted(mark) == total
    assert guilds.renewals(mark) == 0
