"""How many identities log in by a VaultAuth, told while what lets them in turns against them one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.conformance.quiet import logins_told
from tests.conformance.stage import OPERATOR_USER, Stage, Team
from tests.testbed.bed import Mark, always, eventually
from tests.testbed.proxy import Proxy, Status, path_has

LASTS = 180
OPERATOR_ARGS = ("--backoff-initial-interval=500ms", "--backoff-max-interval=1s")
OTHERS = tuple(str(number) for number in range(3))
APART = 3.0
BRIEF = {"token_ttl": "10s", "token_max_ttl": "10s"}
pytestmark = pytest.mark.long


@pytest.fixture
def proxy(stage: Stage) -> Iterator[Proxy]:
    """Vault, behind faults."""
    with stage.bed.vault_proxy() as proxy:
        yield proxy


@pytest.fixture
def others(team: Team, stage: Stage, proxy: Proxy) -> Iterator[list[Team]]:
    """Those who log in by the team's VaultAuth, each some seconds after the one before, for no longer than a while."""
    others = [stage.team(f"{team.ns}-{number}") for number in OTHERS]
    names = ",".join(other.ns for other in others)
    team.role(bound_service_account_namespaces=names, **BRIEF)
    team.policy('path "kv/data/*" { capabilities = ["read"] }')
    team.access(address=proxy.url, auth={"allowedNamespaces": ["*"]})
    team.wait_ready("auth", "VaultAuth")
    for other in others:
        other.put("app", {"password": "v1"})
        other.static(vaultAuthRef=f"{team.ns}/auth")
        other.wait_ready()
        always(lambda: True, during=APART)
    logins_told(team, len(others))
    yield others
    for other in others:
        other.disband()


def writes(team: Team, mark: Mark) -> int:
    """How often the operator has written the status of the VaultAuth."""
    calls = [call for call in team.bed.kube_audit(mark) if call.user == OPERATOR_USER and call.namespace == team.ns]
    return sum(call.resource == "vaultauths" and call.writes for call in calls)


def all_fail(others: list[Team], reason: str) -> None:
    """Wait until nobody has a token that lives, which `reason` begins the name of."""

    def fails(other: Team) -> bool:
        return str(other.condition("Healthy")["reason"]).startswith(reason)

    for other in others:
        eventually(partial(fails, other), timeout=60, message=f"{other.ns} fails for {reason}")


@pytest.mark.beside(*OTHERS)
def test_the_number_moves_once_when_one_after_the_other_is_refused(team: Team, others: list[Team]) -> None:
    mark = team.bed.mark()
    team.role(bound_service_account_namespaces="nowhere", **BRIEF)
    all_fail(others, "VaultLogin")
    assert writes(team, mark) == 0
    eventually(lambda: writes(team, mark) == 1, timeout=80, message="the number is told")
    logins_told(team, 0)
    always(lambda: writes(team, mark) == 1, during=3)


@pytest.mark.beside(*OTHERS)
def test_the_number_stays_while_the_mount_cannot_tell_whom_it_lets_in(
    team: Team, others: list[Team], proxy: Proxy
) -> None:
    mark = team.bed.mark()
    proxy.fault(Status(500, b'{"errors":["the directory is away"]}'), path_has("/login"))
    all_fail(others, "VaultLoginUnavailable")
    always(lambda: writes(team, mark) == 0, during=62, message="nothing is told of the number")
    proxy.clear()
    for other in others:
        other.wait_condition("Healthy", timeout=30)
    always(lambda: writes(team, mark) == 0, during=3)
    assert team.get("VaultAuth", "auth")["status"]["identityCount"] == len(others)
