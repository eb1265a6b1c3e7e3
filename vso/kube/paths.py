"""URL paths of the API server, built and read back.

Invariant: every request path of this adapter is made here, so that an error can name the resource,
and with it the exact RBAC rule, from the path alone. A name that Kubernetes would not take makes no
path: `..` leads nowhere, and a name that is empty is not the whole collection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vso.core.keys import GROUP, VERSION, Kind
from vso.decide.names import object_name

_APPS: Final = "/apis/apps/v1"
_RESOURCES: Final = ("api", "apis")
_WORKLOADS: Final = {
    "Deployment": (_APPS, "deployments"),
    "StatefulSet": (_APPS, "statefulsets"),
    "DaemonSet": (_APPS, "daemonsets"),
    "argo.Rollout": ("/apis/argoproj.io/v1alpha1", "rollouts"),
}


@dataclass(frozen=True, slots=True)
class Target:
    """What a path addresses, in the words of RBAC: a resource, or else the path itself."""

    group: str
    resource: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def full_resource(self) -> str:
        """The resource with its subresource, as a Role spells it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    @property
    def is_path(self) -> bool:
        """Whether it is no resource: a rule for it names its URL."""
        return self.resource.startswith("/")

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}".strip("/")
        return f"{self.full_resource} {place}".rstrip()


def _join(prefix: str, resource: str, namespace: str, name: str | None = None, subresource: str = "") -> str:
    scope = ("namespaces", object_name(namespace, "the namespace")) if namespace else ()
    one = () if name is None else (object_name(name, f"a name in {resource}"),)
    parts = (*scope, resource, *one, *((subresource,) if subresource else ()))
    return "/".join((prefix, *parts))


def cr_path(kind: Kind, namespace: str = "", name: str | None = None, subresource: str = "") -> str:
    """Return the path of one of our own kinds, or of the collection; no namespace means the whole cluster."""
    return _join(f"/apis/{GROUP}/{VERSION}", kind.plural, namespace, name, subresource)


def secret_path(namespace: str = "", name: str | None = None) -> str:
    """Return the path of a Secret, or of the collection."""
    return _join("/api/v1", "secrets", namespace, name)


def config_map_path(namespace: str, name: str) -> str:
    """Return the path of a ConfigMap."""
    return _join("/api/v1", "configmaps", namespace, name)


def event_path(namespace: str, name: str | None = None) -> str:
    """Return the path of a core Event, or of the collection."""
    return _join("/api/v1", "events", namespace, name)


def service_account_path(namespace: str, name: str | None = None, subresource: str = "") -> str:
    """Return the path of a ServiceAccount, of its token, or of the collection."""
    return _join("/api/v1", "serviceaccounts", namespace, name, subresource)


def lease_path(namespace: str, name: str | None = None) -> str:
    """Return the path of a Lease, or of the collection."""
    return _join("/apis/coordination.k8s.io/v1", "leases", namespace, name)


def crd_path(name: str | None = None) -> str:
    """Return the path of a CustomResourceDefinition, or of the collection."""
    return _join("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", "", name)


def schema_path() -> str:
    """Return the path of what the API server tells clients of our kinds' schemas (OpenAPI v3)."""
    return f"/openapi/v3/apis/{GROUP}/{VERSION}"


def scale_path(namespace: str, deployment: str) -> str:
    """Return the path of a Deployment's number of replicas."""
    return _join(_APPS, "deployments", namespace, deployment, "scale")


def token_review_path() -> str:
    """Return the path at which a token is asked about."""
    return _join("/apis/authentication.k8s.io/v1", "tokenreviews", "")


def access_review_path() -> str:
    """Return the path at which somebody's rights are asked about."""
    return _join("/apis/authorization.k8s.io/v1", "subjectaccessreviews", "")


def workload_path(kind: str, namespace: str, name: str) -> str | None:
    """Return the path of a restart target, or None for a kind that cannot be restarted."""
    known = _WORKLOADS.get(kind)
    return None if known is None else _join(known[0], known[1], namespace, name)


def target_of(path: str) -> Target:
    """Return what a path made by this module addresses."""
    parts = path.strip("/").split("/")
    if parts[0] not in _RESOURCES:
        return Target("", path)
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1] if len(parts) > 1 else "", parts[3:])
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    resource, name, subresource = (*rest, "", "", "")[:3]
    return Target(group, resource, namespace, name, subresource)
