"""The API server away, silent or restarted; the operator killed: nothing is lost and nothing done twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.stage import Stage, Team
from tests.testbed.bed import Bed, always, eventually
from tests.testbed.operator import Setting
from tests.testbed.proxy import Freeze, Proxy, Status, path_has

ARGS = ("--backoff-initial-interval=1s", "--backoff-max-interval=3s")


@pytest.fixture
def stage(prepared: Bed) -> Iterator[Stage]:
    """A fresh operator for each scenario: it is killed and cut off here."""
    stage = Stage(prepared)
    stage.start_operator(*ARGS)
    yield stage
    stage.close()


@pytest.fixture
def kube_proxy(prepared: Bed) -> Iterator[Proxy]:
    with prepared.kube_proxy() as proxy:
        yield proxy


def ready(team: Team, **changes: object) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.static(**changes)  # type: ignore[arg-type]
    team.wait_ready()


def test_a_killed_operator_goes_on_where_it_was(team: Team, stage: Stage) -> None:
    ready(team)
    operator = stage.operator
    assert operator is not None
    for version in range(2, 6):
        operator.kill()
        team.put("app", {"password": f"v{version}"})
        operator.start()
        operator.wait_ready()
        team.wait_data(lambda data, v=version: data["password"] == f"v{v}", timeout=40)
    team.wait_ready()


def test_a_kill_in_the_middle_of_many_first_syncs_leaves_none_behind(team: Team, stage: Stage) -> None:
    team.access()
    for number in range(20):
        team.put(f"app-{number}", {"password": str(number)})
        team.static(f"app-{number}", path=f"app-{number}", refreshAfter="1h")
    operator = stage.operator
    assert operator is not None
    operator.kill()
    operator.start()
    operator.wait_ready()
    for number in range(20):
        team.wait_ready(f"app-{number}", timeout=40)
        assert team.data(f"app-{number}")["password"] == str(number)  # type: ignore[index]


def test_sigterm_ends_the_operator_in_time_with_code_zero(team: Team, stage: Stage) -> None:
    ready(team)
    ended = stage.operator.stop()  # type: ignore[union-attr]
    assert ended.code == 0
    assert ended.seconds < 5


def test_an_api_server_that_refuses_everything_is_waited_for(team: Team, prepared: Bed, kube_proxy: Proxy) -> None:
    stage = Stage(prepared)
    kube_proxy.fault(Status(503, {"kind": "Status", "status": "Failure", "reason": "ServiceUnavailable", "code": 503}))
    team.access()
    team.put("app", {"password": "v1"})
    team.static()
    team.stage.operator.stop()  # type: ignore[union-attr]
    operator = stage.start_operator(*ARGS, wait=False, setting=Setting(name="proxied", server=kube_proxy.url))
    try:
        eventually(lambda: "KubernetesUnavailable" in operator.log_text(), message="the log says why it waits")
        assert operator.running
        kube_proxy.clear()
        team.wait_ready(timeout=40)
    finally:
        stage.close()


def test_cut_watches_are_resumed_without_a_list(team: Team, prepared: Bed, kube_proxy: Proxy) -> None:
    stage = proxied(team, prepared, kube_proxy)
    try:
        ready(team)
        lists = kube_proxy.count(is_list)
        kube_proxy.cut(path_has("watch=1"))
        team.static("second")
        team.wait_ready("second", timeout=30)
        assert kube_proxy.count(is_list) == lists
    finally:
        stage.close()


def test_a_410_leads_to_one_list_per_watch(team: Team, prepared: Bed, kube_proxy: Proxy) -> None:
    stage = proxied(team, prepared, kube_proxy)
    try:
        ready(team)
        lists = kube_proxy.count(is_secret_list)
        gone = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410}
        kube_proxy.fault(Status(410, gone), is_secret_watch, times=1)
        kube_proxy.cut(is_secret_watch)
        eventually(lambda: kube_proxy.count(is_secret_list) == lists + 1, message="one relist")
        always(lambda: kube_proxy.count(is_secret_list) == lists + 1, during=3)
        team.put("app", {"password": "v2"})
        team.wait_data(lambda data: data["password"] == "v2", timeout=30)
    finally:
        stage.close()


def test_a_deletion_during_a_gap_of_the_watch_is_noticed(team: Team, prepared: Bed, kube_proxy: Proxy) -> None:
    stage = proxied(team, prepared, kube_proxy)
    try:
        ready(team, refreshAfter="1h")
        fault = kube_proxy.fault(Status(503, {"kind": "Status", "code": 503}), is_secret_watch)
        kube_proxy.cut(is_secret_watch)
        team.bed.kube.delete("Secret", team.ns, "app")
        kube_proxy.lift(fault)
        team.wait_data(lambda data: data["password"] == "v1", timeout=60)
    finally:
        stage.close()


def test_a_conflict_on_the_status_is_retried(team: Team, prepared: Bed, kube_proxy: Proxy) -> None:
    stage = proxied(team, prepared, kube_proxy)
    try:
        conflict = {"kind": "Status", "status": "Failure", "reason": "Conflict", "code": 409, "message": "changed"}
        kube_proxy.fault(Status(409, conflict), path_has("vaultstaticsecrets/app/status"), times=2)
        ready(team)
    finally:
        stage.close()


def test_a_frozen_api_server_leaves_the_secrets_and_is_survived(team: Team, prepared: Bed, kube_proxy: Proxy) -> None:
    stage = proxied(team, prepared, kube_proxy)
    try:
        ready(team)
        fault = kube_proxy.fault(Freeze())
        always(lambda: team.data()["password"] == "v1", during=5)  # type: ignore[index]
        kube_proxy.lift(fault)
        team.put("app", {"password": "v2"})
        team.wait_data(lambda data: data["password"] == "v2", timeout=60)
    finally:
        stage.close()


def test_a_terminating_namespace_is_not_wedged_by_our_objects(team: Team, stage: Stage) -> None:
    ready(team)
    team.disband()
    eventually(lambda: not team.bed.kube.exists("Namespace", None, team.ns), timeout=60, message="the namespace goes")


def proxied(team: Team, prepared: Bed, kube_proxy: Proxy) -> Stage:
    """An operator behind the proxy, in place of the fixture's."""
    team.stage.operator.stop()  # type: ignore[union-attr]
    stage = Stage(prepared)
    stage.start_operator(*ARGS, setting=Setting(name="proxied", server=kube_proxy.url))
    return stage


def is_list(method: str, path: str) -> bool:
    return method == "GET" and "limit=" in path


def is_secret_list(method: str, path: str) -> bool:
    return is_list(method, path) and "/secrets?" in path


def is_secret_watch(method: str, path: str) -> bool:
    return method == "GET" and "/secrets?" in path and "watch=1" in path
