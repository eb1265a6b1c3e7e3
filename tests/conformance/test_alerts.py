"""What the alerts and the dashboard ask for is there on a running operator, and says what they take it for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.scrapes import families, samples, total
from tests.conformance.stage import Stage, Team
from tests.promql import question
from tests.testbed.bed import eventually
from tests.testbed.faults import Status
from tests.testbed.operator import Setting
from tests.testbed.proxy import Proxy, path_has
from vso.app.chart.alerts import ALERTS
from vso.app.chart.panels import ROWS

LASTS = 40
OPERATOR_ARGS = ("--backoff-initial-interval=1s", "--backoff-max-interval=2s")
KIND = "VaultDynamicSecret"
FIRST_END = "vso_leases_failing_first_end_seconds"
BROKEN = Status(500, {"errors": ["internal error"]})


@pytest.fixture
def proxy(stage: Stage) -> Iterator[Proxy]:
    with Proxy(stage.bed.vault.url) as proxy:
        yield proxy


@pytest.fixture
def holder(team: Team, proxy: Proxy, stage: Stage) -> Team:
    """A team that holds a lease of a minute, which is to be renewed after six seconds."""
    database = stage.bed.database()
    database.role(team.ns, default_ttl="60s", max_ttl="24h")
    team.policy(
        f'path "{database.mount}/creds/{team.ns}" {{ capabilities = ["read"] }}\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n'
    )
    team.access(address=proxy.url)
    destination = {"name": "db", "create": True, "transformation": {"excludeRaw": True}}
    spec = {"vaultAuthRef": "auth", "mount": database.mount, "path": f"creds/{team.ns}", "renewalPercent": 10}
    team.apply(KIND, "db", {**spec, "destination": destination})
    team.wait_ready("db", KIND, timeout=30)
    return team


def asked_for() -> set[str]:
    """Every metric that an alert or a panel names, without what Prometheus itself tells."""
    exprs = [alert.expr for alert in ALERTS]
    for row in ROWS:
        exprs += [query.expr for panel in row.panels for query in panel.queries]
    return set().union(*(question(expr.replace("$__rate_interval", "5m")).names for expr in exprs)) - {"up"}


def test_a_lease_that_nobody_can_renew_is_counted_with_the_time_of_its_end(holder: Team, proxy: Proxy) -> None:
    operator = holder.stage.operator
    assert total(operator, "vso_leases", state="in_order") == 1
    assert samples(operator, FIRST_END) == {}
    proxy.fault(BROKEN, path_has("sys/leases/renew"))
    eventually(lambda: total(operator, "vso_leases", state="failing") == 1, timeout=30, message="it is counted")
    assert 0 < total(operator, FIRST_END) < 60
    assert holder.condition("Ready", KIND, "db")["status"] == "True"
    proxy.clear()
    eventually(lambda: total(operator, "vso_leases", state="in_order") == 1, timeout=30, message="it is renewed")
    assert samples(operator, FIRST_END) == {}


def test_every_metric_that_is_asked_for_is_told(holder: Team, proxy: Proxy) -> None:
    operator = holder.stage.operator
    holder.static(path="nothing")
    holder.wait_condition("Ready", "False")
    proxy.fault(BROKEN, path_has("sys/leases/renew"))
    eventually(lambda: total(operator, "vso_leases", state="failing") == 1, timeout=30)
    told = {family.name for family in families(operator)}
    assert {name.removesuffix("_total").removesuffix("_bucket") for name in asked_for()} <= told


def test_an_operator_without_an_election_says_that_it_leads(team: Team) -> None:
    stage = team.stage
    alone = stage.other("--leader-elect=false", setting=Setting(name="alone"))
    stage.operator.stop()
    alone.start()
    try:
        alone.wait_ready()
        eventually(lambda: total(alone, "leader_election_master_status") == 1, message="nobody else is there to lead")
    finally:
        alone.stop()
        stage.operator.start()
        stage.operator.wait_ready()
