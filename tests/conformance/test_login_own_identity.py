"""The identity that the operator's own pod has in a cloud: used where the administrator lets it be, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.cloud_stage import (
    ARGS,
    SERVER_ID,
    Clouds,
    account,
    app,
    aws_role,
    azure_role,
    clouds_beside,
    operators,
    told,
    wait_for_others,
    works,
)
from tests.conformance.stage import OPERATOR_NAMESPACE, OPERATOR_USER, Stage, Team
from tests.testbed.bed import Bed
from tests.testbed.endpoint import Endpoint, Said
from tests.testbed.operator import SERVICE_ACCOUNT, Setting
from tests.testbed.providers import ACCOUNT, Entra
from tests.testbed.vault_admin import VaultAdmin

IN_CLOUDS = READS_FILES = True
OPERATOR_ARGS = ARGS
CLIENT = "operators-client"
GOOGLES = "operator@acme-prod.iam.gserviceaccount.com"
"""The Google service account of the operator's node, which its own ServiceAccount may act as too."""
_NEEDED = "spec.gcp.workloadIdentityServiceAccount must be set"
_NO_GRANT = (
    f"PERMISSION_DENIED: grant roles/iam.workloadIdentityUser on {GOOGLES} to serviceAccount:acme-prod.svc.id.goog"
)


@pytest.fixture(scope="module")
def clouds(prepared: Bed) -> Iterator[Clouds]:
    """The clouds, in which both the pod and its node have an identity."""
    with clouds_beside(prepared) as clouds:
        clouds.aws.node("node-role")
        clouds.entra.machine("node-client")
        clouds.entra.applications[CLIENT] = OPERATOR_USER
        clouds.google.account(GOOGLES, f"{OPERATOR_NAMESPACE}/{SERVICE_ACCOUNT}")
        clouds.google.machine(GOOGLES)
        yield clouds


@pytest.fixture(scope="module")
def mounted(prepared: Bed, clouds: Clouds, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the clouds' webhooks put into the pod: tokens in files, and variables that name them."""
    folder: Path = tmp_path_factory.mktemp("webhooks")
    for name, audience in (("azure", "api://AzureADTokenExchange"), ("eks", "pods.eks.amazonaws.com")):
        (folder / name).write_text(prepared.token_for(OPERATOR_NAMESPACE, SERVICE_ACCOUNT, [audience]))
    own_key = {"type": "service_account", "client_email": GOOGLES, "private_key": "canary-of-a-file"}
    (folder / "google.json").write_text(json.dumps(own_key))
    return {
        "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "google.json"),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": clouds.aws.pod("pod-role", (folder / "eks").read_text()),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(folder / "eks"),
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_TENANT_ID": Entra.TENANT,
        "AZURE_FEDERATED_TOKEN_FILE": str(folder / "azure"),
    }


@pytest.fixture(scope="module")
def environment(clouds: Clouds, mounted: dict[str, str]) -> dict[str, str]:
    """The operator's pod has identities of its own, which its administrator lets be used."""
    return {**clouds.env, **mounted}


@pytest.mark.real
@pytest.mark.parametrize("named", [True, False], ids=["asked for", "before the node's"])
def test_eks_pod_identity_of_the_operators_pod_logs_in(
    team: Team, clouds: Clouds, cloud_vault: VaultAdmin, named: bool
) -> None:
    role = aws_role(team, cloud_vault, f"arn:aws:iam::{ACCOUNT}:role/pod-role")
    operators(
        team, "aws", cloud_vault.url, role=role, podIdentity=named, stsEndpoint=clouds.aws.url, headerValue=SERVER_ID
    )
    works(team)


@pytest.mark.real
def test_workload_identity_of_the_operators_pod_logs_in_before_that_of_the_machine(
    team: Team, cloud_vault: VaultAdmin
) -> None:
    operators(team, "azure", cloud_vault.url, role=azure_role(team, cloud_vault, CLIENT), resource=Entra.RESOURCE)
    works(team)


def test_a_team_cannot_use_what_is_mounted_into_the_operators_pod(team: Team, clouds: Clouds) -> None:
    wait_for_others(team)
    before = clouds.asked
    for method, block in (("aws", {}), ("aws", {"podIdentity": True}), ("azure", {"clientID": CLIENT})):
        app(team, method, team.bed.vault.url, role=team.ns, **block)
        assert "is used only for a VaultAuth in namespace vso-system" in told(team, "InvalidSpec")
    assert clouds.asked == before


def of_the_node(clouds: Clouds) -> list[str]:
    """What the metadata server was asked of the node's own identity."""
    return [asked.path for asked in clouds.google.asked_of("/computeMetadata/v1/instance/service-accounts/")]


def bearers(clouds: Clouds) -> set[str]:
    """What Google's IAM was shown."""
    return {asked.headers["authorization"] for asked in clouds.google.asked if "authorization" in asked.headers}


@pytest.mark.parametrize(
    ("block", "reason", "message"),
    [
        ({}, "InvalidSpec", _NEEDED),
        ({"serviceAccountEmail": GOOGLES}, "InvalidSpec", _NEEDED),
        ({"workloadIdentityServiceAccount": "app"}, "CloudRefused", f"{_NO_GRANT}[{{team}}/app]"),
        (
            {"workloadIdentityServiceAccount": SERVICE_ACCOUNT},
            "CloudRefused",
            f"{_NO_GRANT}[{{team}}/{SERVICE_ACCOUNT}]",
        ),
        (
            {"workloadIdentityServiceAccount": f"{OPERATOR_NAMESPACE}/{SERVICE_ACCOUNT}"},
            "InvalidSpec",
            "cannot be the name of an object",
        ),
        (
            {
                "workloadIdentityServiceAccount": "app",
                "serviceAccountEmail": f"x/../../../../../computeMetadata/v1/instance/service-accounts/{GOOGLES}?",
            },
            "CloudRefused",
            "there is no Google service account",
        ),
    ],
    ids=["nobody", "its e-mail alone", "its e-mail", "its name", "itself", "a path"],
)
def test_a_team_cannot_log_in_by_gcp_as_the_operator_or_its_node(
    team: Team, clouds: Clouds, block: dict[str, str], reason: str, message: str
) -> None:
    wait_for_others(team)
    account(team, SERVICE_ACCOUNT)
    team.grant("serviceaccounts/token", SERVICE_ACCOUNT, "create")
    if "workloadIdentityServiceAccount" in block:
        block = {"serviceAccountEmail": GOOGLES, **block}
    with Endpoint() as trapped:
        trapped.on("GET", "/v1/sys/health", Said(200, {"initialized": True, "sealed": False, "version": "1.21.0"}))
        app(team, "gcp", trapped.url, role=team.ns, **block)
        assert message.format(team=team.ns) in told(team, reason)
        assert {asked.path for asked in trapped.asked} <= {"/v1/sys/health"}
    assert of_the_node(clouds) == []
    assert not [shown for shown in bearers(clouds) if "of-the-node" in shown]


def test_a_gcp_login_of_the_operators_namespace_shows_whom_the_consumer_may_act_as(team: Team, clouds: Clouds) -> None:
    account(team, SERVICE_ACCOUNT)
    team.grant("serviceaccounts/token", SERVICE_ACCOUNT, "create")
    block: dict[str, Any] = {"workloadIdentityServiceAccount": SERVICE_ACCOUNT, "serviceAccountEmail": GOOGLES}
    operators(team, "gcp", team.bed.vault.url, role=team.ns, **block)
    assert f"{_NO_GRANT}[{team.ns}/{SERVICE_ACCOUNT}]" in told(team, "CloudRefused")
    assert of_the_node(clouds) == []


def test_without_the_administrators_word_nobody_uses_it(
    team: Team, stage: Stage, clouds: Clouds, mounted: dict[str, str]
) -> None:
    wait_for_others(team)
    stage.operator.stop()
    stage.start_operator(*ARGS, setting=Setting(name="not-as-itself", env={**clouds.env, **mounted}))
    before = clouds.asked
    operators(team, "aws", team.bed.vault.url, role=team.ns, stsEndpoint=clouds.aws.url)
    assert "with --allowed-file-prefixes set" in told(team, "InvalidSpec")
    assert clouds.asked == before
