"""Paths are made and read back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vso.core.errors import ConfigError, Reason
from vso.core.keys import Kind
from vso.kube.paths import (
    Target,
    access_review_path,
    config_map_path,
    cr_path,
    event_path,
    lease_path,
    secret_path,
    service_account_path,
    target_of,
    token_review_path,
    workload_path,
)

GROUP = "secrets.hashicorp.com"


@pytest.mark.parametrize(
    ("path", "text", "target"),
    [
        (secret_path(), "/api/v1/secrets", Target("", "secrets")),
        (secret_path("app"), "/api/v1/namespaces/app/secrets", Target("", "secrets", "app")),
        (secret_path("app", "a.b"), "/api/v1/namespaces/app/secrets/a.b", Target("", "secrets", "app", "a.b")),
        (config_map_path("app", "c"), "/api/v1/namespaces/app/configmaps/c", Target("", "configmaps", "app", "c")),
        (event_path("app"), "/api/v1/namespaces/app/events", Target("", "events", "app")),
        (
            service_account_path("app", "web", "token"),
            "/api/v1/namespaces/app/serviceaccounts/web/token",
            Target("", "serviceaccounts", "app", "web", "token"),
        ),
        (
            lease_path("sys", "l"),
            "/apis/coordination.k8s.io/v1/namespaces/sys/leases/l",
            Target("coordination.k8s.io", "leases", "sys", "l"),
        ),
        (
            token_review_path(),
            "/apis/authentication.k8s.io/v1/tokenreviews",
            Target("authentication.k8s.io", "tokenreviews"),
        ),
        (
            access_review_path(),
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            Target("authorization.k8s.io", "subjectaccessreviews"),
        ),
        (
            cr_path(Kind.VAULT_AUTH),
            f"/apis/{GROUP}/v1beta1/vaultauths",
            Target(GROUP, "vaultauths"),
        ),
        (
            cr_path(Kind.HCP_VAULT_SECRETS_APP, "app", "x", "status"),
            f"/apis/{GROUP}/v1beta1/namespaces/app/hcpvaultsecretsapps/x/status",
            Target(GROUP, "hcpvaultsecretsapps", "app", "x", "status"),
        ),
        (
            workload_path("argo.Rollout", "app", "web"),
            "/apis/argoproj.io/v1alpha1/namespaces/app/rollouts/web",
            Target("argoproj.io", "rollouts", "app", "web"),
        ),
    ],
)
def test_a_path_and_what_it_addresses(path: str, text: str, target: Target) -> None:
    assert path == text
    assert target_of(path) == target


def test_an_unknown_workload_has_no_path() -> None:
    assert workload_path("CronJob", "app", "x") is None


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a%2Fb", "A", "a?dryRun=All"])
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(lambda name: secret_path("app", name), id="secret"),
        pytest.param(lambda name: config_map_path("app", name), id="config-map"),
        pytest.param(lambda name: event_path("app", name), id="event"),
        pytest.param(lambda name: service_account_path("app", name, "token"), id="service-account-token"),
        pytest.param(lambda name: lease_path("app", name), id="lease"),
        pytest.param(lambda name: cr_path(Kind.VAULT_AUTH, "app", name, "status"), id="status"),
        pytest.param(lambda name: workload_path("Deployment", "app", name), id="workload"),
        pytest.param(lambda name: secret_path(name or "..", "a"), id="namespace"),
    ],
)
def test_what_can_be_no_name_makes_no_path(path: Callable[[str], str | None], name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        path(name)
    assert caught.value.reason is Reason.INVALID_SPEC
