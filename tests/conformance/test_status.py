"""The status contract: what kstatus, Argo CD and `kubectl wait` read."""

from __future__ import annotations

from tests.conformance.contract import Situation, situation
from tests.conformance.stage import Stage, Team
from tests.testbed.bed import always, eventually

LASTS = 15


def test_an_object_that_nobody_has_seen_says_observed_generation_minus_one(team: Team, stage: Stage) -> None:
    stage.operator.stop()
    try:
        created = team.static()
        assert created["status"] == {"observedGeneration": -1}
    finally:
        stage.operator.start()
        stage.operator.wait_ready()


def test_in_order_means_ready_and_healthy_and_neither_reconciling_nor_stalled(team: Team) -> None:
    team.ready()
    status = team.get()["status"]
    types = {condition["type"]: condition for condition in status["conditions"]}
    assert set(types) == {"Ready", "Healthy", "SecretSynced"}
    assert {c["status"] for c in types.values()} == {"True"}
    assert status["observedGeneration"] == status["lastGeneration"] == 1
    assert all(c["observedGeneration"] == 1 for c in types.values())


def test_a_dangling_reference_is_reconciling_first_and_heals_by_itself(team: Team) -> None:
    team.put("app", {"password": "v1"})
    team.static()
    condition = team.wait_condition("Reconciling", reason="ReferenceNotFound")
    assert f"{team.ns}/auth" in condition["message"]
    assert team.condition("Ready")["status"] == "False"
    assert team.condition("Stalled") == {}
    team.access()
    team.wait_ready(timeout=10)
    assert team.condition("Reconciling") == {}


def test_a_forbidden_path_is_stalled_and_names_path_and_capability(team: Team) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.policy('path "kv/data/elsewhere" { capabilities = ["read"] }')
    team.static()
    condition = team.wait_condition("Stalled", reason="VaultPermissionDenied")
    assert f"kv/data/{team.ns}/app" in condition["message"]
    assert "read" in condition["message"]
    assert team.condition("Reconciling") == {}


def test_last_transition_time_moves_only_with_the_status(team: Team) -> None:
    team.ready()
    before = team.condition("Ready")["lastTransitionTime"]
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")
    team.patch({"spec": {"refreshAfter": "2s"}})
    team.wait_ready()
    assert team.condition("Ready")["lastTransitionTime"] == before


def test_nothing_is_written_while_nothing_changes(team: Team) -> None:
    team.ready()
    version = team.get()["metadata"]["resourceVersion"]
    always(
        lambda: team.get()["metadata"]["resourceVersion"] == version,
        during=2.5,
        message="an idle object is not written",
    )


def test_suspend_stops_reads_and_keeps_the_conditions(team: Team) -> None:
    team.ready()
    team.patch({"spec": {"suspend": True}})
    eventually(lambda: team.get()["status"]["observedGeneration"] == 2, message="the suspension is observed")
    mark = team.bed.mark()
    team.put("app", {"password": "v2"})
    always(lambda: team.the_data()["password"] == "v1", during=3)
    reads = [c for c in team.bed.vault_audit(mark) if c.path == f"kv/data/{team.ns}/app" and c.operation == "read"]
    assert reads == []
    assert team.condition("Ready")["status"] == "True"
    team.patch({"spec": {"suspend": False}})
    team.wait_data(lambda data: data["password"] == "v2")


def test_suspend_keeps_what_an_edit_that_stalled_has_told_and_lets_nobody_call_it_stalled(team: Team) -> None:
    team.ready()
    team.patch({"spec": {"path": "of-somebody-else/app"}})
    refused = team.wait_condition("Ready", "False", "VaultPermissionDenied")
    team.patch({"spec": {"suspend": True}})
    eventually(lambda: team.get()["status"]["observedGeneration"] == 3, message="the suspension is observed")
    told = team.condition("Ready")
    assert (told["status"], told["reason"]) == (refused["status"], refused["reason"])
    assert situation(team.get()) is Situation.SUSPENDED_FAILING
    team.patch({"spec": {"suspend": False, "path": f"{team.ns}/app"}})
    team.wait_ready()


def test_suspended_before_the_first_sync_is_not_ready(team: Team) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.static(suspend=True)
    team.wait_condition("Ready", "False", "Suspended")
    assert team.secret() is None


def test_a_resync_annotation_is_handled_once_per_value_and_acknowledged(team: Team) -> None:
    team.ready(refreshAfter="1h")
    mark = team.bed.mark()
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "one"}}})
    eventually(lambda: team.get()["status"].get("lastHandledResync") == "one", message="the value is acknowledged")
    reads = [c for c in team.bed.vault_audit(mark) if c.path == f"kv/data/{team.ns}/app" and c.operation == "read"]
    assert len(reads) == 1


def test_fluxs_requested_at_is_a_resync_too(team: Team) -> None:
    team.ready(refreshAfter="1h")
    team.patch({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "2026-01-01T00:00:00Z"}}})
    eventually(
        lambda: team.get()["status"].get("lastHandledResync") == "2026-01-01T00:00:00Z", message="it is acknowledged"
    )


def test_any_label_change_makes_one_fresh_look(team: Team) -> None:
    team.ready(refreshAfter="1h")
    team.put("app", {"password": "v2"})
    team.patch({"metadata": {"labels": {"touched": "1"}}})
    team.wait_data(lambda data: data["password"] == "v2", timeout=10)


def test_a_change_is_told_in_the_history_without_a_value(team: Team) -> None:
    team.ready()
    team.put("app", {"password": "topsecret2"})
    team.wait_data(lambda data: data["password"] == "topsecret2")
    history = eventually(lambda: len(team.get()["status"]["history"]) == 2 and team.get()["status"]["history"])
    assert [entry["version"] for entry in history] == ["2", "1"]
    assert "topsecret" not in str(team.get()["status"])


def test_the_secret_mac_and_client_meta_of_the_reference_are_there(team: Team) -> None:
    team.ready()
    status = team.get()["status"]
    assert len(status["secretMAC"]) == 44
    assert status["vaultClientMeta"]["cacheKey"].startswith("kubernetes-")
    assert len(status["vaultClientMeta"]["cacheKey"]) == len("kubernetes-") + 22


def test_an_event_tells_the_first_sync(team: Team) -> None:
    team.ready()
    events = eventually(lambda: team.events(reason="SecretSynced"), message="the first sync is told")
    assert events[0]["type"] == "Normal"


def test_a_finalizer_of_the_reference_is_removed_when_met(team: Team) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.static(metadata={"finalizers": ["vaultstaticsecret.secrets.hashicorp.com/finalizer", "example.com/theirs"]})
    eventually(
        lambda: team.get()["metadata"]["finalizers"] == ["example.com/theirs"], message="ours goes, theirs stays"
    )
    team.patch({"metadata": {"finalizers": []}})
