"""Client certificates of consumers on one connection: they share its limits and breaker, and go with their users.

On the real bed alone: the sandbox's Vault knows the kubernetes method and no other.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.stage import OPERATOR_USER, Stage, Team
from tests.testbed.bed import Mark, always, eventually
from tests.testbed.pki import Authority, KeyPair
from tests.testbed.real import RealBed

pytestmark = pytest.mark.real

OPERATOR_ARGS = (
    "--backoff-initial-interval=500ms",
    "--backoff-max-interval=1s",
    "--config-recheck-interval=1s",
    "--connection-check-interval=1s",
)
CHECKS = 4


@pytest.fixture
def vault(real_bed: RealBed, stage: Stage) -> RealBed:
    """The bed, with the method cert mounted."""
    if "cert/" not in real_bed.vault.read("sys/auth")["data"]:
        real_bed.vault.write("sys/auth/cert", {"type": "cert"})
    return real_bed


@pytest.fixture
def other(team: Team) -> Iterator[Team]:
    """A second team on the first one's connection."""
    other = team.stage.team(f"{team.ns}-b")
    yield other
    other.disband()


def connected(team: Team, vault: RealBed) -> str:
    """A VaultConnection to the listener that lets nobody in without a certificate of the bed's; everybody's."""
    bundle = base64.b64encode(vault.authority.certificate.read_bytes()).decode()
    spec = {"address": vault.vault_mutual_tls_url, "caBundle": bundle, "allowedNamespaces": ["*"]}
    team.apply("VaultConnection", "vault", spec)
    return f"{team.ns}/vault"


def follows_by(team: Team, connection: str, pair: KeyPair, refresh: str = "1s") -> None:
    """A role for the team's name, and a VaultStaticSecret behind a VaultAuth that shows the certificate."""
    role = {
        "certificate": team.bed.authority.certificate.read_text(),
        "allowed_common_names": [team.ns],
        "token_policies": team.ns,
    }
    team.bed.vault.write(f"auth/cert/certs/{team.ns}", role)
    team.keep("client", **pair.entries)
    block = {"name": team.ns, "secretRef": "client"}
    team.apply(
        "VaultAuth", "auth", {"vaultConnectionRef": connection, "method": "cert", "mount": "cert", "cert": block}
    )
    team.put("app", {"password": "v1"})
    team.static(refreshAfter=refresh)


def breaker(team: Team, connection: str) -> str:
    """What the metric says of the connection's breaker."""
    name = f'vso_vault_breaker_open{{vault_connection="{connection}"}} '
    lines = [line for line in team.stage.operator.metrics().splitlines() if line.startswith(name)]
    return lines[0].removeprefix(name) if lines else "0.0"


def looked_at(team: Team, mark: Mark) -> int:
    """How often the operator has read the team's certificate."""
    calls = team.bed.kube_audit(mark)
    return sum((c.user, c.namespace, c.name, c.verb) == (OPERATOR_USER, team.ns, "client", "get") for c in calls)


@pytest.mark.beside("b")
def test_a_certificate_that_vault_does_not_let_in_keeps_no_other_consumer_out(
    team: Team, other: Team, vault: RealBed, tmp_path: Path
) -> None:
    connection = connected(team, vault)
    # Seldom, since each answer would make good for the failures of the other one.
    follows_by(team, connection, vault.authority.client(team.ns), refresh="1h")
    team.wait_ready()
    follows_by(other, connection, Authority(tmp_path / "elsewhere", "elsewhere").client(other.ns))
    other.wait_condition("Healthy", "False")
    for number in range(8):
        other.patch({"metadata": {"labels": {"look": str(number)}}})
        always(lambda: breaker(team, connection) == "0.0", during=1, message="the breaker stays closed")
    team.put("app", {"password": "v2"})
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}})
    team.wait_data(lambda data: data["password"] == "v2")
    assert team.condition("Healthy")["status"] == "True"
    other.keep("client", **vault.authority.client(other.ns).entries)
    other.wait_ready()


@pytest.mark.beside("b")
def test_a_certificate_is_looked_at_no_more_when_nobody_shows_it(team: Team, other: Team, vault: RealBed) -> None:
    connection = connected(team, vault)
    for one in (team, other):
        follows_by(one, connection, vault.authority.client(one.ns))
    for one in (team, other):
        one.wait_ready()
    mark = team.bed.mark()
    eventually(lambda: looked_at(other, mark) >= CHECKS, message="it is looked at with each check of the connection")
    other.bed.kube.delete("VaultStaticSecret", other.ns, "app")

    def rests() -> bool:
        mark = team.bed.mark()
        always(lambda: True, during=CHECKS)
        return looked_at(other, mark) == 0 and looked_at(team, mark) > 0

    eventually(rests, timeout=60, message="nobody shows it")
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")
