"""The operator's rights, as data: the RBAC objects of an install for the whole cluster.

Invariant: the files in manifests/rbac/full and manifests/rbac/write-only say the same, and a test
compares them, so that what a program applies is what is shipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from vso.core.keys import GROUP, Kind

NAME: Final = "vault-secrets-operator"
NAMESPACE: Final = "vso-system"
LEASE: Final = "b0d477c0.hashicorp.com"
"""The Lease of the leader. The reference operator's: in one namespace the two never both act."""
MAC_KEY: Final = "vso-cc-storage-hmac-key"
"""The Secret with the key of status.secretMAC."""
CLIENT_CACHE: Final = tuple(f"vso-client-cache-{number}" for number in range(4))
"""The Secrets with the Vault tokens that are kept over a restart; an install that keeps any makes them, empty."""
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


def objects(*, full: bool) -> tuple[Object, ...]:
    """Return the roles of mode full or write-only, each followed by its binding to the operator's ServiceAccount."""
    return (
        *_bound("ClusterRole", NAME, cluster_rules(full=full)),
        *_bound("Role", NAME, own_namespace_rules(), NAMESPACE),
        *_bound("ClusterRole", f"{NAME}-restarts", restart_rules()),
    )


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
    return (*secrets, *_bound("Role", f"{NAME}-client-cache", client_cache_rules(), NAMESPACE))


def metrics_auth_objects() -> tuple[Object, ...]:
    """Return what --metrics-auth needs, and the role that whoever scrapes is to be bound to."""
    name = f"{NAME}-metrics-reader"
    reader = {"name": name, "labels": {"app.kubernetes.io/name": NAME}}
    return (
        *_bound("ClusterRole", f"{NAME}-metrics-auth", metrics_auth_rules()),
        {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": reader, "rules": metrics_reader_rules()},
    )


def cluster_rules(*, full: bool) -> list[Rule]:
    """Return what the operator may do wherever it has custom resources to look after."""
    secrets = ["create", "patch"]
    if full:
        secrets += ["list", "watch", "delete"]
    plurals = [kind.plural for kind in Kind]
    return [
        _rule(GROUP, plurals, ["list", "watch"]),
        _rule(GROUP, [f"{plural}/status" for plural in plurals], ["patch"]),
        _rule(GROUP, [kind.plural for kind in _FINALIZED], ["patch"]),
        _rule("", ["secrets"], secrets),
        _rule("", ["serviceaccounts/token"], ["create"]),
        _rule("", ["events"], ["create", "patch"]),
    ]


def own_namespace_rules() -> list[Rule]:
    """Return what the operator may do in its own namespace: its Lease, and the key of status.secretMAC."""
    leases = "coordination.k8s.io"
    return [
        _rule(leases, ["leases"], ["create"]),
        _rule(leases, ["leases"], ["get", "patch"], LEASE),
        _rule("", ["secrets"], ["create"]),
        _rule("", ["secrets"], ["get"], MAC_KEY),
    ]


def restart_rules() -> list[Rule]:
    """Return what rolloutRestartTargets needs; an install may leave it out."""
    return [
        _rule("apps", ["deployments", "statefulsets", "daemonsets"], ["patch"]),
        _rule("argoproj.io", ["rollouts"], ["get", "patch"]),
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


def _bound(kind: str, name: str, rules: list[Rule], namespace: str = "") -> tuple[Object, Object]:
    metadata: Object = {"name": name, "labels": {"app.kubernetes.io/name": NAME}}
    if namespace:
        metadata["namespace"] = namespace
    frame = {"apiVersion": f"{_RBAC}/v1", "metadata": metadata}
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
    role = {"apiGroup": _RBAC, "kind": kind, "name": name}
    return (
        {**frame, "kind": kind, "rules": rules},
        {**frame, "kind": f"{kind}Binding", "roleRef": role, "subjects": [subject]},
    )
