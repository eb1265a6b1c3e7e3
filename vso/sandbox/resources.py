"""Which resources exist: a table of built-in kinds, and those that CustomResourceDefinitions add.

Invariant: `qualified` names a resource in storage, rules and messages alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vso.sandbox.objects import JsonObject, dig


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One resource of one API group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    status: bool = False
    generation: bool = False
    unconditional: bool = True  # a PUT may leave out the resourceVersion
    review: bool = False  # a question in the shape of an object: answered, never stored
    schema: JsonObject | None = None
    columns: tuple[JsonObject, ...] = ()

    @property
    def qualified(self) -> str:
        """The name with its group, as messages spell it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """The group and version as objects spell it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def custom(self) -> bool:
        """Whether a CustomResourceDefinition describes it."""
        return self.schema is not None

    @property
    def subresources(self) -> tuple[str, ...]:
        """The subresources that exist beside the object."""
        token = ("token",) if self.plural == "serviceaccounts" else ()
        return (("status",) if self.status else ()) + token


def _workload(plural: str, kind: str, short: str) -> Resource:
    return Resource("apps", "v1", plural, kind, short=(short,), categories=("all",), status=True, generation=True)


def _rbac(plural: str, kind: str, *, namespaced: bool) -> Resource:
    return Resource("rbac.authorization.k8s.io", "v1", plural, kind, namespaced=namespaced)


def _review(group: str, plural: str, kind: str) -> Resource:
    return Resource(group, "v1", plural, kind, namespaced=False, review=True)


NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False, short=("ns",), status=True)
SECRETS = Resource("", "v1", "secrets", "Secret")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", short=("sa",))
CRDS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition",
    namespaced=False, short=("crd", "crds"), categories=("api-extensions",), status=True, generation=True,
)  # fmt: skip
ROLES = _rbac("roles", "Role", namespaced=True)
ROLE_BINDINGS = _rbac("rolebindings", "RoleBinding", namespaced=True)
CLUSTER_ROLES = _rbac("clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = _rbac("clusterrolebindings", "ClusterRoleBinding", namespaced=False)
TOKEN_REQUESTS = _review("authentication.k8s.io", "tokenrequests", "TokenRequest")  # served below the account alone
TOKEN_REVIEWS = _review("authentication.k8s.io", "tokenreviews", "TokenReview")
SELF_REVIEWS = _review("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview")
SELF_ACCESS_REVIEWS = _review("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview")
ACCESS_REVIEWS = _review("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview")

BUILT_IN: tuple[Resource, ...] = (
    NAMESPACES,
    SECRETS,
    SERVICE_ACCOUNTS,
    Resource("", "v1", "configmaps", "ConfigMap", short=("cm",)),
    Resource("", "v1", "events", "Event", short=("ev",)),
    Resource("", "v1", "pods", "Pod", short=("po",), categories=("all",), status=True),
    Resource("", "v1", "services", "Service", short=("svc",), categories=("all",), status=True),
    _workload("deployments", "Deployment", "deploy"),
    _workload("daemonsets", "DaemonSet", "ds"),
    _workload("statefulsets", "StatefulSet", "sts"),
    _workload("replicasets", "ReplicaSet", "rs"),
    Resource("coordination.k8s.io", "v1", "leases", "Lease", unconditional=False),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", short=("netpol",), generation=True),
    Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", short=("pdb",), status=True),
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    CRDS,
    TOKEN_REVIEWS,
    SELF_REVIEWS,
    SELF_ACCESS_REVIEWS,
    ACCESS_REVIEWS,
)


def from_crd(crd: JsonObject) -> Resource:
    """Return the resource that a CustomResourceDefinition describes, at its storage version."""
    spec = crd["spec"]
    names, versions = spec["names"], spec["versions"]
    version = next((v for v in versions if v.get("storage")), versions[0])
    return Resource(
        spec["group"],
        version["name"],
        names["plural"],
        names["kind"],
        namespaced=spec.get("scope") == "Namespaced",
        short=tuple(names.get("shortNames", ())),
        categories=tuple(names.get("categories", ())),
        status=dig(version, "subresources", "status") is not None,
        generation=True,
        unconditional=False,
        schema=dig(version, "schema", "openAPIV3Schema") or {},
        columns=tuple(version.get("additionalPrinterColumns", ())),
    )


class Registry:
    """The resources that are served at this moment."""

    def __init__(self, built_in: Iterable[Resource] = BUILT_IN) -> None:
        self._served = {resource.qualified: resource for resource in built_in}

    def install(self, crd: JsonObject) -> Resource:
        """Serve what the CustomResourceDefinition describes from now on."""
        resource = from_crd(crd)
        self._served[resource.qualified] = resource
        return resource

    def uninstall(self, qualified: str) -> None:
        """Stop serving a custom resource."""
        self._served.pop(qualified, None)

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource under that path, if it is served."""
        found = self._served.get(f"{plural}.{group}" if group else plural)
        return found if found is not None and found.version == version else None

    def get(self, qualified: str) -> Resource | None:
        """Return the resource of that qualified name."""
        return self._served.get(qualified)

    def all(self) -> tuple[Resource, ...]:
        """Return every resource that is served."""
        return tuple(self._served.values())
