"""Workload identity of Google Cloud, and what is said when it ends on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.fakes.cloud_visit import CANARY, Accounts, around, shown, text
from tests.fakes.vault_parts import SA_UID
from tests.testbed.endpoint import Said
from tests.testbed.providers import Google, claims_of
from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.vault.auth.gcp import GcpWay
from vso.vault.way import Identity

EMAIL = "app@acme-prod.iam.gserviceaccount.com"
ANNOTATION = "iam.gke.io/gcp-service-account"
WAY = GcpWay("app", "team-a", "app", email=EMAIL)
PLACED = replace(WAY, project=Google.PROJECT, location=Google.LOCATION, cluster=Google.CLUSTER)
METADATA = "/computeMetadata/v1/"
ID_TOKEN = f"/v1/projects/-/serviceAccounts/{EMAIL}:generateIdToken"


@pytest.fixture
def google() -> Iterator[Google]:
    with Google() as running:
        running.account(EMAIL, "team-a/app")
        yield running


async def refused(google: Google, way: GcpWay = WAY, accounts: Accounts | None = None) -> VsoError:
    with pytest.raises(VsoError) as caught:
        await shown(way, around(google.env), accounts)
    assert CANARY not in str(caught.value)
    return caught.value


async def test_a_service_account_becomes_a_google_one_for_this_role_alone(google: Google) -> None:
    accounts = Accounts(annotated={"team-a/app": {ANNOTATION: EMAIL}})
    found = await shown(replace(WAY, email=""), around(google.env), accounts)
    assert accounts.asked == [Identity("team-a", "app", ("acme-prod.svc.id.goog",), 600)]
    claims = claims_of(text(found.body["jwt"]))
    assert (claims["email"], claims["aud"]) == (EMAIL, "https://vault/app")
    assert (found.body["role"], found.uid, found.source) == ("app", SA_UID, f"{SA_UID} {EMAIL}")
    assert text(found.body["jwt"]) not in repr(found)


async def test_another_annotation_is_another_source_of_refusals(google: Google) -> None:
    google.account("right@acme-prod.iam.gserviceaccount.com", "team-a/app")
    sources = []
    for email in (EMAIL, "right@acme-prod.iam.gserviceaccount.com"):
        accounts = Accounts(annotated={"team-a/app": {ANNOTATION: email}})
        sources.append((await shown(replace(WAY, email=""), around(google.env), accounts)).source)
    assert sources[0] != sources[1]


async def test_what_the_spec_says_is_asked_of_nobody(google: Google) -> None:
    await shown(PLACED, around(google.env), Accounts(unreadable=True))
    assert google.asked_of(METADATA) == []
    assert len(google.asked) == 2


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("project/project-id", "spec.gcp.projectID is empty: it does not know it (404)"),
        ("instance/attributes/cluster-location", "spec.gcp.region is empty: it does not know it (404)"),
        ("instance/attributes/cluster-name", "spec.gcp.clusterName is empty: it does not know it (404)"),
    ],
)
async def test_metadata_that_is_missing_is_named_with_its_field(google: Google, path: str, told: str) -> None:
    google.on("GET", f"{METADATA}{path}", Said(404))
    error = await refused(google)
    assert isinstance(error, ConfigError)
    assert error.message.endswith(told)


async def test_a_service_account_without_the_annotation_lists_those_that_it_has(google: Google) -> None:
    accounts = Accounts(annotated={"team-a/app": {"other": "x"}})
    error = await refused(google, replace(WAY, email=""), accounts)
    assert (
        f"has no annotation {ANNOTATION}; its annotations: other; or set spec.gcp.serviceAccountEmail" in error.message
    )
    assert google.asked == []


async def test_another_cluster_is_not_known_to_google(google: Google) -> None:
    error = await refused(google, replace(PLACED, cluster="green"))
    assert error.reason is Reason.CLOUD_REFUSED
    assert "invalid_grant: it does not know the workload identity of identitynamespace:acme-prod" in error.message
    assert "clusters/green" in error.message


async def test_a_google_account_that_may_not_be_acted_as_says_which_grant_is_missing(google: Google) -> None:
    google.account(EMAIL, "team-b/app")
    error = await refused(google)
    assert error.message == (
        f"Google's IAM: PERMISSION_DENIED: grant roles/iam.workloadIdentityUser on {EMAIL} to "
        "serviceAccount:acme-prod.svc.id.goog[team-a/app]"
    )


async def test_a_google_account_that_is_not_there_is_named(google: Google) -> None:
    error = await refused(google, replace(WAY, email="gone/../x@y"))
    assert "there is no Google service account gone/../x@y" in error.message
    assert google.asked[-1].path == "/v1/projects/-/serviceAccounts/gone/../x@y:generateIdToken"


@pytest.mark.parametrize("path", ["/v1/token", ID_TOKEN])
@pytest.mark.parametrize(
    "said", [Said(503, CANARY), Said(429, CANARY), Said(200, {"other": CANARY}), Said(200, "text")]
)
async def test_what_passes_by_itself_is_tried_again(google: Google, path: str, said: Said) -> None:
    google.on("POST", path, said)
    error = await refused(google)
    assert isinstance(error, TransientError)
    assert error.reason is Reason.CLOUD_UNAVAILABLE


def test_a_role_that_vault_does_not_know_is_named() -> None:
    assert WAY.pointed_at('role "app" not found') == "there is no role 'app'"
    assert WAY.pointed_at("service account x not authorized") == "service account x not authorized"
