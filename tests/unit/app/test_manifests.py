"""The shipped manifests: names, rights, restrictions, and an example that is right by our own models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from vso.api.scheme import parse
from vso.app import rbac
from vso.app.flags import texts
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


def named_by(kustomization: Path) -> list[str]:
    """What a kustomization names: files and folders."""
    (found,) = yaml.safe_load_all(kustomization.read_text())
    lists = ("resources", "components", "configurations")
    patches = [patch["path"] for patch in found.get("patches", ()) if "path" in patch]
    generated = [entry.partition("=")[2] for made in found.get("configMapGenerator", ()) for entry in made["files"]]
    return [*(entry for name in lists for entry in found.get(name, ())), *patches, *generated]


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(MANIFESTS))) for path in files()])
def test_every_file_is_named_by_a_kustomization_beside_it(path: Path) -> None:
    if path.name == "kustomization.yaml":
        for entry in named_by(path):
            there = path.parent / entry
            assert there.is_file() or any((there / name).is_file() for name in ("kustomization.yaml", "Kustomization"))
        return
    assert [document for document in yaml.safe_load_all(path.read_text()) if document]
    assert path.name in named_by(path.parent / "kustomization.yaml")


def test_the_names_that_kubectl_logs_is_asked_for() -> None:
    deployment = one("operator/deployment.yaml", "Deployment")
    account = one("operator/service-account.yaml", "ServiceAccount")
    for found in (deployment, account):
        assert (found["metadata"]["namespace"], found["metadata"]["name"]) == (NAMESPACE, NAME)
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == NAME
    assert one("operator/namespace.yaml", "Namespace")["metadata"]["name"] == NAMESPACE


def test_the_pod_is_restricted() -> None:
    pod = one("operator/deployment.yaml", "Deployment")["spec"]["template"]["spec"]
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
    labels = one("operator/namespace.yaml", "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_job_that_uninstalls_is_the_operators_pod_with_the_right_to_stop_it() -> None:
    operator = one("operator/deployment.yaml", "Deployment")["spec"]
    job = one("uninstall/job.yaml", "Job")["spec"]["template"]
    ours, theirs = operator["template"]["spec"], job["spec"]
    for key in ("serviceAccountName", "automountServiceAccountToken", "securityContext"):
        assert theirs[key] == ours[key]
    for key in ("image", "imagePullPolicy", "securityContext"):
        assert theirs["containers"][0][key] == ours["containers"][0][key]
    assert not operator["selector"]["matchLabels"].items() <= job["metadata"]["labels"].items()
    told = texts(theirs["containers"][0]["args"])
    assert (told["uninstall"], told["uninstall_deployment"]) == ("true", NAME)
    assert role_of("uninstall/role.yaml")["rules"] == rbac.scale_rules()


def test_probes_and_metrics_are_where_the_operator_serves_them() -> None:
    (container,) = one("operator/deployment.yaml", "Deployment")["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    settings = from_args(container["args"], {}, lambda _path: None)
    assert settings.warnings == ()
    assert settings.metrics_bind_address is not None
    assert settings.health_probe_bind_address is not None
    assert ports == {"metrics": settings.metrics_bind_address.port, "health": settings.health_probe_bind_address.port}
    for probe, path in (("livenessProbe", "/healthz"), ("startupProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "health"}
    (port,) = one("operator/metrics-service.yaml", "Service")["spec"]["ports"]
    assert port["targetPort"] == "metrics"


def test_the_install_is_the_whole_operator_in_mode_full() -> None:
    assert one("operator/kustomization.yaml", "Kustomization")["resources"][-1] == "../rbac/full"
    assert one("base/kustomization.yaml", "Kustomization")["resources"] == ["../crds", "../operator"]
    (container,) = one("operator/deployment.yaml", "Deployment")["spec"]["template"]["spec"]["containers"]
    assert from_args(container["args"], {}, lambda _path: None).secrets_access == "full"


def test_write_only_changes_one_rule_and_one_flag() -> None:
    component = one("components/write-only/kustomization.yaml", "Component")
    (guard, verbs_), (flag,) = (yaml.safe_load(patch["patch"]) for patch in component["patches"])
    full, narrow = (role_of(f"rbac/{mode}/cluster.yaml")["rules"] for mode in MODES)
    at = int(verbs_["path"].split("/")[2])
    assert guard == {"op": "test", "path": f"/rules/{at}/resources", "value": full[at]["resources"]}
    assert [*full[:at], full[at] | {"verbs": verbs_["value"]}, *full[at + 1 :]] == narrow
    assert from_args([flag["value"]], {}, lambda _path: None).secrets_access == "write-only"


def test_the_component_of_service_accounts_names_those_of_the_token_rule() -> None:
    component = one("components/service-accounts/kustomization.yaml", "Component")
    ((guard, names),) = (yaml.safe_load(patch["patch"]) for patch in component["patches"])
    for mode, full in (("full", True), ("write-only", False)):
        rules = role_of(f"rbac/{mode}/cluster.yaml")["rules"]
        at = int(names["path"].split("/")[2])
        assert guard == {"op": "test", "path": f"/rules/{at}/resources", "value": rules[at]["resources"]}
        limited = rbac.team_rules(full=full, service_accounts=names["value"])
        assert [*rules[:at], rules[at] | {"resourceNames": names["value"]}, *rules[at + 1 :]] == limited


def test_the_network_policy_lets_in_and_out_what_the_operator_needs() -> None:
    spec = one("components/networkpolicy/network-policy.yaml", "NetworkPolicy")["spec"]
    deployment = one("operator/deployment.yaml", "Deployment")["spec"]
    assert spec["podSelector"] == deployment["selector"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    (container,) = deployment["template"]["spec"]["containers"]
    (scrape,) = spec["ingress"]
    assert [port["port"] for port in scrape["ports"]] == ["metrics"]
    assert "metrics" in {port["name"] for port in container["ports"]}
    assert [{port["port"] for port in rule["ports"]} for rule in spec["egress"]] == [{53}, {443, 6443}, {8200}]


def test_the_service_monitor_finds_the_service() -> None:
    monitor = one("components/monitoring/service-monitor.yaml", "ServiceMonitor")
    service = one("operator/metrics-service.yaml", "Service")
    assert monitor["metadata"]["namespace"] == service["metadata"]["namespace"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [end["port"] for end in monitor["spec"]["endpoints"]] == [port["name"] for port in service["spec"]["ports"]]


@pytest.mark.parametrize("tool", ["argocd/applications", "flux"])
def test_the_parts_of_the_example_come_one_after_the_other(tool: str) -> None:
    parts = ["operator", "access", "secrets", "workload"]
    found = [objects(f"example/{tool}/{part}.yaml")[0] for part in parts]
    for part, document in zip(parts, found, strict=True):
        path = document["spec"].get("path") or document["spec"]["source"]["path"]
        assert (MANIFESTS.parent / path / "kustomization.yaml").is_file()
        assert path.endswith("install/full" if part == "operator" else f"example/{part}")
    if tool == "flux":
        awaited = [[other["name"] for other in document["spec"].get("dependsOn", ())] for document in found]
        assert awaited == [[], *([document["metadata"]["name"]] for document in found[:-1])]
        return
    waves = [int(document["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]) for document in found]
    assert waves == sorted(set(waves))


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
    assert verbs(rules, "", "secrets", named=False) == ({"create"} if "namespaced" in folder else set())
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
        if isinstance(document, dict) and document.get("kind", "").endswith("Binding")
    ]
    assert len(bindings) == 16
    for binding in bindings:
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}]
        assert binding["roleRef"]["name"] == binding["metadata"]["name"]
        assert binding["kind"] == f"{binding['roleRef']['kind']}Binding"


PARTS = {
    "vault-connection": "access",
    "vault-auth": "access",
    "service-account": "access",
    "vault-static-secret": "secrets",
    "deployment": "workload",
}


def part(name: str) -> Object:
    (document,) = objects(f"example/{PARTS[name]}/{name}.yaml")
    return document


def example(name: str) -> Any:
    return parse(Kind(part(name)["kind"]), orjson.dumps(part(name)))


def test_the_example_hangs_together() -> None:
    connection, auth, secret = example("vault-connection"), example("vault-auth"), example("vault-static-secret")
    deployment = part("deployment")
    account = part("service-account")
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
        return int(part(name)["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])

    assert wave("vault-connection") == wave("vault-auth") == wave("service-account")
    assert wave("vault-auth") < wave("vault-static-secret") < wave("deployment")


def test_the_overlays_inherit_the_rules_of_renaming() -> None:
    assert one("example/base/kustomization.yaml", "Kustomization")["components"] == ["../../name-reference"]
    for environment in ("dev", "prod"):
        overlay = one(f"example/overlays/{environment}/kustomization.yaml", "Kustomization")
        assert (overlay["namePrefix"], overlay["resources"]) == (f"{environment}-", ["../../base"])
