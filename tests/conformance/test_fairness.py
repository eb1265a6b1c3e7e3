"""A namespace with thousands of objects that fail all the time or are slow to look at, and a neighbour who goes about its work.

Counts are the gates: how many passes of the crowd begin between a neighbour's wish and the pass that it asks for, and
how many polls of the neighbour's come to Vault in a time.
Times are shown beside those of an idle operator, and decide nothing.
"""

from __future__ import annotations

import faulthandler
from collections.abc import Callable, Iterator
from time import monotonic

import pytest

from tests.conformance.crowds import Crowd, side_by_side
from tests.conformance.stage import Stage, Team, team_of
from tests.testbed.bed import KubeAdmin, eventually
from tests.testbed.faults import Match
from tests.testbed.proxy import Delay, Proxy, Status, path_has

LASTS = 100
WORKERS = 16
OPERATOR_ARGS = (
    f"--max-concurrent-reconciles={WORKERS}",
    "--backoff-initial-interval=1s",
    "--backoff-max-interval=1s",
    "--log-level=error",
)
SHARE = 2 * WORKERS
"""So many passes of the crowd at most before a neighbour's: what is in hand already, and what takes its turn while the
watch and the answers of the servers arrive. Without turns it would be all that wait."""
LOOKS = 5
POLLED = 300
POLLS = 10
PERIODS = 4
"""So many of its own periods, of a second each, pass at most from one poll of a neighbour's to the next, in the mean: it
waits for a socket behind those polls of the crowd that wait for one already. Without turns it would be twenty."""
IN_A_PERIOD = 16
"""Polls of the crowd, which take a second each: as many as the VaultConnection has sockets."""
SLOW = Delay(1.0)
REFUSED = Status(500, {"errors": ["not today"]})


@pytest.fixture
def inner(stage: Stage) -> Iterator[Proxy]:
    """Before the Vault that both share."""
    with stage.bed.vault_proxy() as inner:
        yield inner


@pytest.fixture
def proxy(inner: Proxy, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    """Before that: it takes its time for whoever reads in the crowd's namespace."""
    with Proxy(inner.url) as proxy:
        proxy.fault(SLOW, of_crowd(request))
        yield proxy


@pytest.fixture
def _refusing(inner: Proxy, request: pytest.FixtureRequest) -> None:
    """What is read in the crowd's namespace is refused."""
    inner.fault(REFUSED, of_crowd(request))


def of_crowd(request: pytest.FixtureRequest) -> Match:
    return path_has(f"/v1/kv/data/{team_of(request.node)}/")


@pytest.fixture
def other(stage: Stage, proxy: Proxy, request: pytest.FixtureRequest) -> Iterator[Team]:
    """The neighbour, in order; the VaultConnection is its."""
    team = stage.team(f"{team_of(request.node)}-neighbour")
    team.ready(address=proxy.url, refreshAfter="1h")
    yield team
    team.disband()


def fill(team: Team, connection: str, size: int) -> None:
    """Create the crowd, behind a VaultConnection."""
    team.apply("VaultAuth", "auth", team.auth_spec(vaultConnectionRef=connection))

    def create(kube: KubeAdmin, number: int) -> None:
        name = f"app-{number}"
        kube.create(team.manifest("VaultStaticSecret", name, team.secret_spec(name, name=name, refreshAfter="1h")))

    side_by_side(team.bed, create, range(size))


class Neighbour:
    """Has its objects looked at: how long each took, and how many reads of the crowd went before."""

    def __init__(self, team: Team, proxy: Proxy, crowd: Team) -> None:
        self._team, self._proxy, self._crowd = team, proxy, f"/v1/kv/data/{crowd.ns}/"
        self.number = 0

    def reads(self, since: int = 0) -> int:
        """How often the crowd has read, and been refused."""
        return sum(path.startswith(self._crowd) for _, path in self._proxy.requests[since:])

    def changes(self) -> tuple[float, int]:
        """Have the object looked at that is there."""
        self.number += 1
        mark = {"metadata": {"annotations": {"vso.hashicorp.com/resync": str(self.number)}}}
        return self._until_read("app", lambda: self._team.patch(mark))

    def creates(self) -> tuple[float, int]:
        """Create another one."""
        self.number += 1
        name = f"new-{self.number}"
        self._team.put(name, {"password": name})
        return self._until_read(name, lambda: self._team.static(name, name, refreshAfter="1h"))

    def _until_read(self, name: str, wish: Callable[[], object]) -> tuple[float, int]:
        own = ("GET", f"/v1/kv/data/{self._team.ns}/{name}")
        asked, began = len(self._proxy.requests), monotonic()
        wish()
        eventually(lambda: own in self._proxy.requests[asked:], timeout=60, message=f"{name} is read", interval=0.002)
        took, since = monotonic() - began, self._proxy.requests[asked:]
        return took, sum(path.startswith(self._crowd) for _, path in since[: since.index(own)])


def middle(looks: list[tuple[float, int]], place: int) -> float:
    return sorted(look[place] for look in looks)[len(looks) // 2]


@pytest.mark.long
@pytest.mark.parametrize(
    "size", [pytest.param(500, id="five hundred"), pytest.param(5_000, id="five thousand", marks=pytest.mark.real)]
)
@pytest.mark.beside("neighbour")
@pytest.mark.usefixtures("_refusing")
def test_a_crowd_that_fails_costs_a_neighbour_no_more_than_its_share(
    team: Team, other: Team, proxy: Proxy, size: int
) -> None:
    faulthandler.dump_traceback_later(420, exit=True)
    neighbour = Neighbour(other, proxy, team)
    idle = [look for _ in range(LOOKS) for look in (neighbour.changes(), neighbour.creates())]
    fill(team, f"{other.ns}/vault", size)
    assert neighbour.reads() < size / 2, "most of the crowd waits for its turn"
    crowded = [look for _ in range(LOOKS) for look in (neighbour.changes(), neighbour.creates())]
    slower = middle(crowded, 0) / middle(idle, 0)
    print(f"beside {size} failing objects: {slower:.1f} times as slow, {middle(crowded, 1)} passes before")
    assert middle(crowded, 1) <= SHARE, crowded
    now = neighbour.reads()
    eventually(
        lambda: neighbour.reads() > now + size / 10, timeout=60, message="all the while the crowd goes on failing"
    )
    # What comes next finds the API server at rest.
    faulthandler.dump_traceback_later(420, exit=True)
    team.disband()
    eventually(
        lambda: team.bed.kube.list("VaultStaticSecret", team.ns) == [], timeout=400, message="the crowd has gone"
    )


@pytest.mark.long
@pytest.mark.beside("neighbour")
def test_the_slow_polls_of_a_crowd_cost_a_neighbour_no_more_than_its_turn(
    team: Team, other: Team, proxy: Proxy
) -> None:
    faulthandler.dump_traceback_later(420, exit=True)
    team.apply("VaultAuth", "auth", team.auth_spec(vaultConnectionRef=f"{other.ns}/vault"))
    Crowd(team, "1s").grow(POLLED, timeout=120)
    other.static(refreshAfter="1s")
    other.wait_ready()
    own, crowds = path_has(f"/v1/kv/data/{other.ns}/"), path_has(f"/v1/kv/data/{team.ns}/")
    first, beside, began = proxy.count(own), proxy.count(crowds), monotonic()
    eventually(lambda: proxy.count(own) >= first + POLLS, timeout=100, message="the neighbour is polled", interval=0.1)
    took, beside = monotonic() - began, proxy.count(crowds) - beside
    print(f"beside {POLLED} slow sources: {POLLS} polls in {took:.1f} s, {beside} of the crowd")
    assert beside > POLLED / 3, "all the while the crowd takes what it can get"
    assert beside <= POLLS * PERIODS * IN_A_PERIOD
