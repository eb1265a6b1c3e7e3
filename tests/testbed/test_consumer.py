"""Applications that consume a credential: what they see of it and when, and that they notice when it is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.testbed.bed import KubeAdmin, eventually
from tests.testbed.consumer import Consumers, Habits, Mode, Seen, visible
from tests.testbed.database import Database
from tests.testbed.postgres import Login
from tests.testbed.real import RealBed
from tests.testbed.rollouts import Rollouts, Workload

OLD, NEW = Login("old", "o"), Login("new", "n")
CHANGED = (Seen(0, OLD), Seen(100, NEW))
_numbers = itertools.count(1)
_PROMPT = (0.2, 0.4)


@pytest.mark.parametrize(
    ("mode", "history", "started", "now", "expected"),
    [
        pytest.param("env", (), 50, 90, None, id="env-no-secret"),
        pytest.param("env", CHANGED, 50, 54, None, id="env-comes-up"),
        pytest.param("env", CHANGED, 50, 55, OLD, id="env-has-read"),
        pytest.param("env", CHANGED, 50, 500, OLD, id="env-never-reads-again"),
        pytest.param("env", CHANGED, 97, 103, NEW, id="env-reads-late"),
        pytest.param("env", CHANGED[1:], 50, 101, NEW, id="env-waits-for-the-secret"),
        pytest.param("mount", (), 50, 90, None, id="mount-no-secret"),
        pytest.param("mount", CHANGED, 50, 104, OLD, id="mount-is-behind"),
        pytest.param("mount", CHANGED, 50, 105, NEW, id="mount-catches-up"),
        pytest.param("mount", CHANGED, 101, 102, NEW, id="mount-starts-with-what-is-there"),
        pytest.param("mount", CHANGED[1:], 50, 101, NEW, id="mount-waits-for-the-secret"),
    ],
)
def test_what_an_application_sees(
    mode: Mode, history: tuple[Seen, ...], started: float, now: float, expected: Login | None
) -> None:
    assert visible(mode, history, started=started, delay=5, now=now) == expected


@pytest.fixture
def database(real_bed: RealBed) -> Database:
    return real_bed.database()


@pytest.fixture
def rollouts(real_bed: RealBed) -> Rollouts:
    return real_bed.rollouts()


@pytest.fixture
def kube(real_bed: RealBed) -> KubeAdmin:
    return real_bed.kube


@pytest.fixture
def app(real_bed: RealBed) -> Iterator[Workload]:
    """A workload in a namespace of its own, not applied."""
    name = f"consumers-{next(_numbers)}"
    real_bed.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield Workload(name, secret="app")
    real_bed.kube.delete("Namespace", None, name)


@pytest.fixture
def put(kube: KubeAdmin, app: Workload) -> Callable[[Login], object]:
    """Write a login into the workload's Secret."""
    meta = {"name": "app", "namespace": app.namespace}

    def write(login: Login) -> object:
        data = {"username": login.username, "password": login.password}
        return kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data})

    return write


@pytest.mark.real
def test_a_stable_user_is_never_refused_and_a_dropped_one_is(
    database: Database, rollouts: Rollouts, kube: KubeAdmin, app: Workload, put: Callable[[Login], object]
) -> None:
    login = database.add_user(f"{app.namespace}-user")
    put(login)
    rollouts.apply(app)
    with Consumers(kube, database.postgres, app, Habits(delay=_PROMPT)) as consumers:
        eventually(lambda: consumers.report.logins >= 30, message=lambda: str(consumers.report))
        assert len(consumers.report.users) == 3, "one per pod"
        assert consumers.report.refusals == []
        database.drop_user(login.username)
        eventually(lambda: len({refusal.pod for refusal in consumers.report.refusals}) == 3, message="each is refused")
    assert login.password not in str(consumers.report)
    assert login.username in str(consumers.report)


@pytest.mark.real
@pytest.mark.parametrize("mode", ["env", "mount"])
def test_a_user_that_is_dropped_when_all_have_moved_on_is_missed_by_none(
    database: Database, rollouts: Rollouts, kube: KubeAdmin, app: Workload, put: Callable[[Login], object], mode: Mode
) -> None:
    old, new = (database.add_user(f"{app.namespace}-{age}") for age in ("old", "new"))
    put(old)
    rollouts.apply(app)
    with Consumers(kube, database.postgres, app, Habits(mode, delay=_PROMPT)) as consumers:
        eventually(lambda: len(consumers.report.users) == 3, message="three applications log in")
        put(new)
        if mode == "env":
            rollouts.restart(app)
            rollouts.wait_available(app)
        using = {pod["metadata"]["name"] for pod in rollouts.pods(app)}

        def moved() -> bool:
            users = consumers.report.users
            return all(users.get(pod, [""])[-1] == new.username for pod in using)

        eventually(moved, message=lambda: str(consumers.report.users))
        database.drop_user(old.username)
        before = consumers.report.logins
        eventually(lambda: consumers.report.logins >= before + 12, message=lambda: str(consumers.report))
    assert consumers.report.refusals == [], str(consumers.report)
    expected = [new.username] if mode == "env" else [old.username, new.username]
    assert all(consumers.report.users[pod] == expected for pod in using)


@pytest.mark.real
def test_a_database_that_is_away_is_no_refusal(
    database: Database, rollouts: Rollouts, kube: KubeAdmin, app: Workload, put: Callable[[Login], object]
) -> None:
    put(database.add_user(f"{app.namespace}-user"))
    rollouts.apply(app)
    with Consumers(kube, database.postgres, app, Habits(delay=_PROMPT)) as consumers:
        eventually(lambda: consumers.report.logins > 0)
        database.stop()
        eventually(lambda: consumers.report.unreachable > 0)
        database.start()
        before = consumers.report.logins
        eventually(lambda: consumers.report.logins > before + 6)
    assert consumers.report.refusals == []
