"""Whoever may edit an object and its status, and no Secret: the operator does not stand in for the right that is missing.

What a status says of a destination is not believed by itself: the Secret must say so too.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.stage import Json, Team
from tests.testbed.bed import always

LASTS = 15
OPERATOR_ARGS = ("--backoff-initial-interval=1s", "--backoff-max-interval=2s")
KEPT = {"kept": "as it is"}


def bystander(team: Team, name: str = "bystander", **metadata: Json) -> Json:
    """A Secret that is nobody's of ours."""
    meta = {"name": name, "namespace": team.ns, **metadata}
    return team.bed.kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": KEPT})


def forge(team: Team, secret: Json, *, name: str = "app", **status: object) -> None:
    """Have the status of a suspended object say that it wrote that Secret; then let it go on."""
    meta = secret["metadata"]
    said = {"name": meta["name"], "uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
    forged = {"destination": said, "lastGeneration": 1, "secretMAC": "Zm9yZ2Vk", **status}
    team.bed.kube.patch("VaultStaticSecret", team.ns, name, {"status": forged}, subresource="status")
    team.patch({"spec": {"suspend": False}}, name=name)


def suspended(team: Team, *, name: str = "app", path: str = "app", **changes: Any) -> None:
    """An object that has not written anything yet."""
    team.access()
    team.static(name, path, suspend=True, **changes)
    team.wait_condition("Ready", "False", "Suspended", name=name)


def test_a_secret_that_only_the_status_claims_is_not_deleted_as_the_old_one_of_a_rename(team: Team) -> None:
    secret = bystander(team)
    team.put("app", {"password": "v1"})
    suspended(team)
    forge(team, secret)
    team.wait_data(lambda data: data["password"] == "v1")
    team.wait_ready()
    assert team.the_secret("bystander") == secret


def test_a_secret_that_only_the_status_claims_is_not_overwritten(team: Team) -> None:
    secret = bystander(team, annotations={"note": "x"})
    team.put("app", {"password": "v1"})
    suspended(team, destination={"name": "bystander"})
    forge(team, secret)
    told = team.wait_condition("Stalled", reason="DestinationConflict")
    assert "exists and is not ours" in told["message"]
    assert team.the_secret("bystander") == secret


@pytest.mark.parametrize("create", [True, False], ids=["create", "no create"])
def test_another_objects_secret_is_not_overwritten_whatever_the_status_claims(team: Team, *, create: bool) -> None:
    team.ready()
    secret = team.the_secret()
    team.put("other", {"password": "forged"})
    suspended(team, name="thief", path="other", destination={"name": "app", "create": create, "overwrite": True})
    forge(team, secret, name="thief")
    told = team.wait_condition("Stalled", reason="DestinationConflict", name="thief")
    assert f"belongs to VaultStaticSecret {team.ns}/app" in told["message"]
    assert team.the_secret() == secret


def test_a_secret_that_only_the_status_claims_does_not_go_with_its_source(team: Team) -> None:
    secret = bystander(team)
    suspended(team, path="nowhere", onSourceDeleted="Delete", destination={"name": "bystander"})
    forge(team, secret, lastGeneration=2)
    team.wait_condition("Ready", "False", "SourceDeleted")
    always(lambda: team.the_secret("bystander") == secret, during=1, message="the Secret stays as it is")


@pytest.mark.parametrize("create", [True, False], ids=["create", "no create"])
def test_another_objects_secret_does_not_go_with_the_source_of_who_claims_it(team: Team, *, create: bool) -> None:
    team.ready()
    secret = team.the_secret()
    suspended(
        team, name="thief", path="nowhere", onSourceDeleted="Delete", destination={"name": "app", "create": create}
    )
    forge(team, secret, name="thief", lastGeneration=2)
    team.wait_condition("Ready", "False", "SourceDeleted", name="thief")
    always(lambda: team.the_secret() == secret, during=1, message="the Secret stays as it is")
