"""Objects with leases go: whatever is away, none hangs, and what could not be given back is told and counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conformance.held import FINALIZER, NAME, finalizers, hold
from tests.conformance.stage import Json, Stage, Team
from tests.testbed.bed import KubeError, eventually
from tests.testbed.database import AnyDatabase
from tests.testbed.proxy import BlackHole, Proxy

LASTS = 150
KIND = "VaultDynamicSecret"
PATIENCE = 45
"""Seconds: half a minute that the operator takes at most, and what a loaded machine takes to show it."""
NAMES = ("db-1", "db-2", "db-3")


@pytest.fixture
def database(stage: Stage) -> AnyDatabase:
    """The database behind Vault."""
    return stage.bed.database()


@pytest.fixture
def proxy(stage: Stage) -> Iterator[Proxy]:
    """A fault proxy before Vault."""
    with stage.bed.vault_proxy() as proxy:
        yield proxy


@pytest.fixture
def role(team: Team, database: AnyDatabase, proxy: Proxy) -> str:
    """Three objects of the team's with credentials, behind the proxy."""
    database.role(team.ns, default_ttl="1h")
    team.policy(
        f'path "{database.mount}/creds/{team.ns}" {{ capabilities = ["read"] }}\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n'
    )
    team.access(address=proxy.url)
    for name in NAMES:
        destination = {"name": name, "create": True, "transformation": {"excludeRaw": True}}
        spec: Json = {"vaultAuthRef": "auth", "mount": "database", "path": f"creds/{team.ns}"}
        team.apply(KIND, name, {**spec, "destination": destination})
    for name in NAMES:
        team.wait_ready(name, KIND, timeout=30)
    assert len(database.users(team.ns)) == len(NAMES)
    return team.ns


def leaked(stage: Stage) -> float:
    return sum(
        sample.value
        for family in text_string_to_metric_families(stage.operator.metrics())
        for sample in family.samples
        if sample.name == "vso_leases_leaked_total"
    )


def delete_all(team: Team) -> None:
    for name in NAMES:
        team.bed.kube.remove(team.manifest(KIND, name, {}))


def all_gone(team: Team) -> bool:
    return team.bed.kube.list(KIND, team.ns) == []


def told(stage: Stage, team: Team) -> int:
    lines = stage.operator.log_text().splitlines()
    return len([line for line in lines if "leases outlive their object" in line and f'"{team.ns}/' in line])


@pytest.mark.long
def test_a_vault_that_never_answers_holds_no_object_up_for_longer_than_half_a_minute(
    team: Team, role: str, stage: Stage, proxy: Proxy, database: AnyDatabase
) -> None:
    before = leaked(stage)
    proxy.fault(BlackHole())
    delete_all(team)
    eventually(lambda: all_gone(team), timeout=PATIENCE, message="all have gone")
    assert leaked(stage) - before == len(NAMES)
    assert told(stage, team) == len(NAMES)
    assert len(database.users(role)) == len(NAMES), "Vault was not asked: they run out"


@pytest.mark.long
def test_a_database_that_is_down_holds_no_object_up_for_longer_than_half_a_minute(
    team: Team, role: str, stage: Stage, database: AnyDatabase
) -> None:
    before = leaked(stage)
    database.stop()
    try:
        delete_all(team)
        eventually(lambda: all_gone(team), timeout=PATIENCE, message="all have gone")
    finally:
        database.start()
    assert leaked(stage) - before == told(stage, team) == len(NAMES)
    assert len(database.users(role)) == len(NAMES), "Vault refused to drop them: they run out"


def test_leases_that_the_policy_forbids_to_revoke_are_told_and_counted_and_hold_no_object_up(
    team: Team, role: str, stage: Stage, database: AnyDatabase
) -> None:
    team.policy(f'path "{database.mount}/creds/{role}" {{ capabilities = ["read"] }}')
    before = leaked(stage)
    delete_all(team)
    eventually(lambda: all_gone(team), timeout=20, message="all have gone")
    eventually(lambda: leaked(stage) - before == told(stage, team) == len(NAMES), message="they are told and counted")
    assert len(database.users(role)) == len(NAMES), "they run out"


@pytest.mark.parametrize("suspended", [False, True], ids=["at work", "suspended"])
def test_a_lease_whose_finalizer_somebody_took_off_is_given_back_all_the_same(
    team: Team, stage: Stage, suspended: bool
) -> None:
    team.access()
    database = hold(team)
    if suspended:
        team.patch({"spec": {"suspend": True}}, KIND, NAME)
    stage.operator.stop()
    team.patch({"metadata": {"finalizers": None}}, KIND, NAME)
    stage.operator.start()
    eventually(lambda: finalizers(team) == [FINALIZER], timeout=20, message="it is there again")
    team.bed.kube.delete(KIND, team.ns, NAME)
    eventually(lambda: database.users(team.ns) == [], message="no user is left")


@pytest.mark.only_in("full", "write-only", because="with a namespace go the rights in it")
def test_a_namespace_that_is_terminating_gives_its_leases_back(team: Team, role: str, database: AnyDatabase) -> None:
    team.disband()
    eventually(lambda: database.users(role) == [], timeout=PATIENCE, message="no user is left")
    eventually(lambda: gone(team), timeout=90, message="the namespace has gone")


@pytest.mark.long
def test_a_namespace_does_not_hang_in_terminating_while_vault_is_away(
    team: Team, role: str, stage: Stage, proxy: Proxy
) -> None:
    before = leaked(stage)
    proxy.stop()
    team.disband()
    eventually(lambda: gone(team), timeout=90, message="the namespace has gone")
    assert leaked(stage) - before == len(NAMES)


def gone(team: Team) -> bool:
    try:
        team.bed.kube.find("Namespace", None, team.ns)
    except KubeError as error:
        return error.status == 404
    return False
