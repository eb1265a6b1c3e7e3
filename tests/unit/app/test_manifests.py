"""The shipped manifests: names, rights, restrictions, and an example that is right by our own models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from vso.api.scheme import parse
from vso.app.settings import from_args
from vso.core.keys import GROUP, Kind

MANIFESTS = Path(__file__).resolve().parents[3] / "manifests"
NAME, NAMESPACE = "vault-secrets-operator", "vso-system"
MODES = ("full", "write-only")
SCOPES = {
    "full": "rbac/full/cluster.yaml",
    "write-only": "rbac/write-only/cluster.yaml",
    "full, one namespace": "rbac/namespaced/full/role.yaml",
    "write-only, one namespace": "rbac/namespaced/write-only/role.yaml",
}
PLURALS = {kind.plural for kind in Kind}
Object = dict[str, Any]


def objects(path: str) -> list[Object]:
    return [document for document in yaml.safe_load_all((MANIFESTS / path).read_text()) if document]


def one(path: str, kind: str) -> Object:
    (found,) = [document for document in objects(path) if document["kind"] == kind]
    return found


def files(*, but: str = "crds") -> Iterator[Path]:
    return (path for path in sorted(MANIFESTS.rglob("*.yaml")) if path.relative_to(MANIFESTS).parts[0] != but)


def role_of(path: str) -> Object:
    return next(document for document in objects(path) if document["kind"] in {"Role", "ClusterRole"})


def verbs(rules: list[Object], group: str, resource: str, *, named: bool | None = None) -> set[str]:
    return {
        verb
        for rule in rules
        if group in rule["apiGroups"] and resource in rule["resources"] and named in {None, "resourceNames" in rule}
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(MANIFESTS))) for path in files()])
def test_every_file_is_listed_by_a_kustomization_beside_it(path: Path) -> None:
    documents = [document for document in yaml.safe_load_all(path.read_text()) if document]
    assert documents
    if path.name == "kustomization.yaml":
        listed = [*documents[0]["resources"], *documents[0].get("configurations", [])]
        assert all((path.parent / entry).exists() for entry in listed)
        return
    beside = yaml.safe_load((path.parent / "kustomization.yaml").read_text())
    assert path.name in [*beside["resources"], *beside.get("configurations", [])]


def test_the_names_that_kubectl_logs_is_asked_for() -> None:
    deployment = one("install/base/deployment.yaml", "Deployment")
    account = one("install/base/service-account.yaml", "ServiceAccount")
    for found in (deployment, account):
        assert (found["metadata"]["namespace"], found["metadata"]["name"]) == (NAMESPACE, NAME)
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == NAME
    assert one("install/base/namespace.yaml", "Namespace")["metadata"]["name"] == NAMESPACE


def test_the_pod_is_restricted() -> None:
    pod = one("install/base/deployment.yaml", "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"requests", "limits"} == set(container["resources"])
    labels = one("install/base/namespace.yaml", "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_probes_and_metrics_are_where_the_operator_serves_them() -> None:
    (container,) = one("install/base/deployment.yaml", "Deployment")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    settings = from_args(container["args"], {}, lambda _path: None)
    assert settings.warnings == ()
    assert settings.metrics_bind_address is not None
    assert settings.health_probe_bind_address is not None
    assert ports == {"metrics": settings.metrics_bind_address.port, "health": settings.health_probe_bind_address.port}
    for probe, path in (("livenessProbe", "/healthz"), ("startupProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "health"}
    (port,) = one("install/base/metrics-service.yaml", "Service")["spec"]["ports"]
    assert port["targetPort"] == "metrics"


@pytest.mark.parametrize("mode", MODES)
def test_an_install_joins_the_mode_with_its_rights(mode: str) -> None:
    kustomization = one(f"install/{mode}/kustomization.yaml", "Kustomization")
    assert kustomization["resources"] == ["../base", f"../../rbac/{mode}"]
    (patch,) = yaml.safe_load(kustomization["patches"][0]["patch"])
    assert from_args([patch["value"]], {}, lambda _path: None).secrets_access == mode


@pytest.mark.parametrize(("scope", "path"), SCOPES.items())
def test_the_rights_are_exactly_those_that_are_used(scope: str, path: str) -> None:
    rules = role_of(path)["rules"]
    for plural in PLURALS:
        assert {"list", "watch"} <= verbs(rules, GROUP, plural) <= {"list", "watch", "patch"}
        assert verbs(rules, GROUP, f"{plural}/status") == {"patch"}
    expected = {"create", "patch"} | ({"list", "watch", "delete"} if scope.startswith("full") else set())
    assert verbs(rules, "", "secrets") == expected
    assert verbs(rules, "", "serviceaccounts/token") == {"create"}
    assert verbs(rules, "", "events") == {"create", "patch"}
    assert len(rules) == 6
    assert "*" not in str(rules)


@pytest.mark.parametrize(("scope", "path"), SCOPES.items())
def test_a_namespaced_install_has_no_cluster_role_and_names_its_service_accounts(scope: str, path: str) -> None:
    kinds = {document["kind"] for document in objects(path)}
    namespaced = "one namespace" in scope
    assert kinds == ({"Role", "RoleBinding"} if namespaced else {"ClusterRole", "ClusterRoleBinding"})
    tokens = [rule for rule in role_of(path)["rules"] if "serviceaccounts/token" in rule["resources"]]
    assert ["resourceNames" in rule for rule in tokens] == [namespaced]


@pytest.mark.parametrize("folder", ["rbac/full", "rbac/write-only", "rbac/namespaced/operator"])
def test_the_rights_in_the_own_namespace(folder: str) -> None:
    role = one(f"{folder}/own-namespace.yaml", "Role")
    rules = role["rules"]
    assert role["metadata"]["namespace"] == NAMESPACE
    assert verbs(rules, "coordination.k8s.io", "leases", named=True) == {"get", "patch"}
    assert verbs(rules, "coordination.k8s.io", "leases", named=False) == {"create"}
    assert verbs(rules, "", "secrets", named=True) == {"get"}
    assert verbs(rules, "", "secrets", named=False) == {"create"}
    named = {name for rule in rules for name in rule.get("resourceNames", ())}
    assert named == {"b0d477c0.hashicorp.com", "vso-cc-storage-hmac-key"}


def test_kept_tokens_have_secrets_of_their_own_and_no_other_is_read() -> None:
    secrets = objects("rbac/client-cache/secrets.yaml")
    assert all("data" not in secret and "stringData" not in secret for secret in secrets)
    (rule,) = one("rbac/client-cache/role.yaml", "Role")["rules"]
    assert set(rule["verbs"]) == {"get", "patch"}
    assert rule["resourceNames"] == [secret["metadata"]["name"] for secret in secrets]
    assert {secret["metadata"]["namespace"] for secret in secrets} == {NAMESPACE}


@pytest.mark.parametrize("folder", [str(Path(path).parent) for path in SCOPES.values()])
def test_restarts_are_a_role_of_their_own(folder: str) -> None:
    rules = role_of(f"{folder}/restarts.yaml")["rules"]
    for workload in ("deployments", "statefulsets", "daemonsets"):
        assert verbs(rules, "apps", workload) == {"patch"}
    assert verbs(rules, "argoproj.io", "rollouts") == {"get", "patch"}
    elsewhere = [path for path in (MANIFESTS / folder).glob("*.yaml") if path.name != "restarts.yaml"]
    assert not any("deployments" in path.read_text() for path in elsewhere)


def test_every_binding_is_for_the_operators_service_account() -> None:
    bindings = [
        document
        for path in files()
        for document in yaml.safe_load_all(path.read_text())
        if document and document.get("kind", "").endswith("Binding")
    ]
    assert len(bindings) == 13
    for binding in bindings:
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}]
        assert binding["roleRef"]["name"] == binding["metadata"]["name"]
        assert binding["kind"] == f"{binding['roleRef']['kind']}Binding"


def test_what_is_said_twice_is_the_same() -> None:
    own = {path.read_text() for path in (MANIFESTS / "rbac").rglob("own-namespace.yaml")}
    assert len(own) == 1
    for folder in ("rbac", "rbac/namespaced"):
        restarts = {(MANIFESTS / folder / mode / "restarts.yaml").read_text() for mode in MODES}
        assert len(restarts) == 1


def example(name: str) -> Any:
    (document,) = objects(f"example/base/{name}.yaml")
    return parse(Kind(document["kind"]), orjson.dumps(document))


def test_the_example_hangs_together() -> None:
    connection, auth, secret = example("vault-connection"), example("vault-auth"), example("vault-static-secret")
    deployment = one("example/base/deployment.yaml", "Deployment")
    account = one("example/base/service-account.yaml", "ServiceAccount")
    assert auth.spec.vault_connection_ref == connection.metadata.name
    assert secret.spec.vault_auth_ref == auth.metadata.name
    assert auth.spec.kubernetes.service_account == account["metadata"]["name"]
    assert [target.name for target in secret.spec.rollout_restart_targets] == [deployment["metadata"]["name"]]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": secret.spec.destination.name}}]
    policy = (MANIFESTS / "example/vault-policy.hcl").read_text()
    assert f'path "{secret.spec.mount}/data/{secret.spec.path}"' in policy
    assert 'capabilities = ["read"]' in policy


def test_the_examples_waves_go_from_access_to_secrets_to_workloads() -> None:
    def wave(name: str) -> int:
        (document,) = objects(f"example/base/{name}.yaml")
        return int(document["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])

    assert wave("vault-connection") == wave("vault-auth") == wave("service-account")
    assert wave("vault-auth") < wave("vault-static-secret") < wave("deployment")


def test_the_rename_rules_cover_every_reference_of_the_example() -> None:
    (rules,) = objects("example/base/name-reference.yaml")
    covered = {
        (rule["kind"], spec["kind"], spec["path"]) for rule in rules["nameReference"] for spec in rule["fieldSpecs"]
    }
    assert {
        ("VaultConnection", "VaultAuth", "spec/vaultConnectionRef"),
        ("VaultAuth", "VaultStaticSecret", "spec/vaultAuthRef"),
        ("ServiceAccount", "VaultAuth", "spec/kubernetes/serviceAccount"),
        ("Deployment", "VaultStaticSecret", "spec/rolloutRestartTargets/name"),
    } <= covered
    assert not any("destination/name" in path for _, _, path in covered)
    assert one("example/overlays/prod/kustomization.yaml", "Kustomization")["namePrefix"] == "prod-"
