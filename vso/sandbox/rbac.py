"""Who may do what: Roles and bindings evaluated for each request, with the API server's own words.

Invariant: members of system:masters may do everything; everybody else only what a rule says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vso.sandbox.objects import JsonObject, meta
from vso.sandbox.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from vso.sandbox.storage import Ref, Storage

MASTERS = "system:masters"
ADMIN_ROLES: dict[str, list[JsonObject]] = {
    "cluster-admin": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
    "system:auth-delegator": [
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
        {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
    ],
}
_SELF = ("selfsubjectaccessreviews", "selfsubjectreviews")


@dataclass(frozen=True, slots=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Access:
    """What is asked for."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def target(self) -> str:
        """The resource as rules spell it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class PathAccess:
    """A path that is asked for and that belongs to no resource."""

    verb: str
    path: str


def allows_path(rule: JsonObject, access: PathAccess) -> bool:
    """Tell whether one rule covers the path: it is named, or what it begins with before a `*`."""
    urls = rule.get("nonResourceURLs") or ()
    found = any(url == access.path or (url.endswith("*") and access.path.startswith(url[:-1])) for url in urls)
    return found and not {access.verb, "*"}.isdisjoint(rule.get("verbs") or ())


def allows(rule: JsonObject, access: Access) -> bool:
    """Tell whether one rule covers the access."""
    wanted = {access.target, "*"} | ({f"*/{access.subresource}"} if access.subresource else set())
    names = rule.get("resourceNames") or ()
    return bool(
        not {access.verb, "*"}.isdisjoint(rule.get("verbs") or ())
        and not {access.group, "*"}.isdisjoint(rule.get("apiGroups") or ())
        and not wanted.isdisjoint(rule.get("resources") or ())
        and (not names or access.name in names)
    )


def refusal(user: User, access: Access) -> str:
    """Return the words of a refusal."""
    where = f'in the namespace "{access.namespace}"' if access.namespace else "at the cluster scope"
    what = f'cannot {access.verb} resource "{access.target}" in API group "{access.group}"'
    return f'User "{user.name}" {what} {where}'


class Authorizer:
    """Reads the rules from the storage at each question, so a change counts at once."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def allowed(self, user: User, access: Access) -> bool:
        """Tell whether the user may."""
        if MASTERS in user.groups or access.resource in _SELF:
            return True
        return any(allows(rule, access) for rule in self._rules(user, access.namespace))

    def allowed_path(self, user: User, access: PathAccess) -> bool:
        """Tell whether the user may; only what is bound for the whole cluster counts."""
        return MASTERS in user.groups or any(allows_path(rule, access) for rule in self._rules(user, ""))

    def _rules(self, user: User, namespace: str) -> Iterator[JsonObject]:
        bindings = self._storage.objects(CLUSTER_ROLE_BINDINGS.qualified)
        if namespace:
            bindings += self._storage.objects(ROLE_BINDINGS.qualified, namespace)
        for binding in bindings:
            if any(_is(user, subject, namespace) for subject in binding.get("subjects") or ()):
                yield from self._role(binding["roleRef"], meta(binding).get("namespace", ""))

    def _role(self, reference: JsonObject, namespace: str) -> Iterable[JsonObject]:
        cluster = reference["kind"] == "ClusterRole"
        found = CLUSTER_ROLES if cluster else ROLES
        role = self._storage.get(Ref(found.qualified, "" if cluster else namespace, reference["name"]))
        return (role or {}).get("rules") or ()


def _is(user: User, subject: JsonObject, namespace: str) -> bool:
    name = str(subject.get("name", ""))
    match subject.get("kind"):
        case "ServiceAccount":
            return user.name == f"system:serviceaccount:{subject.get('namespace', namespace)}:{name}"
        case "Group":
            return name in user.groups
        case _:
            return user.name == name
