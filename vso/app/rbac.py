"""The operator's rights, as data: the RBAC objects of every install.

Invariant: this is the one place that says them. `vso.app.rbac_files` writes manifests/rbac from it, `vso.app.chart`
the chart's roles, and the conformance suite runs under what was written.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from vso.core.keys import GROUP, Kind, ObjectKey

NAME: Final = "vault-secrets-operator"
NAMESPACE: Final = "vso-system"
LEASE: Final = "b0d477c0.hashicorp.com"
"""The Lease of the leader. The reference operator's: in one namespace the two never both act."""
MAC_KEY: Final = "vso-cc-storage-hmac-key"
"""The Secret with the key of status.secretMAC."""
CLIENT_CACHE: Final = tuple(f"vso-client-cache-{number}" for number in range(4))
"""The Secrets with the Vault tokens that are kept over a restart; an install that keeps any makes them, empty."""
OPERATOR: Final = ObjectKey(NAMESPACE, NAME)
"""The ServiceAccount of the operator, to which everything is bound."""
SERVICE_ACCOUNT: Final = "app-sa"
"""The ServiceAccount of the shipped example, which the Roles of a namespaced install name."""
RESTARTS: Final = f"{NAME}-restarts"
OWN: Final = f"{NAME}-own-namespace"
CREDENTIAL_ROLE: Final = f"{NAME}-credentials"
CREDENTIALS: Final = {"secrets": "vault-ca", "configmaps": "vault-ca", "serviceaccounts": "app"}
"""What the example of a role for credentials names."""
_RESTARTED: Final = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}
_ROLLOUT: Final = "argo.Rollout"
RESTARTABLE: Final = frozenset({*_RESTARTED, _ROLLOUT})
"""The kinds of rollout targets."""
_RBAC: Final = "rbac.authorization.k8s.io"
_FINALIZED: Final = (
    Kind.VAULT_CONNECTION,
    Kind.VAULT_AUTH,
    Kind.VAULT_STATIC_SECRET,
    Kind.VAULT_DYNAMIC_SECRET,
    Kind.VAULT_PKI_SECRET,
    Kind.HCP_VAULT_SECRETS_APP,
)
"""The kinds that may carry a finalizer of the reference operator or of ours."""

Rule = dict[str, list[str]]
Object = dict[str, Any]


def objects(*, full: bool, service_accounts: Sequence[str] = ()) -> tuple[Object, ...]:
    """Return the roles of an install for the whole cluster, each followed by its binding to the operator."""
    return (
        *bound("ClusterRole", NAME, team_rules(full=full, service_accounts=service_accounts)),
        *own_namespace_objects(everywhere=True),
        *bound("ClusterRole", RESTARTS, restart_rules()),
    )


def namespaced_objects(
    namespace: str, *, full: bool, service_accounts: Sequence[str] = (SERVICE_ACCOUNT,)
) -> tuple[Object, ...]:
    """Return the roles in one of the namespaces that are watched; without a name kustomize fills it in."""
    return (
        *bound("Role", NAME, team_rules(full=full, service_accounts=service_accounts), namespace),
        *bound("Role", RESTARTS, restart_rules(), namespace),
    )


def own_namespace_objects(*, everywhere: bool) -> tuple[Object, ...]:
    """Return the role in the operator's own namespace, beside which there may be that of a watched one."""
    return bound("Role", OWN, own_namespace_rules(everywhere=everywhere), NAMESPACE)


def credential_objects() -> tuple[Object, ...]:
    """Return an example of the role for references to credentials, in the namespace of the object that has them."""
    rules = [credential_rule(resource, name) for resource, name in CREDENTIALS.items()]
    return bound("Role", CREDENTIAL_ROLE, rules)


def client_cache_objects() -> tuple[Object, ...]:
    """Return what --client-cache-persistence-model needs: empty Secrets, and the right to fill them and no others."""
    labels = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "client-cache-storage"}
    secrets = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
            "type": "Opaque",
        }
        for name in CLIENT_CACHE
    ]
    return (*secrets, *bound("Role", f"{NAME}-client-cache", client_cache_rules(), NAMESPACE))


def storage_login_objects() -> tuple[Object, ...]:
    """Return what a VaultAuth with storageEncryption needs that logs in as the operator's own ServiceAccount."""
    return bound("Role", f"{NAME}-storage-login", [token_rule(NAME)], NAMESPACE)


def metrics_auth_objects() -> tuple[Object, ...]:
    """Return what --metrics-auth needs, and the role that whoever scrapes is to be bound to."""
    name = f"{NAME}-metrics-reader"
    reader = {"name": name, "labels": {"app.kubernetes.io/name": NAME}}
    return (
        *bound("ClusterRole", f"{NAME}-metrics-auth", metrics_auth_rules()),
        {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": reader, "rules": metrics_reader_rules()},
    )


def team_rules(*, full: bool, service_accounts: Sequence[str] = (), writes: bool = True) -> list[Rule]:
    """Return what the operator may do wherever it has custom resources to look after.

    Tokens may be requested for the named ServiceAccounts only, or for any where none is named; Secrets are written
    where `writes` says so.
    """
    looks = ["list", "watch"] if full else []
    secrets = ["create", "patch", *looks, *(["delete"] if full else [])] if writes else looks
    plurals = [kind.plural for kind in Kind]
    return [
        _rule(GROUP, plurals, ["list", "watch"]),
        _rule(GROUP, [f"{plural}/status" for plural in plurals], ["patch"]),
        _rule(GROUP, [kind.plural for kind in _FINALIZED], ["patch"]),
        *([_rule("", ["secrets"], secrets)] if secrets else []),
        token_rule(*service_accounts),
        _rule("", ["events"], ["create", "patch"]),
    ]


def own_namespace_rules(*, everywhere: bool) -> list[Rule]:
    """Return what the operator may do in its own namespace: its Lease, and the key of status.secretMAC.

    Who may make Secrets `everywhere` may make that key too.
    """
    leases = "coordination.k8s.io"
    return [
        _rule(leases, ["leases"], ["create"]),
        _rule(leases, ["leases"], ["get", "patch"], LEASE),
        _rule("", ["secrets"], ["get"], MAC_KEY),
        *([] if everywhere else [_rule("", ["secrets"], ["create"])]),
    ]


def restart_rules(kinds: Collection[str] = RESTARTABLE) -> list[Rule]:
    """Return what rolloutRestartTargets of these kinds needs; an install may leave it out."""
    plain = [plural for kind, plural in _RESTARTED.items() if kind in kinds]
    return [
        *([_rule("apps", plain, ["patch"])] if plain else []),
        *([_rule("argoproj.io", ["rollouts"], ["get", "patch"])] if _ROLLOUT in kinds else []),
    ]


def client_cache_rules() -> list[Rule]:
    """Return what --client-cache-persistence-model needs: to look into its own Secrets and to fill them."""
    return [_rule("", ["secrets"], ["get", "patch"], *CLIENT_CACHE)]


def metrics_auth_rules() -> list[Rule]:
    """Return what --metrics-auth needs, which no Role can give: to ask whose a token is, and what its owner may do."""
    return [
        _rule("authentication.k8s.io", ["tokenreviews"], ["create"]),
        _rule("authorization.k8s.io", ["subjectaccessreviews"], ["create"]),
    ]


def metrics_reader_rules() -> list[Rule]:
    """Return what a scraper needs where --metrics-auth is on; the operator itself has none of it."""
    return [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]


def credential_rule(resource: str, *names: str) -> Rule:
    """Return what a reference to a Secret, ConfigMap or ServiceAccount needs, by their names."""
    return _rule("", [resource], ["get"], *names)


def token_rule(*names: str) -> Rule:
    """Return what the request of a token takes, of the named ServiceAccounts only, or of any where none is named."""
    return _rule("", ["serviceaccounts/token"], ["create"], *names)


def crd_rules() -> list[Rule]:
    """Return what `vso crds --apply` needs; the operator itself has none of it."""
    group, names = "apiextensions.k8s.io", [f"{kind.plural}.{GROUP}" for kind in Kind]
    return [
        _rule(group, ["customresourcedefinitions"], ["create"]),
        _rule(group, ["customresourcedefinitions"], ["get", "patch"], *names),
    ]


def scale_rules() -> list[Rule]:
    """Return what --uninstall-deployment needs: to bring the operator's own Deployment to no replicas."""
    return [_rule("apps", ["deployments/scale"], ["get", "patch"], NAME)]


def _rule(group: str, resources: Sequence[str], verbs: Sequence[str], *names: str) -> Rule:
    rule = {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
    return rule | ({"resourceNames": list(names)} if names else {})


def bound(
    kind: str, name: str, rules: list[Rule], namespace: str = "", operator: ObjectKey = OPERATOR
) -> tuple[Object, Object]:
    """Return a role and its binding to the operator's ServiceAccount."""
    placed = {"name": name} | ({"namespace": namespace} if namespace else {})
    metadata = {**placed, "labels": {"app.kubernetes.io/name": NAME}}
    subject = {"kind": "ServiceAccount", "name": operator.name, "namespace": operator.namespace}
    role = {"apiGroup": _RBAC, "kind": kind, "name": name}
    version = f"{_RBAC}/v1"
    return (
        {"apiVersion": version, "kind": kind, "metadata": metadata, "rules": rules},
        {
            "apiVersion": version,
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": role,
            "subjects": [subject],
        },
    )
