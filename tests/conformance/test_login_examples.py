"""The examples of logins in clouds, applied as they are written.

Only what surrounds operator and Vault is the test bed's: the operator's environment says where the metadata service,
Google's endpoints and Azure's authority are, and through which proxy AWS is found under its own name; Vault's
configuration says the same to Vault.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.cloud_stage import (
    ARGS,
    EMAIL,
    REGION,
    Clouds,
    aws_role,
    azure_role,
    clouds_beside,
    gcp_role,
    works,
)
from tests.conformance.stage import MANIFESTS, Json, Team, documents
from tests.testbed.bed import Bed
from tests.testbed.providers import ACCOUNT
from tests.testbed.vault_admin import VaultAdmin

pytestmark = pytest.mark.real

IN_CLOUDS = True
OPERATOR_ARGS = ARGS


def example(method: str) -> Json:
    """The one object of the example."""
    (auth,) = documents(MANIFESTS / "example" / "logins" / f"{method}.yaml")
    return auth


@pytest.fixture(scope="module")
def clouds(prepared: Bed) -> Iterator[Clouds]:
    """The clouds, with the tenant and the resource of the example."""
    azure = example("azure")["spec"]["azure"]
    with clouds_beside(prepared, tenant=azure["tenantID"], resource=azure["resource"]) as clouds:
        yield clouds


@pytest.fixture(scope="module")
def environment(clouds: Clouds, prepared: Bed) -> dict[str, str]:
    """How the operator finds the clouds."""
    proxy = {"HTTPS_PROXY": clouds.aws.url, "NO_PROXY": "127.0.0.1,localhost"}
    return {**clouds.env, **proxy, "SSL_CERT_FILE": str(prepared.authority.certificate)}


def apply_as_written(team: Team, method: str, address: str) -> None:
    """The example in the team's namespace, and a VaultStaticSecret that refers to it."""
    auth = example(method)
    team.apply("VaultConnection", "vault", {"address": address})
    team.bed.kube.apply({**auth, "metadata": {**auth["metadata"], "namespace": team.ns}})
    team.static(vaultAuthRef=auth["metadata"]["name"])


def test_the_example_of_aws_works_as_it_is_written(team: Team, clouds: Clouds, cloud_vault: VaultAdmin) -> None:
    arn = clouds.aws.trust("app", f"system:serviceaccount:{team.ns}:app")
    aws_role(team, cloud_vault, f"arn:aws:iam::{ACCOUNT}:role/app", name="app")
    apply_as_written(team, "aws", cloud_vault.url)
    works(team)
    (assumed,) = [asked for asked in clouds.aws.asked if asked.form.get("RoleArn") == arn]
    assert assumed.headers["host"] == f"sts.{REGION}.amazonaws.com"


def test_the_example_of_google_works_as_it_is_written(team: Team, clouds: Clouds, cloud_vault: VaultAdmin) -> None:
    clouds.google.account(EMAIL, f"{team.ns}/app")
    gcp_role(team, cloud_vault, name="app")
    apply_as_written(team, "gcp", cloud_vault.url)
    works(team)


def test_the_example_of_azure_works_as_it_is_written(team: Team, clouds: Clouds, cloud_vault: VaultAdmin) -> None:
    client = example("azure")["spec"]["azure"]["clientID"]
    clouds.entra.applications[client] = f"system:serviceaccount:{team.ns}:app"
    azure_role(team, cloud_vault, client, name="app")
    apply_as_written(team, "azure", cloud_vault.url)
    works(team)
