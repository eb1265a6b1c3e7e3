"""A request to the API server, understood: which verb on which resource, and in what form to answer.

Invariant: pure parsing; authorisation and audit both read the one `Target` made here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from vso.sandbox.admission import Validation
from vso.sandbox.objects import JsonObject
from vso.sandbox.rbac import Access
from vso.sandbox.resources import NAMESPACES, Registry, Resource
from vso.sandbox.rest import Options
from vso.sandbox.selectors import SelectorError, field_terms
from vso.sandbox.status import bad_request, no_such_path
from vso.sandbox.storage import Ref

Form = Literal["object", "partial", "table"]
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about."""

    resource: Resource
    verb: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def ref(self) -> Ref:
        """Where the object is stored."""
        namespaced = self.resource.namespaced
        return Ref(self.resource.qualified, self.namespace if namespaced else "", self.name)

    @property
    def access(self) -> Access:
        """What the rules are asked."""
        found = self.resource
        return Access(self.verb, found.group, found.plural, self.subresource, self.namespace, self.name)

    def reference(self, body_name: str = "") -> JsonObject:
        """Return the objectRef of the audit event."""
        found = {
            "resource": self.resource.plural,
            "namespace": self.namespace,
            "name": self.name or body_name,
            "apiGroup": self.resource.group,
            "apiVersion": self.resource.version,
            "subresource": self.subresource,
        }
        return {key: value for key, value in found.items() if value}


def resolve(registry: Registry, method: str, path: str, query: Mapping[str, str]) -> Target | None:
    """Return what the request is about; None for paths outside the resources."""
    match path.strip("/").split("/"):
        case ["api", version, *rest] if rest:
            group = ""
        case ["apis", group, version, *rest] if rest:
            pass
        case _:
            return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1 and not group:
        namespace, rest = rest[1], rest[2:] if len(rest) > 2 and rest[2] not in ("status", "finalize") else rest
    elif rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = (*rest, "", "")[:3]
    resource = registry.find(group, version, plural)
    if resource is None or len(rest) > 3 or (subresource and subresource not in resource.subresources):
        raise no_such_path()
    return _named(resource, method, query, (namespace, name, subresource))


def _named(resource: Resource, method: str, query: Mapping[str, str], where: tuple[str, str, str]) -> Target:
    namespace, name, subresource = where
    verb = _VERBS.get(method, method.lower())
    if not name and verb == "delete":
        verb = "deletecollection"
    if not name and verb == "get":
        verb = "watch" if query.get("watch") in ("true", "1") else "list"
        name = _selected_name(query.get("fieldSelector", ""))
    if resource.namespaced and not namespace and verb not in ("list", "watch"):
        raise no_such_path()
    if not resource.namespaced and namespace and resource is not NAMESPACES:
        raise no_such_path()
    return Target(resource, verb, namespace, name, subresource)


def _selected_name(selector: str) -> str:
    try:
        terms = field_terms(selector)
    except SelectorError as error:
        raise bad_request(str(error)) from None
    return next((value for path, value, equal in terms if equal and path == "metadata.name"), "")


def form(accept: str) -> Form:
    """Return the form that the client would rather have."""
    first = accept.partition(",")[0]
    if "as=Table" in first:
        return "table"
    return "partial" if "as=PartialObjectMetadata" in first else "object"


def options(query: Mapping[str, str], subresource: str, user_agent: str = "") -> Options:
    """Return what the query asks of a write; who gives no name as a field manager is known by the user agent."""
    dry_run, validation = query.get("dryRun", ""), query.get("fieldValidation") or "Warn"
    if dry_run not in ("", "All"):
        raise bad_request(f'invalid dry run value "{dry_run}"')
    if validation not in ("Ignore", "Warn", "Strict"):
        raise bad_request(f'invalid fieldValidation "{validation}"')
    manager = query.get("fieldManager") or user_agent.partition("/")[0] or "unknown"
    return Options(bool(dry_run), cast("Validation", validation), subresource, manager)
