"""The ends of waiting: a Vault that comes late, one that never answers, an API server that is gone at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.stage import Stage, Team, team_of
from tests.testbed.bed import Bed, eventually
from tests.testbed.faults import BlackHole, Freeze, path_has
from tests.testbed.operator import Setting
from tests.testbed.proxy import Proxy

LASTS = 20

OPERATOR_ARGS = ("--reconcile-timeout=3s", "--backoff-initial-interval=500ms", "--backoff-max-interval=1s")


@pytest.fixture
def proxy(stage: Stage) -> Iterator[Proxy]:
    with Proxy(stage.bed.vault.url) as proxy:
        yield proxy


def test_a_vault_that_comes_after_the_first_failure_is_found_by_the_back_off(team: Team, proxy: Proxy) -> None:
    team.put("app", {"password": "v1"})
    proxy.stop()
    team.access(address=proxy.url)
    team.static(refreshAfter="1h")
    team.wait_condition("Reconciling")
    proxy.start()
    team.wait_ready(timeout=10)
    team.wait_ready("vault", "VaultConnection", timeout=10)


def test_a_vault_that_never_answers_is_said_though_its_timeout_is_longer_than_a_pass(team: Team, proxy: Proxy) -> None:
    team.put("app", {"password": "v1"})
    team.access(address=proxy.url, connection={"timeout": "60s"})
    proxy.fault(BlackHole(), path_has("/v1/kv/"))
    team.static(refreshAfter="1h")
    team.wait_condition("Reconciling", reason="VaultUnavailable", timeout=10)
    proxy.clear()
    team.wait_ready(timeout=15)


@pytest.mark.beside("silent")
def test_who_is_told_to_stop_while_the_api_server_is_silent_ends_and_waits_for_no_new_lease(
    prepared: Bed, stage: Stage, request: pytest.FixtureRequest
) -> None:
    with prepared.kube_proxy() as proxy:
        other = stage.other(
            "--leader-elect",
            *("--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s", "--leader-elect-retry-period=1s"),
            "--shutdown-grace=10s",
            setting=Setting(name="silent", server=proxy.url),
        )
        if stage.operator.running:
            stage.operator.stop()
        other.start()
        other.wait_ready()
        eventually(lambda: '"leading":true' in other.log_text(), timeout=30, message="it leads")
        team = stage.team(f"{team_of(request.node)}-silent")
        team.put("app", {"password": "v1"})
        team.access()
        proxy.fault(Freeze(), path_has("/secrets"))
        team.static()
        eventually(lambda: team.get("VaultAuth", "auth").get("status"), timeout=10, message="it works")
        proxy.fault(Freeze())
        assert other.stop(grace=15).code == 0
