"""From a VaultAuth of method aws, gcp or azure to the way its consumers log in."""

from __future__ import annotations

from typing import Any

import pytest

from vso.api.access import VaultAuth
from vso.controllers.ways import login_config
from vso.core.errors import ConfigError, Reason
from vso.vault.auth.aws import AwsWay
from vso.vault.auth.aws_credentials import OwnIdentity, PodIdentity, SecretKeys, WebIdentity
from vso.vault.auth.azure import AzureWay
from vso.vault.auth.gcp import GcpWay
from vso.vault.config import LoginConfig
from vso.vault.way import Way


def login(method: str, consumer: str = "team-a", params: dict[str, str] | None = None, **block: Any) -> LoginConfig:
    spec = {"method": method, "mount": "m", method: block, "params": params or {}}
    meta = {"name": "auth", "namespace": "ops", "uid": "u", "generation": 1}
    auth = VaultAuth.model_validate({"apiVersion": "x", "kind": "VaultAuth", "metadata": meta, "spec": spec})
    return login_config(auth, consumer)


@pytest.mark.parametrize(
    ("method", "block", "way"),
    [
        ("aws", {"role": "r", "secretRef": "s", "irsaServiceAccount": "a"}, AwsWay("r", SecretKeys("s"))),
        (
            "aws",
            {"role": "r", "irsaServiceAccount": "a", "roleARN": "arn", "sessionName": "n", "region": "eu-west-1"},
            AwsWay("r", WebIdentity("team-a", "a", "arn", "n"), "eu-west-1"),
        ),
        ("aws", {"role": "r", "podIdentity": True}, AwsWay("r", PodIdentity())),
        (
            "aws",
            {"role": "r", "sessionName": "n", "stsEndpoint": "http://sts", "iamEndpoint": "http://iam", "headerValue": "h"},
            AwsWay("r", OwnIdentity("n"), "", "http://sts", "h"),
        ),
        ("gcp", {"role": "r", "workloadIdentityServiceAccount": "a"}, GcpWay("r", "team-a", "a")),
        (
            "gcp",
            {"role": "r", "workloadIdentityServiceAccount": "a", "serviceAccountEmail": "e", "projectID": "p", "region": "l", "clusterName": "c"},
            GcpWay("r", "team-a", "a", "e", "p", "l", "c"),
        ),
        ("azure", {"role": "r"}, AzureWay("r", "https://management.azure.com/")),
        (
            "azure",
            {"role": "r", "resource": "api://x", "clientID": "c", "tenantID": "t", "serviceAccount": "a"},
            AzureWay("r", "api://x", "c", "t", "team-a", "a"),
        ),
    ],
)  # fmt: skip
def test_each_block_has_its_way(method: str, block: dict[str, Any], way: Way) -> None:
    assert login(method, **block).way == way


@pytest.mark.parametrize(
    ("method", "block", "told"),
    [
        ("aws", {}, "spec.aws.role must be set"),
        ("aws", {"role": "r", "roleARN": "arn"}, "spec.aws.irsaServiceAccount must be set for method aws with spec.aws.roleARN"),
        ("aws", {"role": "r", "secretRef": "../x"}, "spec.aws.secretRef is '../x'"),
        ("aws", {"role": "r", "irsaServiceAccount": "../x"}, "spec.aws.irsaServiceAccount is '../x'"),
        ("gcp", {}, "spec.gcp.role and spec.gcp.workloadIdentityServiceAccount must be set"),
        ("gcp", {"role": "r", "workloadIdentityServiceAccount": "a/b"}, "spec.gcp.workloadIdentityServiceAccount is 'a/b'"),
        ("azure", {}, "spec.azure.role must be set"),
        ("azure", {"role": "r", "serviceAccount": "a/b"}, "spec.azure.serviceAccount is 'a/b'"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(method: str, block: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        login(method, **block)
    assert caught.value.reason is Reason.INVALID_SPEC
    assert told in caught.value.message
    assert "VaultAuth ops/auth" in caught.value.message


@pytest.mark.parametrize(
    ("method", "block", "consumer"),
    [
        ("aws", {"secretRef": "s"}, "team-a"),
        ("aws", {"irsaServiceAccount": "a"}, "team-a"),
        ("aws", {"podIdentity": True}, ""),
        ("aws", {}, ""),
        ("gcp", {"workloadIdentityServiceAccount": "a"}, "team-a"),
        ("azure", {"serviceAccount": "a"}, "team-a"),
        ("azure", {}, ""),
    ],
)
def test_an_identity_of_the_consumers_is_not_shared_and_the_operators_is(
    method: str, block: dict[str, Any], consumer: str
) -> None:
    assert login(method, role="r", **block).consumer == consumer


@pytest.mark.parametrize(
    ("method", "field"),
    [("aws", "iam_request_url"), ("aws", "iam_request_headers"), ("gcp", "jwt"), ("azure", "role")],
)
def test_the_methods_own_fields_are_not_for_params(method: str, field: str) -> None:
    with pytest.raises(ConfigError, match=f"may not set {field}"):
        login(method, params={field: "x"}, role="r", workloadIdentityServiceAccount="a")
    assert login(method, params={"more": "x"}, role="r", workloadIdentityServiceAccount="a").params == (("more", "x"),)
