"""Write-only mode: create, update and patch on Secrets are all the rights there are."""

from __future__ import annotations

from tests.conformance.stage import OPERATOR_NAMESPACE, OPERATOR_USER, Stage, Team
from tests.testbed.bed import always, eventually

SECRETS_ACCESS = "write-only"
OPERATOR_ARGS = ("--drift-interval=1s", "--config-recheck-interval=2s")
OWNER = "secrets.hashicorp.com/vso-ownerRefUID"


def test_a_secret_is_created_and_follows_vault_with_create_and_patch_alone(team: Team, stage: Stage) -> None:
    mark = stage.bed.mark()
    team.ready()
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")
    verbs = {
        call.verb
        for call in stage.bed.kube_audit(mark)
        if call.user == OPERATOR_USER and call.resource == "secrets" and call.namespace == team.ns
    }
    assert verbs <= {"create", "update", "patch"}


def test_no_request_of_the_operator_is_refused_for_want_of_rights(team: Team, stage: Stage) -> None:
    mark = stage.bed.mark()
    team.ready()
    calls = [call for call in stage.bed.kube_audit(mark) if call.user == OPERATOR_USER]
    # The namespace of an earlier scenario refuses what is new while it goes.
    assert [call for call in calls if call.code == 403 and call.namespace in {team.ns, OPERATOR_NAMESPACE, ""}] == []


def test_a_foreign_edit_is_repaired_at_the_next_drift_check(team: Team) -> None:
    team.ready(refreshAfter="1h")
    team.bed.kube.patch("Secret", team.ns, "app", {"stringData": {"password": "hacked", "extra": "1"}})
    team.wait_data(lambda data: data["password"] == "v1" and "extra" not in data, timeout=15)


def test_a_secret_deleted_by_hand_is_back_at_the_next_drift_check(team: Team) -> None:
    team.ready(refreshAfter="1h")
    team.bed.kube.delete("Secret", team.ns, "app")
    team.wait_data(lambda data: data["password"] == "v1", timeout=15)


def test_a_label_that_is_put_back_on_a_retained_secret_is_seen_at_the_next_look(team: Team) -> None:
    team.ready(refreshAfter="1h", destination={"onDelete": "Retain"})
    uid = team.get()["metadata"]["uid"]
    team.bed.kube.patch("Secret", team.ns, "app", {"metadata": {"labels": {OWNER: None}}})
    told = team.wait_condition("Stalled", reason="DestinationConflict")
    assert f"its label {OWNER}={uid} is missing: put it back" in told["message"]
    assert "looked at again every 2s" in told["message"]
    body = {"metadata": {"labels": {OWNER: uid}}, "stringData": {"password": "hacked"}}
    team.bed.kube.patch("Secret", team.ns, "app", body)
    team.wait_data(lambda data: data["password"] == "v1", timeout=15)
    team.wait_ready()


def test_a_drift_check_that_finds_nothing_changes_no_resource_version(team: Team) -> None:
    team.ready(refreshAfter="1h")
    version = team.the_secret()["metadata"]["resourceVersion"]
    cr_version = team.get()["metadata"]["resourceVersion"]
    always(lambda: team.the_secret()["metadata"]["resourceVersion"] == version, during=3)
    assert team.get()["metadata"]["resourceVersion"] == cr_version


def test_a_rename_empties_the_old_secret_and_names_it_as_orphaned(team: Team) -> None:
    team.ready()
    team.patch({"spec": {"destination": {"name": "renamed"}}})
    team.wait_data(lambda data: data["password"] == "v1", name="renamed")
    eventually(lambda: team.data("app") == {}, message="our data leaves the old Secret")
    eventually(lambda: team.events(reason="OrphanedSecret"), message="the orphan is named")


def test_a_changed_type_is_stalled_since_nothing_may_be_deleted(team: Team) -> None:
    team.ready()
    team.patch({"spec": {"destination": {"type": "example.com/custom"}}})
    team.wait_condition("Stalled", reason="TypeImmutable")
    assert team.the_data()["password"] == "v1"


def test_a_secret_of_this_object_that_is_there_already_is_adopted_by_a_dry_run(team: Team, stage: Stage) -> None:
    team.ready()
    uid = team.the_secret()["metadata"]["uid"]
    stage.operator.stop()
    team.bed.kube.patch("VaultStaticSecret", team.ns, "app", {"status": None}, subresource="status")
    stage.operator.start()
    stage.operator.wait_ready()
    team.wait_ready()
    assert team.the_secret()["metadata"]["uid"] == uid
