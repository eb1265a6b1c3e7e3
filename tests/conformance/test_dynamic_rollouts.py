"""Credentials that rotate under real rollouts: applications log in to the database all the time and count refusals.

A replaced lease lives until every consumer runs with the new one, and never longer than its overlap.
"""

from __future__ import annotations

import faulthandler
from contextlib import ExitStack
from functools import partial
from typing import Any, get_args

import pytest

from tests.conformance.scene import KIND, RESTARTED_AT, Scene, watching
from tests.conformance.stage import Json, Team
from tests.testbed.bed import always, eventually
from tests.testbed.consumer import Consumers, Habits
from tests.testbed.database import Database
from tests.testbed.operator import Operator
from tests.testbed.proxy import BlackHole, Proxy, path_has
from tests.testbed.real import RealBed
from tests.testbed.rollouts import Kind, Rollouts
from tests.testbed.stages import Pace

pytestmark = pytest.mark.real
BEHIND_A_PROXY = True
OPERATOR_ARGS = (
    "--backoff-initial-interval=500ms",
    "--backoff-max-interval=1s",
    "--leader-elect=false",  # a killed leader would be waited for
)


@pytest.fixture
def database(real_bed: RealBed) -> Database:
    """The database behind Vault."""
    return real_bed.database()


@pytest.fixture
def rollouts(real_bed: RealBed) -> Rollouts:
    """The nodes on which pods run."""
    return real_bed.rollouts()


@pytest.fixture
def scene(team: Team, database: Database, rollouts: Rollouts) -> Scene:
    """The team with its access to Vault and to the database's roles."""
    team.policy(
        f'path "{database.mount}/creds/{team.ns}-*" {{ capabilities = ["read"] }}\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n'
    )
    team.access()
    return Scene(team, database, rollouts)


@pytest.fixture
def patience() -> None:
    """More time than the suite gives to a scenario."""
    faulthandler.dump_traceback_later(420, exit=True)


def target(name: str = "app", kind: str = "Deployment") -> Json:
    return {"kind": kind, "name": name}


@pytest.mark.parametrize("kind", get_args(Kind))
def test_the_replaced_lease_goes_as_soon_as_every_pod_runs_with_the_new_credentials(scene: Scene, kind: Kind) -> None:
    old = scene.secret(target(kind=kind), overlap="5m")
    workload = scene.workload(kind=kind, pace=Pace(ready_after=2, only_restarts=True))
    with Consumers(scene.team.bed.kube, scene.database.postgres, workload, Habits("env", (1, 2))) as consumers:
        eventually(lambda: consumers.report.logins > 3, message="the application logs in")
        scene.rotate()
        while not scene.rollouts.available(workload) or RESTARTED_AT not in scene.marks(kind=kind):
            assert old["username"] in scene.users()
        eventually(scene.at_rest, timeout=15, message="the old user is gone")
        count = consumers.report.logins
        eventually(lambda: consumers.report.logins > count + 3, message="the application logs in with the new one")
    assert consumers.report.refusals == [], str(consumers.report)


@pytest.mark.parametrize("outcome", ["stuck", "crash"])
def test_a_rollout_that_gets_nowhere_keeps_the_replaced_lease_until_its_overlap_ends(
    scene: Scene, outcome: Any
) -> None:
    old = scene.secret(target(), overlap="10s")
    scene.workload(pace=Pace(outcome=outcome, only_restarts=True))
    scene.rotate()
    always(lambda: old["username"] in scene.users(), during=8, message="the old user lives")
    eventually(scene.at_rest, timeout=8, message="the old user is gone after its overlap")


def test_a_rollout_that_takes_longer_than_the_replaced_lease_lives_has_it_kept_alive(scene: Scene) -> None:
    """Three pods, one after the other: more than twice the 15 s that the lease has by itself."""
    scene.secret(target(), ttl="15s", overlap="3m")
    workload = scene.workload(pace=Pace(ready_after=12, only_restarts=True))
    with Consumers(scene.team.bed.kube, scene.database.postgres, workload, Habits("env", (0.1, 0.5))) as consumers:
        eventually(lambda: consumers.report.logins > 3, message="the application logs in")
        scene.rotate()
        eventually(scene.at_rest, timeout=80, message="the old user is gone")
    assert consumers.report.refusals == [], str(consumers.report)


def test_pods_that_are_still_going_keep_their_credentials(scene: Scene) -> None:
    scene.secret(target(), overlap="1m")
    workload = scene.workload(pace=Pace(lingers=5))
    with Consumers(scene.team.bed.kube, scene.database.postgres, workload, Habits("env", (0.1, 0.5))) as consumers:
        eventually(lambda: consumers.report.logins > 3, message="the application logs in")
        scene.rotate()
        eventually(scene.at_rest, timeout=40, message="the old user is gone")
    assert consumers.report.refusals == [], str(consumers.report)


def test_the_first_sync_restarts_nothing(scene: Scene) -> None:
    mark = scene.team.bed.mark()
    workload = scene.workload(wait=False)
    scene.secret(target())
    scene.rollouts.wait_available(workload)
    always(lambda: scene.restarts(mark) == [], during=3)
    assert RESTARTED_AT not in scene.marks()


def test_secrets_that_share_a_target_each_give_back_what_was_replaced(scene: Scene) -> None:
    for name in ("one", "two"):
        scene.secret(target(), name=name, overlap="5m")
    scene.workload(secret="one")
    scene.rotate("one")
    scene.rotate("two")
    eventually(lambda: scene.at_rest("one") and scene.at_rest("two"), timeout=20, message="one user is left of each")


def test_secrets_that_rotate_together_restart_a_shared_target_once(scene: Scene) -> None:
    names = ("one", "two", "three")
    for name in names:
        scene.secret(target(), name=name, overlap="5m")
    scene.workload(secret="one")
    mark = scene.team.bed.mark()
    scene.rotate(*names)
    eventually(lambda: all(map(scene.settled, names)), message="every secret's restart is told")
    assert scene.restarts(mark) == ["app"]
    eventually(lambda: all(map(scene.at_rest, names)), timeout=20, message="one user is left of each")


def test_a_crash_between_secret_and_restart_leads_to_exactly_one_restart(
    scene: Scene, operator: Operator, kube_proxy: Proxy
) -> None:
    old = scene.secret(target(), overlap="5m")
    scene.workload()
    mark = scene.team.bed.mark()
    on_the_way = path_has("/deployments/app", method="PATCH")
    kube_proxy.fault(BlackHole(), on_the_way)
    scene.rotate()
    eventually(lambda: kube_proxy.count(on_the_way), message="the restart is on its way")
    operator.kill()
    kube_proxy.clear()
    assert scene.restarts(mark) == []
    held = scene.team.data("db")
    operator.start()
    operator.wait_ready()
    eventually(scene.settled, timeout=30, message="the restart that was owed is told")
    eventually(scene.at_rest, timeout=30, message="the old user is gone")
    assert scene.team.data("db") == held != old
    assert scene.restarts(mark) == ["app"]
    assert scene.team.bed.kube.find("Deployment", scene.team.ns, "app")["metadata"]["generation"] == 2


def test_every_missing_target_is_named_and_restarted_once_it_exists(scene: Scene) -> None:
    old = scene.secret(target(), target("late"), target("later", "StatefulSet"), overlap="5m")
    scene.workload()
    mark = scene.team.bed.mark()
    scene.rotate()
    condition = scene.team.wait_condition("RolloutRestart", "False", kind=KIND, name="db")
    assert f"Deployment {scene.team.ns}/late" in condition["message"]
    assert f"StatefulSet {scene.team.ns}/later" in condition["message"]
    assert f"Deployment {scene.team.ns}/app" not in condition["message"]
    assert scene.team.condition("Ready", KIND, "db")["status"] == "True"
    assert old["username"] in scene.users()
    scene.workload("late")
    scene.workload("later", kind="StatefulSet")
    scene.team.wait_condition("RolloutRestart", kind=KIND, name="db")
    eventually(scene.at_rest, timeout=20, message="the old user is gone")
    assert sorted(scene.restarts(mark)) == ["app", "late", "later"]


@pytest.mark.usefixtures("patience")
def test_ten_rotations_under_slow_rollouts_a_kill_and_an_outage_refuse_no_login(
    scene: Scene, operator: Operator, real_bed: RealBed
) -> None:
    """Renewed as usual, which leaves a brief lease 20 of its 30 s: the outage fits into that, and so does a rollout."""
    names = ("even", "slow", "mounted", "daemons")
    paces = {"slow": Pace(ready_after=2)}
    modes: dict[str, Habits] = {"mounted": Habits("mount"), "daemons": Habits("mount", seed=2)}
    with ExitStack() as running:
        most = running.enter_context(watching(scene, *names))
        reports = {}
        for name in names:
            kind = "DaemonSet" if name == "daemons" else "Deployment"
            scene.secret(target(name, kind), name=name, ttl="30s", max_ttl="75s")
            workload = scene.workload(name, secret=name, kind=kind, pace=paces.get(name, Pace()))
            habits = modes.get(name, Habits("env"))
            consumers = Consumers(real_bed.kube, scene.database.postgres, workload, habits)
            reports[name] = running.enter_context(consumers).report
        seen: dict[str, set[str]] = {name: set() for name in names}

        def rotations() -> int:
            for name in names:
                seen[name].add((scene.team.data(name) or {})["username"])
            return sum(len(users) - 1 for users in seen.values())

        eventually(lambda: rotations() >= 3, timeout=100, message="three rotations", interval=0.3)
        operator.kill()
        operator.start()
        operator.wait_ready()
        eventually(lambda: rotations() >= 6, timeout=100, message="six rotations", interval=0.3)
        # What reaches its last end while nobody can issue anew has none to follow: no operator helps that.
        eventually(lambda: max(map(scene.age, names)) <= 25, timeout=100, message="no lease is old", interval=0.3)
        real_bed.vault.seal()
        always(lambda: True, during=15)
        real_bed.vault.unseal()
        eventually(lambda: rotations() >= 10, timeout=120, message="ten rotations", interval=0.3)
        for name in names:
            eventually(partial(scene.at_rest, name), timeout=60, message=f"one user of {name} is left")
    for name, report in reports.items():
        assert report.refusals == [], f"{name}: {report}"
        assert report.logins > 100
    assert max(most.values()) <= 2, most
    for name in names:
        scene.team.bed.kube.remove(scene.team.manifest(KIND, name, {}))
    eventually(lambda: not any(map(scene.users, names)), timeout=20, message="no user is left")
