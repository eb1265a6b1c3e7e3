"""Logging in as an identity of AWS, Google Cloud or Azure.

The clouds are stand-ins that verify what they are shown; the tokens of ServiceAccounts are the API server's, and on
the real bed the auth methods are those of a real Vault, which asks the same stand-ins. The sandbox's Vault has none
of the methods: there, what comes before Vault is asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conformance.cloud_stage import (
    ARGS,
    EMAIL,
    SERVER_ID,
    Clouds,
    account,
    app,
    aws_role,
    azure_role,
    clouds_beside,
    gcp_role,
    keys,
    operators,
    told,
    wait_for_others,
    works,
)
from tests.conformance.stage import Stage, Team
from tests.testbed.bed import Bed, always, eventually
from tests.testbed.endpoint import Said
from tests.testbed.providers import ACCOUNT, Aws, Entra, claims_of
from tests.testbed.vault_admin import VaultAdmin

LASTS = 20

IN_CLOUDS = READS_FILES = True
OPERATOR_ARGS = (*ARGS, "--log-level=debug")


@pytest.fixture(scope="module")
def clouds(prepared: Bed) -> Iterator[Clouds]:
    """The clouds, with a node in two of them."""
    with clouds_beside(prepared) as clouds:
        clouds.aws.node("node-role")
        clouds.entra.machine("node-client")
        yield clouds


@pytest.fixture(scope="module")
def environment(clouds: Clouds) -> dict[str, str]:
    """How the operator finds the clouds."""
    return clouds.env


@pytest.mark.real
def test_keys_in_a_secret_log_in_at_aws_and_are_never_sent(team: Team, clouds: Clouds, cloud_vault: VaultAdmin) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/{team.ns}"
    made = clouds.aws.key(arn, temporary=False)
    keys(team, made)
    role = aws_role(team, cloud_vault, arn)
    app(
        team, "aws", cloud_vault.url, role=role, secretRef="aws-keys", stsEndpoint=clouds.aws.url, headerValue=SERVER_ID
    )
    works(team)
    asked = [a for a in clouds.aws.asked if made["AccessKeyId"] in a.headers.get("authorization", "")]
    assert {a.form["Action"] for a in asked} == {"GetCallerIdentity"}
    assert not [a for a in asked if made["SecretAccessKey"] in str(a)]


@pytest.mark.real
def test_rotated_keys_count_from_the_next_login_on(team: Team, clouds: Clouds, cloud_vault: VaultAdmin) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/{team.ns}"
    old = clouds.aws.key(arn, temporary=False)
    keys(team, old)
    role = aws_role(team, cloud_vault, arn, token_ttl="3s", token_max_ttl="3s")
    app(
        team, "aws", cloud_vault.url, role=role, secretRef="aws-keys", stsEndpoint=clouds.aws.url, headerValue=SERVER_ID
    )
    works(team)
    new = clouds.aws.key(arn, temporary=False)
    keys(team, new)
    eventually(
        lambda: any(new["AccessKeyId"] in asked.headers.get("authorization", "") for asked in clouds.aws.asked),
        message="the new keys sign",
    )
    del clouds.aws.keys[old["AccessKeyId"]]
    cloud_vault.kv2_put("kv", f"{team.ns}/app", {"password": "v2"})
    works(team, "v2")


@pytest.mark.real
def test_keys_that_aws_does_not_know_are_refused_with_its_code(
    team: Team, clouds: Clouds, cloud_vault: VaultAdmin
) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/{team.ns}"
    made = clouds.aws.key(arn, temporary=False)
    keys(team, {**made, "SecretAccessKey": "canary-wrong"})
    role = aws_role(team, cloud_vault, arn)
    app(
        team, "aws", cloud_vault.url, role=role, secretRef="aws-keys", stsEndpoint=clouds.aws.url, headerValue=SERVER_ID
    )
    message = told(team, "VaultLoginRefused")
    assert "AWS does not accept the signature: SignatureDoesNotMatch" in message
    keys(team, {**made, "AccessKeyId": "canary-unknown"})
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}})
    eventually(
        lambda: "InvalidClientTokenId" in team.condition("Healthy")["message"], message="the code of the other failure"
    )


@pytest.mark.real
def test_another_server_id_is_named_with_its_field(team: Team, clouds: Clouds, cloud_vault: VaultAdmin) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/{team.ns}"
    keys(team, clouds.aws.key(arn, temporary=False))
    role = aws_role(team, cloud_vault, arn)
    app(team, "aws", cloud_vault.url, role=role, secretRef="aws-keys", stsEndpoint=clouds.aws.url, headerValue="other")
    assert "expects another X-Vault-AWS-IAM-Server-ID than spec.aws.headerValue" in told(team, "VaultLoginRefused")


@pytest.mark.real
def test_an_aws_identity_that_the_role_is_not_bound_to_is_named(
    team: Team, clouds: Clouds, cloud_vault: VaultAdmin
) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/{team.ns}"
    keys(team, clouds.aws.key(arn, temporary=False))
    role = aws_role(team, cloud_vault, f"arn:aws:iam::{ACCOUNT}:user/another")
    app(
        team, "aws", cloud_vault.url, role=role, secretRef="aws-keys", stsEndpoint=clouds.aws.url, headerValue=SERVER_ID
    )
    message = told(team, "VaultLoginRefused")
    assert f"role '{role}' is not bound to the AWS identity" in message
    assert arn in message


@pytest.mark.real
def test_a_vault_that_does_not_reach_aws_is_no_refusal_and_the_login_goes_on_when_it_does(
    team: Team, clouds: Clouds, cloud_vault: VaultAdmin
) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/{team.ns}"
    with Aws() as aws:
        made = aws.key(arn, temporary=False)
        keys(team, made)
        cloud_vault.write("sys/auth/aws-away", {"type": "aws"})
        cloud_vault.write("auth/aws-away/config/client", {"sts_endpoint": aws.url, "max_retries": 0})
        role = aws_role(team, cloud_vault, arn, mount="aws-away")
        works_again = aws.answer_of("POST", "/")
        aws.on("POST", "/", Said(503))
        app(team, "aws", cloud_vault.url, mount="aws-away", role=role, secretRef="aws-keys", stsEndpoint=aws.url)
        assert "at auth/aws-away: Vault does not reach the cloud that verifies the logins there" in told(
            team, "VaultLoginUnavailable"
        )
        eventually(lambda: len(aws.asked) > 4, timeout=40, message="it is tried again and again")
        aws.on("POST", "/", works_again)
        works(team)


@pytest.mark.real
def test_a_service_account_that_an_aws_role_trusts_logs_in(team: Team, clouds: Clouds, cloud_vault: VaultAdmin) -> None:
    arn = clouds.aws.trust(team.ns, f"system:serviceaccount:{team.ns}:app")
    account(team, **{"eks.amazonaws.com/role-arn": arn})
    team.grant("serviceaccounts", "app")
    role = aws_role(team, cloud_vault, f"arn:aws:iam::{ACCOUNT}:role/{team.ns}")
    block = {"role": role, "irsaServiceAccount": "app", "stsEndpoint": clouds.aws.url, "headerValue": SERVER_ID}
    app(team, "aws", cloud_vault.url, **block)
    works(team)
    assumed = [a.form for a in clouds.aws.asked if a.form.get("RoleArn") == arn]
    assert [claims_of(form["WebIdentityToken"])["aud"] for form in assumed] == [["sts.amazonaws.com"]]


@pytest.mark.real
def test_the_role_of_the_node_logs_in_for_the_operators_namespace(
    team: Team, clouds: Clouds, cloud_vault: VaultAdmin
) -> None:
    role = aws_role(team, cloud_vault, f"arn:aws:iam::{ACCOUNT}:role/node-role")
    operators(team, "aws", cloud_vault.url, role=role, stsEndpoint=clouds.aws.url, headerValue=SERVER_ID)
    works(team)


@pytest.mark.real
def test_a_service_account_logs_in_as_a_google_one(team: Team, clouds: Clouds, cloud_vault: VaultAdmin) -> None:
    clouds.google.account(EMAIL, f"{team.ns}/app")
    block = {"workloadIdentityServiceAccount": "app", "serviceAccountEmail": EMAIL}
    app(team, "gcp", cloud_vault.url, role=gcp_role(team, cloud_vault), **block)
    works(team)


@pytest.mark.real
def test_a_service_account_says_itself_which_google_one_it_is(
    team: Team, clouds: Clouds, cloud_vault: VaultAdmin
) -> None:
    clouds.google.account(EMAIL, f"{team.ns}/app")
    account(team, **{"iam.gke.io/gcp-service-account": EMAIL})
    team.grant("serviceaccounts", "app")
    app(team, "gcp", cloud_vault.url, role=gcp_role(team, cloud_vault), workloadIdentityServiceAccount="app")
    works(team)


@pytest.mark.real
def test_a_google_account_that_the_role_is_not_bound_to_is_refused(
    team: Team, clouds: Clouds, cloud_vault: VaultAdmin
) -> None:
    other = f"other-{EMAIL}"
    clouds.google.account(other, f"{team.ns}/app")
    role = gcp_role(team, cloud_vault)
    app(team, "gcp", cloud_vault.url, role=role, workloadIdentityServiceAccount="app", serviceAccountEmail=other)
    assert "VaultAuth" in told(team, "VaultLoginRefused")
    clouds.google.account(EMAIL, f"{team.ns}/app")
    app(team, "gcp", cloud_vault.url, role=role, workloadIdentityServiceAccount="app", serviceAccountEmail=EMAIL)
    works(team)


@pytest.mark.real
def test_a_service_account_logs_in_as_an_application_of_azure(
    team: Team, clouds: Clouds, cloud_vault: VaultAdmin
) -> None:
    clouds.entra.applications[team.ns] = f"system:serviceaccount:{team.ns}:app"
    block = {"clientID": team.ns, "tenantID": Entra.TENANT, "serviceAccount": "app", "resource": Entra.RESOURCE}
    app(team, "azure", cloud_vault.url, role=azure_role(team, cloud_vault, team.ns), **block)
    works(team)


@pytest.mark.real
def test_the_identity_of_the_machine_logs_in_for_the_operators_namespace(
    team: Team, clouds: Clouds, cloud_vault: VaultAdmin
) -> None:
    role = azure_role(team, cloud_vault, "node-client")
    operators(team, "azure", cloud_vault.url, role=role, resource=Entra.RESOURCE)
    works(team)


@pytest.mark.real
def test_a_token_for_another_resource_names_the_field(team: Team, clouds: Clouds, cloud_vault: VaultAdmin) -> None:
    role = azure_role(team, cloud_vault, "node-client")
    operators(team, "azure", cloud_vault.url, role=role, resource="api://other")
    message = told(team, "VaultLoginRefused")
    assert "another resource than spec.azure.resource, api://other" in message


@pytest.mark.real
def test_an_azure_identity_that_the_role_is_not_bound_to_is_refused_though_vault_answers_500(
    team: Team, cloud_vault: VaultAdmin
) -> None:
    role = azure_role(team, cloud_vault, "another")
    operators(team, "azure", cloud_vault.url, role=role, resource=Entra.RESOURCE)
    assert f"role '{role}' is not bound to the identity" in told(team, "VaultLoginRefused")


def test_a_team_cannot_use_the_operators_own_identity(team: Team, clouds: Clouds) -> None:
    wait_for_others(team)
    before = len(clouds.metadata_asked())
    for method, block in (
        ("aws", {"stsEndpoint": clouds.aws.url}),
        ("aws", {"podIdentity": True}),
        ("azure", {"clientID": "node-client"}),
    ):
        app(team, method, team.bed.vault.url, role=team.ns, **block)
        message = told(team, "InvalidSpec")
        assert (
            "the operator's own identity in the cloud is used only for a VaultAuth in namespace vso-system" in message
        )
    assert len(clouds.metadata_asked()) == before


def test_a_team_cannot_have_a_metadata_service_asked(team: Team) -> None:
    block = {"role": team.ns, "irsaServiceAccount": "app", "roleARN": "arn:aws:iam::1:role/x"}
    app(team, "aws", team.bed.vault.url, **block, stsEndpoint="http://169.254.169.254/latest/api/token")
    assert "spec.aws.stsEndpoint must be" in told(team, "InvalidSpec")


def test_a_role_without_trust_is_told_and_vault_is_not_asked(team: Team, clouds: Clouds) -> None:
    arn = clouds.aws.trust(team.ns, "system:serviceaccount:elsewhere:app")
    mark = team.bed.mark()
    app(
        team, "aws", team.bed.vault.url, role=team.ns, irsaServiceAccount="app", roleARN=arn, stsEndpoint=clouds.aws.url
    )
    message = told(team, "CloudRefused")
    assert f"AccessDenied: role {arn} does not trust system:serviceaccount:{team.ns}:app" in message
    assert [call for call in team.bed.vault_audit(mark) if call.path.startswith("auth/aws")] == []


@pytest.mark.refused("get serviceaccounts")
def test_a_service_account_that_may_not_be_read_names_the_field_that_helps(team: Team, clouds: Clouds) -> None:
    app(team, "aws", team.bed.vault.url, role=team.ns, irsaServiceAccount="app", stsEndpoint=clouds.aws.url)
    message = told(team, "KubernetesForbidden")
    assert f"or set spec.aws.roleARN, and ServiceAccount {team.ns}/app is not read" in message


def test_a_google_account_without_the_grant_names_it(team: Team, clouds: Clouds) -> None:
    email = f"{team.ns}@acme-prod.iam.gserviceaccount.com"
    clouds.google.account(email, "elsewhere/app")
    block = {"role": team.ns, "workloadIdentityServiceAccount": "app", "serviceAccountEmail": email}
    app(team, "gcp", team.bed.vault.url, **block)
    message = told(team, "CloudRefused")
    grant = f"grant roles/iam.workloadIdentityUser on {email} to serviceAccount:acme-prod.svc.id.goog[{team.ns}/app]"
    assert grant in message


def test_an_application_without_the_federated_credential_names_it(team: Team, clouds: Clouds) -> None:
    clouds.entra.applications[team.ns] = "system:serviceaccount:elsewhere:app"
    block = {"role": team.ns, "resource": Entra.RESOURCE, "serviceAccount": "app"}
    app(team, "azure", team.bed.vault.url, **block, clientID=team.ns, tenantID=Entra.TENANT)
    message = told(team, "CloudRefused")
    assert f"no federated credential of application {team.ns} is for system:serviceaccount:{team.ns}:app" in message


def test_a_cloud_that_is_away_says_nothing_against_vault(team: Team, clouds: Clouds) -> None:
    arn = clouds.aws.trust(team.ns, f"system:serviceaccount:{team.ns}:app")
    with Aws() as down:
        down.on("POST", "/", Said(503))
        app(team, "aws", team.bed.vault.url, role=team.ns, irsaServiceAccount="app", roleARN=arn, stsEndpoint=down.url)
        assert "it answers 503" in told(team, "CloudUnavailable")
        eventually(lambda: len(down.asked) > 4, timeout=40, message="it is asked again and again")
        # Another way over the same connection goes on: the breaker is closed, and no refused login was counted.
        team.put("app", {"password": "v1"})
        team.apply("VaultAuth", "own", team.auth_spec())
        team.static("other", vaultAuthRef="own")
        team.wait_ready("other")
        always(
            lambda: team.condition("Ready", "VaultConnection", "vault").get("status") == "True",
            1,
            message="the VaultConnection is in order",
        )


def test_no_credential_of_a_cloud_is_told_anywhere(team: Team, clouds: Clouds, stage: Stage) -> None:
    asked = [*clouds.aws.asked, *clouds.google.asked, *clouds.entra.asked]
    assert asked  # by the scenarios before
    objects = [team.bed.kube.list(kind) for kind in ("VaultStaticSecret", "VaultAuth", "Event")]
    said = stage.operator.log_text() + stage.operator.metrics() + json.dumps(objects)
    assert "CloudRefused" in said
    assert "canary" not in said
    tokens = {
        value for a in asked for name, value in a.form.items() if name in ("WebIdentityToken", "client_assertion")
    }
    assert tokens
    assert not [token for token in tokens if token in said or token.rsplit(".", 1)[1] in said]
