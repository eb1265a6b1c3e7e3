"""What single choices make of the chart, where a golden does not say enough; and mistakes, told before anything is applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.chart_cases import CHART, NAMESPACE, Json, of_kind, operator_of, render, rules
from tests.conformance.stage import MANIFESTS
from tests.testbed.gitops import kustomize
from tests.testbed.helm import Helm, HelmError

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def rendered(helm: Helm) -> dict[str, list[Json]]:
    return {case: render(helm, case) for case in ("gitops", "credentials", "vault-tls")}


def data_of(objects: list[Json], name: str) -> dict[str, str]:
    """What a ConfigMap holds."""
    (found,) = [o for o in of_kind(objects, "ConfigMap") if o["metadata"]["name"] == f"vault-secrets-operator-{name}"]
    return dict(found["data"])


def test_argo_cds_patch_is_what_the_manifests_give_it(helm: Helm, rendered: dict[str, list[Json]]) -> None:
    (whole,) = kustomize(MANIFESTS / "install/argocd")
    wanted = {key: text for key, text in whole["data"].items() if key.startswith("resource.customizations.")}
    assert len(wanted) == 14
    patch = yaml.safe_load(data_of(rendered["gitops"], "argocd")["patch.yaml"])
    assert patch == {"data": wanted}
    health = render(helm, "default", "--set", "argocd.healthChecks.create=true")
    actions = render(helm, "default", "--set", "argocd.actions.create=true")
    halves = [yaml.safe_load(data_of(found, "argocd")["patch.yaml"])["data"] for found in (health, actions)]
    assert [{key.split(".")[2] for key in half} for half in halves] == [{"health"}, {"actions"}]
    assert halves[0] | halves[1] == wanted


def test_fluxs_examples_are_those_of_the_manifests(rendered: dict[str, list[Json]]) -> None:
    shipped = [*(MANIFESTS / "example/flux").glob("*.yaml"), MANIFESTS / "components/flux/health-checks.yaml"]
    wanted = {path.name: yaml.safe_load(path.read_text()) for path in shipped if path.name != "kustomization.yaml"}
    assert {name: yaml.safe_load(text) for name, text in data_of(rendered["gitops"], "flux").items()} == wanted


@pytest.mark.parametrize(
    ("adapt", "cluster", "left"),
    [
        ("auto", (), False),
        ("auto", ("--api-versions", "security.openshift.io/v1"), True),
        ("disabled", ("--api-versions", "security.openshift.io/v1"), False),
        ("force", (), True),
    ],
)
def test_users_and_groups_are_left_to_openshift(
    helm: Helm, adapt: str, cluster: tuple[str, ...], *, left: bool
) -> None:
    fixed = (
        "--set",
        f"compatibility.openshift.adaptSecurityContext={adapt}",
        "--set",
        "controller.podSecurityContext.fsGroup=1",
    )
    for owner in of_kind(render(helm, "default", *fixed, *cluster), "Deployment", "Job"):
        context = owner["spec"]["template"]["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True
        assert ({"runAsUser", "runAsGroup", "fsGroup"} <= set(context)) is not left
        assert ({"runAsUser", "runAsGroup", "fsGroup"} & set(context) == set()) is left


def test_a_namespace_of_credentials_that_is_there_twice_has_one_role_with_both(
    rendered: dict[str, list[Json]],
) -> None:
    found = rules(rendered["credentials"], "Role", f"vault-secrets-operator-{NAMESPACE}-credentials", "team-a")
    assert [rule["resourceNames"] for rule in found if rule["resources"] == ["secrets"]] == [
        ["vault-ca", "app-role", "other"]
    ]


def test_files_for_tls_are_where_the_default_connection_and_the_flags_name_them(
    rendered: dict[str, list[Json]],
) -> None:
    objects = rendered["vault-tls"]
    (connection,) = of_kind(objects, "VaultConnection")
    folder = "/vault/tls"
    assert {key: value for key, value in connection["spec"].items() if key.endswith("Path")} == {
        "caCertPath": f"{folder}/ca.crt",
        "clientCertPath": f"{folder}/tls.crt",
        "clientKeyPath": f"{folder}/tls.key",
    }
    container = operator_of(objects)
    assert f"--allowed-file-prefixes=/etc/certs,{folder}" in container["args"]
    assert container["volumeMounts"] == [{"name": "vault-tls", "mountPath": folder, "readOnly": True}]
    own = rules(objects, "Role", "vault-secrets-operator", NAMESPACE)
    assert "vault-ca" not in str(own)
    assert "vault-client" not in str(own)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"controler": {}}, "controler"),
        ({"rbac": {"mode": "read-only"}}, "rbac"),
        ({"controller": {"replicas": "2"}}, "replicas"),
        ({"defaultVaultConnection": {"enabled": True}}, "where is Vault"),
        (
            {
                "controller": {
                    "replicas": 2,
                    "podDisruptionBudget": {"enabled": True, "minAvailable": 1, "maxUnavailable": 1},
                }
            },
            "not both",
        ),
        (
            {"controller": {"rbac": {"clusterRoleAggregation": {"viewerRoles": ["Vaultt"]}}}},
            "there is no kind Vaultt",
        ),
        ({"controller": {"manager": {"clientCache": {"persistenceModel": "direct-encrypted"}}}}, "which Transit key"),
        ({"rbac": {"credentials": [{"secrets": ["a"]}]}}, "namespace"),
        ({"rbac": {"credentials": [{"namespace": "team-a", "secret": ["a"]}]}}, "secret"),
        ({"rbac": {"credentials": [{"namespace": "Team A"}]}}, "pattern"),
        ({"rbac": {"credentials": [{"namespace": "team-a", "secrets": ["a/b"]}]}}, "pattern"),
        ({"vault": {"tls": {"caConfigMap": "a", "caSecret": "b"}}}, "vault.tls: give caConfigMap or caSecret"),
        (
            {
                "vault": {"tls": {"caSecret": "b"}},
                "defaultVaultConnection": {"enabled": True, "address": "https://v", "caCertSecret": "b"},
            },
            "give neither caCertSecret nor caCertPath",
        ),
        ({"controller": {"podSpecExtra": {"containers": []}}}, "podSpecExtra: the chart sets containers"),
        ({"crds": {"keep": False}}, "keep"),
        (
            {"crds": {"annotations": {"a": "b"}}, "hooks": {"upgradeCRDs": {"enabled": False}}},
            "crds.annotations: it takes",
        ),
    ],
)
def test_a_mistake_is_told_before_anything_is_applied(
    helm: Helm, tmp_path: Path, values: dict[str, Any], error: str
) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(HelmError, match=error):
        helm("template", "vso", CHART, "-f", file)
