"""What single choices make of the chart, where a golden does not say enough; and mistakes, told before anything is applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance.chart_cases import CHART, NAMESPACE, Json, of_kind, operator_of, render, rules
from tests.conformance.stage import MANIFESTS, documents
from tests.testbed.gitops import kustomize
from tests.testbed.helm import Helm, HelmError
from vso.core.label_selector import label_selector

pytestmark = pytest.mark.real

CLASS = "vso.hashicorp.com/operator-class"
DEFAULT = {"defaultVaultConnection": {"enabled": True, "address": "https://vault.example.com"}}
TOKENS = ["serviceaccounts/token"]


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def rendered(helm: Helm) -> dict[str, list[Json]]:
    return {case: render(helm, case) for case in ("default", "gitops", "credentials", "vault-tls")}


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


OF_THE_OPERATOR = ("VaultConnection", "VaultAuth")


@pytest.mark.parametrize(
    "selector", ["team=platform", "team == platform", "tier in (gold,silver),tier", "paused!=yes", "tier notin (x)", ""]
)
def test_what_the_chart_makes_for_the_operator_is_what_that_one_looks_after(helm: Helm, selector: str) -> None:
    said = (
        "--set-string",
        f"operator.watchLabelSelector={selector.replace(',', chr(92) + ',')},commonLabels.tier=gold",
    )
    objects = of_kind(render(helm, "operator-class-defaults", *said), *OF_THE_OPERATOR)
    assert len(objects) == 3
    for found in objects:
        labels = found["metadata"]["labels"]
        assert labels[CLASS] == "blue"
        assert label_selector(selector)(labels)


def test_a_class_that_common_labels_say_too_is_said_once(helm: Helm) -> None:
    common = f"commonLabels.{CLASS.replace('.', chr(92) + '.')}=blue"
    for found in of_kind(render(helm, "operator-class-defaults", "--set", common), *OF_THE_OPERATOR):
        assert found["metadata"]["labels"][CLASS] == "blue"


@pytest.mark.parametrize(
    ("method", "said", "secrets", "tokens", "read"),
    [
        ("kubernetes", "kubernetes.serviceAccount=a", [], ["a"], []),
        ("jwt", "jwt.secretRef=b", ["b"], [], []),
        ("jwt", "jwt.serviceAccount=a", [], ["a"], []),
        ("appRole", "", ["app-role"], [], []),
        ("approle", "", ["app-role"], [], []),
        ("aws", "aws.secretRef=keys", ["keys"], [], []),
        ("aws", "aws.secretRef=keys,aws.irsaServiceAccount=a", ["keys"], [], []),
        ("aws", "aws.irsaServiceAccount=a", [], ["a"], ["a"]),
        ("aws", "aws.irsaServiceAccount=a,aws.roleARN=r", [], ["a"], []),
        ("gcp", "", [], ["operator"], ["operator"]),
        ("gcp", "gcp.serviceAccountEmail=a@b", [], ["operator"], []),
        ("azure", "azure.clientID=a", [], ["operator"], ["operator"]),
        ("azure", "azure.clientID=a,azure.tenantID=b", [], ["operator"], []),
        ("cert", "", ["operator-tls"], [], []),
        ("ldap", "", ["operator-ldap"], [], []),
        ("userpass", "", ["operator-userpass"], [], []),
        ("token", "", ["operator-token"], [], []),
        ("generic", "", ["operator-generic"], [], []),
    ],
)
def test_the_storage_login_has_the_rights_that_it_takes_by_name_in_the_operators_namespace(
    helm: Helm, method: str, said: str, secrets: list[str], tokens: list[str], read: list[str]
) -> None:
    path = "controller.manager.clientCache.storageEncryption"
    settings = ",".join(f"{path}.{part}" for part in (f"method={method}", *filter(None, said.split(","))))
    objects = render(helm, "cache-encrypted-logins", "--set", settings)
    found = rules(objects, "Role", "vault-secrets-operator-storage-login", NAMESPACE)
    named = {rule["resources"][0]: (rule["verbs"], rule["resourceNames"]) for rule in found}
    wanted = {"serviceaccounts/token": (["create"], tokens), "secrets": (["get"], secrets)}
    wanted["serviceaccounts"] = (["get"], read)
    assert named == {resource: right for resource, right in wanted.items() if right[1]}


def test_a_storage_login_by_a_file_takes_no_right_even_where_it_names_a_secret_too(helm: Helm) -> None:
    path = "controller.manager.clientCache.storageEncryption"
    objects = render(helm, "cache-encrypted-logins", "--set", f"{path}.method=token,{path}.token.path=/vault/token")
    assert [o for o in objects if o["metadata"]["name"] == "vault-secrets-operator-storage-login"] == []


def test_a_login_as_the_operator_itself_may_ask_its_token_whomever_else_is_named(helm: Helm) -> None:
    objects = render(helm, "service-accounts")
    team = rules(objects, "ClusterRole", f"vault-secrets-operator-{NAMESPACE}")
    assert [rule["resourceNames"] for rule in team if rule["resources"] == TOKENS] == [["app"]]
    own = rules(objects, "Role", "vault-secrets-operator-storage-login", NAMESPACE)
    (shipped,) = [d for d in documents(MANIFESTS / "rbac/storage-login/role.yaml") if "rules" in d]
    assert own == shipped["rules"]


def test_any_service_account_is_asked_for_in_words(helm: Helm) -> None:
    objects = render(helm, "namespaces-any")
    (role,) = [rules(objects, "Role", f"vault-secrets-operator-{NAMESPACE}", "team-a")]
    assert [rule for rule in role if rule["resources"] == TOKENS] == [
        {"apiGroups": [""], "resources": TOKENS, "verbs": ["create"]}
    ]


def test_two_installs_whose_monitoring_is_in_one_namespace_never_meet(helm: Helm) -> None:
    """But for the CRDs, of which there is one set."""
    said = ["telemetry.serviceMonitor", "prometheusRule", "grafanaDashboard"]
    place = ",".join(f"{path}.enabled=true,{path}.namespace=monitoring" for path in said)
    every = f"{place},metrics.secure=true,metrics.auth=true,controller.manager.clientCache.persistenceModel=accessor"
    one, other = (
        {
            (found["kind"], found["metadata"].get("namespace"), found["metadata"]["name"])
            for found in render(helm, "default", "--set", f"{every},namespaceOverride={namespace}")
        }
        for namespace in ("vso-blue", "vso-green")
    )
    assert len([placed for placed in one if placed[1] == "monitoring"]) == 3
    assert one & other == set()


def test_a_service_monitor_is_there_where_the_cluster_knows_its_kind(helm: Helm) -> None:
    known = ("--api-versions", "monitoring.coreos.com/v1/ServiceMonitor")
    enabled = ("--set", "telemetry.serviceMonitor.enabled=true")
    for mode, without in (("skipIfMissing", 0), ("alwaysRender", 1)):
        said = (*enabled, "--set", f"telemetry.serviceMonitor.renderMode={mode}")
        assert len(of_kind(render(helm, "default", *said), "ServiceMonitor")) == without
        assert len(of_kind(render(helm, "default", *said, *known), "ServiceMonitor")) == 1
    said = (*enabled, "--set", "telemetry.serviceMonitor.renderMode=failIfMissing")
    assert len(of_kind(render(helm, "default", *said, *known), "ServiceMonitor")) == 1


def test_a_spread_with_a_selector_of_its_own_keeps_it(helm: Helm) -> None:
    (deployment,) = of_kind(render(helm, "spread"), "Deployment")
    own, filled = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert own["labelSelector"] == {"matchLabels": {"team": "platform"}}
    assert filled["labelSelector"] == {"matchLabels": deployment["spec"]["selector"]["matchLabels"]}


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
        ({"defaultAuthMethod": {"method": "approl"}}, "method"),
        ({"defaultAuthMethod": {"enabled": True, "method": ""}}, "defaultAuthMethod.method: only a VaultAuthGlobal"),
        ({"hooks": {"upgradeCRDs": {"executionTimeout": "5 minutes"}}}, "pattern"),
        (
            {"defaultAuthMethod": {"enabled": True, "method": "approle"}},
            "defaultAuthMethod.appRole: the method approle",
        ),
        (
            {"defaultAuthMethod": {"enabled": True, "method": "token"}},
            "defaultAuthMethod.token: the method token takes",
        ),
        (
            {
                "controller": {
                    "manager": {
                        "clientCache": {
                            "persistenceModel": "direct-encrypted",
                            "storageEncryption": {"keyName": "a", "transitMount": "b", "method": "jwt"},
                        }
                    }
                }
            },
            "storageEncryption.jwt: the method jwt takes",
        ),
        ({"operator": {"watchLabelSelector": "team in (a,b)"}, **DEFAULT}, r'"team in .a,b." leaves out'),
        ({"operator": {"watchLabelSelector": "team"}, **DEFAULT}, '"team" leaves out'),
        ({"operator": {"watchLabelSelector": "!team"}, "commonLabels": {"team": "a"}, **DEFAULT}, '"!team" leaves out'),
        ({"operator": {"watchLabelSelector": "team!=a"}, "commonLabels": {"team": "a"}, **DEFAULT}, "leaves out"),
        ({"operator": {"watchLabelSelector": "team==b"}, "commonLabels": {"team": "a"}, **DEFAULT}, "leaves out"),
        (
            {
                "operator": {"watchLabelSelector": "x,team notin (a, b)"},
                "commonLabels": {"team": "b", "x": ""},
                **DEFAULT,
            },
            r'"team notin .a, b." leaves out',
        ),
        ({"operator": {"class": "blue"}, "commonLabels": {CLASS: "green"}, **DEFAULT}, "leaves what the chart makes"),
        (
            {"telemetry": {"serviceMonitor": {"enabled": True, "renderMode": "failIfMissing"}}},
            "the cluster knows no ServiceMonitor",
        ),
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
