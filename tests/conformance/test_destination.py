"""Where a secret goes: the Secret's metadata, its owner, conflicts, drift, renames, types."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.stage import OPERATOR_USER, Stage, Team
from tests.testbed.bed import always, eventually

LASTS = 15

OPERATOR_ARGS = ("--backoff-initial-interval=1s", "--backoff-max-interval=2s", "--drift-interval=1s")
OWNER_LABELS = {
    "app.kubernetes.io/name": "vault-secrets-operator",
    "app.kubernetes.io/managed-by": "hashicorp-vso",
    "app.kubernetes.io/component": "secret-sync",
}


def ready(team: Team, **changes: Any) -> None:
    team.ready(data={"user": "ada", "password": "v1"}, **changes)


def test_a_created_secret_carries_the_owner_labels_and_one_owner_reference(team: Team) -> None:
    ready(team, destination={"labels": {"tier": "db"}, "annotations": {"note": "x"}, "type": "Opaque"})
    meta = team.the_secret()["metadata"]
    cr = team.get()["metadata"]
    assert meta["labels"] == {**OWNER_LABELS, "secrets.hashicorp.com/vso-ownerRefUID": cr["uid"], "tier": "db"}
    assert meta["annotations"]["note"] == "x"
    assert meta["ownerReferences"] == [
        {"apiVersion": "secrets.hashicorp.com/v1beta1", "kind": "VaultStaticSecret", "name": "app", "uid": cr["uid"]}
    ]


def test_no_tools_mark_on_the_object_is_copied_to_its_secret(team: Team) -> None:
    # A Secret that bears a tool's mark and is not in Git would be pruned by that tool.
    flux = {"kustomize.toolkit.fluxcd.io/name": "app", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
    labels = {"argocd.argoproj.io/instance": "app", "app.kubernetes.io/instance": "app", **flux}
    annotations = {"argocd.argoproj.io/tracking-id": "app:secrets.hashicorp.com/VaultStaticSecret:team/app"}
    ready(team, metadata={"labels": labels, "annotations": annotations})
    meta = team.the_secret()["metadata"]
    assert not labels.keys() & meta["labels"].keys()
    assert not annotations.keys() & meta["annotations"].keys()


def test_the_status_records_the_destination_that_was_written(team: Team) -> None:
    ready(team)
    recorded = team.get()["status"]["destination"]
    meta = team.the_secret()["metadata"]
    assert recorded == {"name": "app", "uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}


def test_deleting_the_object_deletes_its_secret_without_a_finalizer(team: Team) -> None:
    ready(team)
    assert "finalizers" not in team.get()["metadata"]
    team.bed.kube.delete("VaultStaticSecret", team.ns, "app")
    eventually(lambda: team.secret() is None, timeout=60, message="the Secret goes with its owner")


def test_on_delete_retain_keeps_the_secret_when_the_object_goes(team: Team) -> None:
    ready(team, destination={"onDelete": "Retain"})
    assert "ownerReferences" not in team.the_secret()["metadata"]
    team.bed.kube.delete("VaultStaticSecret", team.ns, "app")
    always(lambda: team.secret() is not None, during=2, message="a retained Secret stays")


def test_a_retained_secret_that_lost_its_owner_label_is_written_again_once_that_is_put_back(team: Team) -> None:
    ready(team, destination={"onDelete": "Retain"}, refreshAfter="1s")
    label, uid = "secrets.hashicorp.com/vso-ownerRefUID", team.get()["metadata"]["uid"]
    team.bed.kube.patch("Secret", team.ns, "app", {"metadata": {"labels": {label: None}}})
    team.put("app", {"password": "v2"})
    told = team.wait_condition("Stalled", reason="DestinationConflict")
    assert f"its label {label}={uid} is missing: put it back" in told["message"]
    assert (team.data() or {})["password"] == "v1"
    team.bed.kube.patch("Secret", team.ns, "app", {"metadata": {"labels": {label: uid}}})
    if not team.stage.install.full:  # it watches no Secret, and looks again within minutes or when it is asked to
        team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}})
    team.wait_data(lambda data: data["password"] == "v2", timeout=40)
    team.wait_ready()


def test_a_rename_away_from_a_secret_of_somebody_elses_leaves_that_and_names_it(team: Team) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.bed.kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app", "namespace": team.ns}})
    team.static(destination={"create": False})
    team.wait_ready()
    team.patch({"spec": {"destination": {"name": "renamed", "create": True}}})
    team.wait_data(lambda data: data["password"] == "v1", name="renamed")
    eventually(lambda: team.events(reason="OrphanedSecret"), message="the old Secret is named")
    assert "it is left as it is" in team.events(reason="OrphanedSecret")[0]["message"]
    assert (team.data() or {})["password"] == "v1"


def test_a_foreign_secret_is_not_overwritten_and_the_conflict_is_reported(team: Team) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.bed.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "app", "namespace": team.ns},
            "stringData": {"a": "b"},
        }
    )
    team.static()
    condition = team.wait_condition("Stalled", reason="DestinationConflict")
    assert f"{team.ns}/app" in condition["message"]
    assert team.data() == {"a": "b"}


def test_overwrite_takes_a_foreign_secret_over_and_keeps_its_foreign_labels(team: Team) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    meta = {"name": "app", "namespace": team.ns, "labels": {"theirs": "1"}}
    team.bed.kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"a": "b"}})
    team.static(destination={"overwrite": True})
    team.wait_ready()
    assert set(team.data() or {}) == {"password", "_raw"}
    assert team.the_secret()["metadata"]["labels"]["theirs"] == "1"


def test_overwrite_never_takes_a_secret_that_another_object_owns(team: Team) -> None:
    ready(team)
    team.static("second", destination={"name": "app", "overwrite": True})
    condition = team.wait_condition("Stalled", reason="DestinationConflict", name="second")
    assert "VaultStaticSecret" in condition["message"]


def test_without_create_the_data_of_an_existing_secret_is_replaced_and_nothing_else(team: Team) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    meta = {"name": "app", "namespace": team.ns, "labels": {"theirs": "1"}}
    team.bed.kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"a": "b"}})
    team.static(destination={"create": False})
    team.wait_ready()
    assert set(team.data() or {}) == {"password", "_raw"}
    meta = team.the_secret()["metadata"]
    assert meta["labels"] == {"theirs": "1"}
    assert "ownerReferences" not in meta


def test_without_create_a_missing_secret_is_reported_and_written_once_it_is_there(team: Team) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.static(destination={"create": False})
    team.wait_condition("Ready", "False", "DestinationMissing")
    team.bed.kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app", "namespace": team.ns}})
    team.wait_ready(timeout=30)


def test_a_label_that_leaves_the_spec_leaves_the_secret(team: Team) -> None:
    ready(team, destination={"labels": {"one": "1", "two": "2"}})
    team.patch({"spec": {"destination": {"labels": {"two": None}}}})
    team.wait_ready()
    labels = team.the_secret()["metadata"]["labels"]
    assert "one" in labels
    assert "two" not in labels


@pytest.mark.only_in("full", "namespaced-full", because="write-only deletes nothing")
def test_renaming_the_destination_writes_the_new_secret_and_removes_the_old(team: Team, stage: Stage) -> None:
    ready(team)
    team.patch({"spec": {"destination": {"name": "renamed"}}})
    team.wait_data(lambda data: data["password"] == "v1", name="renamed")
    eventually(lambda: team.secret("app") is None, message="the old Secret is deleted in full mode")


@pytest.mark.only_in("full", "namespaced-full", because="write-only deletes nothing")
def test_changing_the_type_makes_the_secret_anew_in_full_mode(team: Team) -> None:
    ready(team)
    team.patch({"spec": {"destination": {"type": "example.com/custom"}}})
    eventually(lambda: (team.secret() or {}).get("type") == "example.com/custom", message="the Secret has the new type")
    team.wait_ready()


def test_a_foreign_edit_is_repaired_at_once(team: Team) -> None:
    ready(team, refreshAfter="1h")
    team.bed.kube.patch("Secret", team.ns, "app", {"stringData": {"password": "hacked", "extra": "1"}})
    team.wait_data(lambda data: data["password"] == "v1" and "extra" not in data, timeout=5)
    eventually(lambda: team.events(reason="DestinationDrifted"), message="the repair is told as an event")


def test_a_secret_deleted_by_hand_is_back_at_once(team: Team) -> None:
    ready(team, refreshAfter="1h")
    team.bed.kube.delete("Secret", team.ns, "app")
    team.wait_data(lambda data: data["password"] == "v1", timeout=5)


def test_a_secret_made_anew_by_somebody_else_is_a_conflict_not_an_overwrite(team: Team) -> None:
    ready(team, refreshAfter="1h")
    team.stage.operator.stop()
    team.bed.kube.delete("Secret", team.ns, "app")
    team.bed.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "app", "namespace": team.ns},
            "stringData": {"a": "b"},
        }
    )
    team.stage.operator.start()
    team.stage.operator.wait_ready()
    team.wait_condition("Stalled", reason="DestinationConflict")
    assert team.data() == {"a": "b"}


def test_a_foreign_label_on_our_secret_stays(team: Team) -> None:
    ready(team)
    team.bed.kube.patch("Secret", team.ns, "app", {"metadata": {"labels": {"theirs": "1"}}})
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")
    eventually(lambda: len(team.events(reason="SecretSynced")) == 2, message="the change is told")
    assert team.the_secret()["metadata"]["labels"]["theirs"] == "1"
    # Who may not see that it was a label tells at a drift check that somebody has written.
    assert team.events(reason="DestinationDrifted") == [] or not team.stage.install.full


@pytest.mark.parametrize("name", [".", "..", "../configmaps/x", "a/b", "App", ""])
def test_a_name_that_is_a_path_is_refused_and_leads_no_request_astray(team: Team, name: str) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    mark = team.bed.mark()
    team.static(destination={"name": name, "create": False})
    condition = team.wait_condition("Stalled", reason="InvalidSpec")
    assert "spec.destination.name" in condition["message"]
    calls = [c for c in team.bed.kube_audit(mark) if c.user == OPERATOR_USER and c.namespace == team.ns]
    assert {c.resource for c in calls if c.writes and c.resource != "events"} <= {
        "vaultstaticsecrets", "vaultconnections", "vaultauths"
    }  # fmt: skip


@pytest.mark.parametrize("account", ["..", "../secrets/x", "app/token"])
def test_a_service_account_that_is_a_path_is_refused_in_the_auth_and_its_secrets(team: Team, account: str) -> None:
    team.access(auth={"kubernetes": {"serviceAccount": account}})
    team.put("app", {"password": "v1"})
    mark = team.bed.mark()
    team.static()
    for kind, object_name in (("VaultAuth", "auth"), ("VaultStaticSecret", "app")):
        condition = team.wait_condition("Stalled", reason="InvalidSpec", kind=kind, name=object_name)
        assert "spec.kubernetes.serviceAccount" in condition["message"]
    calls = [c for c in team.bed.kube_audit(mark) if c.user == OPERATOR_USER and c.namespace == team.ns]
    assert [c for c in calls if c.resource in {"serviceaccounts", "secrets"}] == []


def test_the_secret_is_annotated_with_where_its_data_is_from(team: Team) -> None:
    def source() -> str:
        return str((team.secret() or {}).get("metadata", {}).get("annotations", {}).get("vso.hashicorp.com/source"))

    team.access()
    team.put("app", {"password": "v1"})
    team.static()
    team.wait_ready()
    assert source() == f"kv/{team.ns}/app@1"
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")
    assert source() == f"kv/{team.ns}/app@2"
