"""Many objects at once: an outage of Vault for all of them, and a newcomer among refreshes that are late."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.crowds import Crowd
from tests.conformance.newcomer import IN_FLIGHT, Newcomer
from tests.conformance.outage import suffer
from tests.conformance.stage import Team
from tests.testbed.proxy import Proxy

# The sandbox would spend the time on itself; the bench has these at 10 000.
pytestmark = pytest.mark.real
SIZE = 150
OBJECTS, SOURCES = 10, 100


@pytest.fixture
def proxy(team: Team) -> Iterator[Proxy]:
    with team.bed.vault_proxy() as proxy:
        yield proxy


def test_an_outage_for_many_costs_two_status_writes_each_and_leaves_vault_alone(team: Team, proxy: Proxy) -> None:
    team.access(address=proxy.url)
    crowd = Crowd(team, period="5s")
    crowd.grow(SIZE, timeout=120)
    outage = suffer(crowd, proxy, stays=6, timeout=120)
    assert outage.told == dict.fromkeys(crowd.names, 2)
    assert set(outage.asked) == {"/v1/sys/health"}
    assert outage.probes <= outage.seconds + 1


def test_a_new_object_is_served_before_a_thousand_due_refreshes(team: Team, proxy: Proxy) -> None:
    team.access(address=proxy.url)
    newcomer = Newcomer(team, proxy)
    newcomer.follow_many(OBJECTS, SOURCES, period="30s")
    rank = newcomer.rank(behind=OBJECTS * SOURCES * 0.9, timeout=60)
    assert rank <= 2 + IN_FLIGHT
