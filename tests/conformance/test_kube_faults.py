"""The API server away, silent or restarted; the operator killed: nothing is lost and nothing done twice."""

from __future__ import annotations

import random

import httpx
import pytest

from tests.conformance.stage import OPERATOR_USER, Stage, Team
from tests.testbed.bed import always, eventually
from tests.testbed.operator import Operator
from tests.testbed.proxy import Cut, Freeze, Proxy, Status, path_has
from tests.testbed.real import RealBed

LASTS = 60

BEHIND_A_PROXY = True
OPERATOR_ARGS = (
    "--backoff-initial-interval=1s",
    "--backoff-max-interval=3s",
    "--leader-elect-lease-duration=2s",  # what a killed leader leaves behind is waited for
    "--leader-elect-renew-deadline=1500ms",
    "--leader-elect-retry-period=250ms",
)
UNAVAILABLE = Status(503, {"kind": "Status", "status": "Failure", "reason": "ServiceUnavailable", "code": 503})


def holds(team: Team, password: str, name: str = "app", timeout: float = 40) -> None:
    team.wait_data(lambda data: data["password"] == password, name, timeout)


def restart(operator: Operator) -> None:
    operator.kill()
    operator.start()
    operator.wait_ready()


def test_a_killed_operator_goes_on_where_it_was(team: Team, operator: Operator) -> None:
    team.ready()
    operator.kill()
    team.put("app", {"password": "v2"})
    operator.start()
    operator.wait_ready()
    holds(team, "v2")
    team.wait_ready()


def test_a_kill_in_the_middle_of_many_first_syncs_leaves_none_behind(team: Team, operator: Operator) -> None:
    team.access()
    for number in range(20):
        team.put(f"app-{number}", {"password": str(number)})
        team.static(f"app-{number}", path=f"app-{number}", refreshAfter="1h")
    restart(operator)
    for number in range(20):
        team.wait_ready(f"app-{number}", timeout=40)
        assert team.the_data(f"app-{number}")["password"] == str(number)


def test_sigterm_ends_the_operator_in_time_with_code_zero(team: Team, operator: Operator) -> None:
    team.ready()
    ended = operator.stop()
    assert ended.code == 0
    assert ended.seconds < 5


def test_an_api_server_that_refuses_everything_is_waited_for(team: Team, operator: Operator, kube_proxy: Proxy) -> None:
    operator.stop()
    team.access()
    team.put("app", {"password": "v1"})
    team.static()
    kube_proxy.fault(UNAVAILABLE)
    operator.start()
    eventually(
        lambda: "KubernetesUnavailable" in operator.log_text(since_start=True), message="the log says why it waits"
    )
    assert operator.running
    kube_proxy.clear()
    team.wait_ready(timeout=40)


def test_cut_watches_are_resumed_without_a_list(team: Team, operator: Operator, kube_proxy: Proxy) -> None:
    team.ready()
    lists = kube_proxy.count(is_list)
    kube_proxy.cut(path_has("watch=1"))
    team.static("second")
    team.wait_ready("second", timeout=30)
    assert kube_proxy.count(is_list) == lists


@pytest.mark.only_in("full", "namespaced-full", because="write-only watches no Secrets")
def test_a_410_leads_to_one_list_per_watch(team: Team, operator: Operator, kube_proxy: Proxy) -> None:
    team.ready()
    lists = kube_proxy.count(is_secret_list)
    gone = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410}
    kube_proxy.fault(Status(410, gone), is_secret_watch, times=1)
    kube_proxy.cut(is_secret_watch)
    eventually(lambda: kube_proxy.count(is_secret_list) == lists + 1, message="one relist")
    team.put("app", {"password": "v2"})
    holds(team, "v2")
    always(lambda: kube_proxy.count(is_secret_list) == lists + 1, during=1)


@pytest.mark.only_in("full", "namespaced-full", because="write-only watches no Secrets")
def test_a_deletion_during_a_gap_of_the_watch_is_noticed(team: Team, operator: Operator, kube_proxy: Proxy) -> None:
    team.ready(refreshAfter="1h")
    fault = kube_proxy.fault(UNAVAILABLE, is_secret_watch)
    kube_proxy.cut(is_secret_watch)
    team.bed.kube.delete("Secret", team.ns, "app")
    kube_proxy.lift(fault)
    holds(team, "v1")


def test_a_conflict_on_the_status_is_retried(team: Team, operator: Operator, kube_proxy: Proxy) -> None:
    conflict = {"kind": "Status", "status": "Failure", "reason": "Conflict", "code": 409, "message": "changed"}
    fault = kube_proxy.fault(Status(409, conflict), path_has("vaultstaticsecrets/app/status"), times=2)
    team.ready()
    assert fault.spent


def test_a_status_write_whose_answer_is_lost_is_nobody_elses(team: Team, operator: Operator, kube_proxy: Proxy) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    fault = kube_proxy.fault(Cut(), path_has("vaultstaticsecrets/app/status"), times=1)
    team.static()
    eventually(lambda: fault.spent, message="the answer is cut off")
    team.wait_ready(timeout=30)
    holds(team, "v1")
    always(lambda: not team.events("app", "ForeignWriter"), during=1)


def test_a_frozen_api_server_leaves_the_secrets_and_is_survived(
    team: Team, operator: Operator, kube_proxy: Proxy
) -> None:
    team.ready()
    fault = kube_proxy.fault(Freeze())
    always(lambda: team.the_data()["password"] == "v1", during=3)
    kube_proxy.lift(fault)
    team.put("app", {"password": "v2"})
    holds(team, "v2", timeout=60)


def test_a_terminating_namespace_is_not_wedged_by_our_objects(team: Team, operator: Operator) -> None:
    team.ready()
    team.leave()
    eventually(lambda: not team.bed.kube.exists("Namespace", None, team.ns), timeout=60, message="the namespace goes")


FOREIGN = {"status": {"conditions": [], "sourceVersion": "foreign"}}


def test_a_status_that_somebody_else_writes_is_reported_and_put_right_without_a_fight(
    team: Team, stage: Stage, operator: Operator
) -> None:
    team.ready(refreshAfter="1h")
    mark = stage.bed.mark()
    team.bed.kube.patch("VaultStaticSecret", team.ns, "app", FOREIGN, subresource="status")
    (event,) = eventually(lambda: team.events("app", "ForeignWriter"), message="it is reported")
    assert event["type"] == "Warning"
    assert "other operator" in event["message"]
    team.wait_ready()
    eventually(lambda: team.get()["status"]["sourceVersion"] == "1", message="the status is right again")
    for _ in range(5):
        team.bed.kube.patch("VaultStaticSecret", team.ns, "app", FOREIGN, subresource="status")
    always(lambda: len(team.events("app", "ForeignWriter")) == 1, during=1)
    assert team.events("app", "ForeignWriter")[0].get("count", 1) == 1
    writes = [c for c in stage.bed.kube_audit(mark) if c.namespace == team.ns and c.writes and c.user == OPERATOR_USER]
    assert len([c for c in writes if c.resource == "vaultstaticsecrets"]) == 1
    assert [c for c in writes if c.resource == "secrets"] == []
    team.bed.kube.delete("VaultStaticSecret", team.ns, "app")  # what it says now is not the operator's word


def test_our_own_status_writes_are_never_taken_for_a_strangers(team: Team, operator: Operator) -> None:
    team.ready()
    for number in range(10):
        team.put("app", {"password": f"v{number}"})
        team.patch({"metadata": {"labels": {"touched": str(number)}}})
    holds(team, "v9")
    team.wait_ready()
    assert team.events("app", "ForeignWriter") == []
    assert team.events("auth", "ForeignWriter") == []
    assert team.events("vault", "ForeignWriter") == []


@pytest.mark.real
@pytest.mark.refused  # an API server that starts has not read its roles yet
def test_a_restarted_api_server_finds_the_operator_where_it_was(
    team: Team, real_bed: RealBed, operator: Operator
) -> None:
    team.access()
    for name in ("a", "b", "c"):
        team.put(name, {"password": "v1"})
        team.static(name, path=name)
        team.wait_ready(name)
    before = {name: team.the_secret(name)["metadata"]["uid"] for name in ("a", "b", "c")}
    mark = real_bed.mark()
    real_bed.stop_server("kube-apiserver")
    for name in before:
        team.put(name, {"password": "v2"})
    real_bed.start_server("kube-apiserver")
    for name, uid in before.items():
        holds(team, "v2", name, timeout=60)
        team.wait_ready(name, timeout=60)
        assert team.the_secret(name)["metadata"]["uid"] == uid
    assert operator.running
    writes = [c for c in real_bed.kube_audit(mark) if c.resource == "secrets" and c.namespace == team.ns and c.writes]
    # One whose answer the stop cut off is sent again, and changes nothing the second time.
    assert len(before) <= len([c for c in writes if c.code == 200]) <= 2 * len(before)


@pytest.mark.real
@pytest.mark.refused
def test_a_gap_that_etcd_has_compacted_is_healed_by_a_list(
    team: Team, real_bed: RealBed, operator: Operator, kube_proxy: Proxy
) -> None:
    team.ready(refreshAfter="1h")
    # A pass that never hears that its status was taken is done again, and would find the Secret gone by itself.
    eventually(lambda: not kube_proxy.under_way(is_write), message="the operator has heard of what it wrote")
    kube_proxy.stop()
    lists = kube_proxy.count(is_secret_list)
    team.bed.kube.delete("Secret", team.ns, "app")
    compact(real_bed)
    real_bed.stop_server("kube-apiserver")
    real_bed.start_server("kube-apiserver")
    kube_proxy.start()
    holds(team, "v1", timeout=60)
    assert kube_proxy.count(is_secret_list) > lists
    team.wait_ready()


@pytest.mark.real
def test_kills_at_random_moments_lose_nothing_and_leave_nothing_behind(
    team: Team, real_bed: RealBed, operator: Operator
) -> None:
    rng = random.Random(20)
    names = [f"app-{number}" for number in range(30)]
    team.access()
    for kill in range(8):
        for name in names:
            team.put(name, {"password": f"{name} {kill}"})
            if kill == 0:
                team.static(name, path=name)
        always(lambda: operator.running, during=rng.uniform(0.0, 1.5))
        restart(operator)
        eventually(lambda: operator.leads, message="it works again")
    for name in names:
        holds(team, f"{name} 7", name, timeout=60)
        team.wait_ready(name, timeout=60)
    made = team.bed.kube.list("Secret", team.ns)
    assert sorted(secret["metadata"]["name"] for secret in made) == sorted(names)
    for secret in made:
        owner = team.get(name=secret["metadata"]["name"])
        assert [ref["uid"] for ref in secret["metadata"]["ownerReferences"]] == [owner["metadata"]["uid"]]
        assert owner["status"]["destination"]["uid"] == secret["metadata"]["uid"]
        assert owner["status"]["lastGeneration"] == owner["metadata"]["generation"]


def compact(bed: RealBed) -> None:
    """Have etcd forget every revision before the latest."""
    key = "L3JlZ2lzdHJ5"  # any key: the answer's header tells the latest revision
    revision = httpx.post(f"{bed.etcd_url}/v3/kv/range", json={"key": key}, trust_env=False).json()["header"][
        "revision"
    ]
    body = {"revision": revision, "physical": True}
    httpx.post(f"{bed.etcd_url}/v3/kv/compaction", json=body, trust_env=False).raise_for_status()


def is_list(method: str, path: str) -> bool:
    return method == "GET" and "limit=" in path


def is_write(method: str, path: str) -> bool:
    return method != "GET" and "/leases" not in path


def is_secret_list(method: str, path: str) -> bool:
    return is_list(method, path) and "/secrets?" in path


def is_secret_watch(method: str, path: str) -> bool:
    return method == "GET" and "/secrets?" in path and "watch=1" in path
