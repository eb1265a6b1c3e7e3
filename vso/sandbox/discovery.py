"""What the server says of itself: version, groups, resources, and OpenAPI as much as kubectl asks for.

Aggregated discovery and OpenAPI v2 (protobuf) are not served: kubectl falls back.
"""

from __future__ import annotations

from collections.abc import Iterable

from vso.sandbox.objects import JsonObject
from vso.sandbox.resources import Registry, Resource

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
VERSION: JsonObject = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0-sandbox",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
_OBJECT_META: JsonObject = {
    "type": "object",
    "description": "ObjectMeta is metadata that all persisted resources must have.",
    "properties": {
        "name": {"type": "string"},
        "namespace": {"type": "string"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
_META_NAME = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def answer(registry: Registry, path: str) -> JsonObject | None:
    """Return the discovery document at a path, if there is one."""
    parts = path.strip("/").split("/")
    return _openapi_answer(registry, parts[2:]) if parts[:2] == ["openapi", "v3"] else _api_answer(registry, parts)


def _openapi_answer(registry: Registry, prefix: list[str]) -> JsonObject | None:
    if not prefix:
        prefixes = {_prefix(resource) for resource in registry.all()}
        return {"paths": {p: {"serverRelativeURL": f"/openapi/v3/{p}"} for p in sorted(prefixes)}}
    found = [r for r in registry.all() if _prefix(r) == "/".join(prefix)]
    return _openapi(found) if found else None


def _api_answer(registry: Registry, parts: list[str]) -> JsonObject | None:
    match parts:
        case ["version"]:
            return VERSION
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        case ["apis"]:
            return _group_list(registry.all())
        case ["api", "v1"]:
            return _resource_list("v1", [r for r in registry.all() if not r.group])
        case ["apis", group]:
            return _groups(registry.all()).get(group)
        case ["apis", group, version]:
            found = [r for r in registry.all() if (r.group, r.version) == (group, version)]
            return _resource_list(f"{group}/{version}", found) if found else None
        case _:
            return None


def _prefix(resource: Resource) -> str:
    return f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"


def _groups(resources: Iterable[Resource]) -> dict[str, JsonObject]:
    groups: dict[str, JsonObject] = {}
    for resource in resources:
        if resource.group:
            version = {"groupVersion": resource.api_version, "version": resource.version}
            group = {"name": resource.group, "versions": [version], "preferredVersion": version}
            groups[resource.group] = {"kind": "APIGroup", "apiVersion": "v1"} | group
    return groups


def _group_list(resources: Iterable[Resource]) -> JsonObject:
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(_groups(resources).values())}


def _resource_list(group_version: str, resources: Iterable[Resource]) -> JsonObject:
    entries: list[JsonObject] = []
    for resource in resources:
        common = {"namespaced": resource.namespaced, "kind": resource.kind}
        singular = {"name": resource.plural, "singularName": resource.kind.lower()} | common
        more = {"shortNames": list(resource.short)} if resource.short else {}
        more |= {"categories": list(resource.categories)} if resource.categories else {}
        entries.append(singular | {"verbs": ["create"] if resource.review else _VERBS} | more)
        for subresource in resource.subresources:
            token = subresource == "token"
            kind, verbs = ("TokenRequest", ["create"]) if token else (resource.kind, ["get", "patch", "update"])
            name = f"{resource.plural}/{subresource}"
            entries.append({"name": name, "singularName": ""} | common | {"kind": kind, "verbs": verbs})
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}


def _openapi(resources: list[Resource]) -> JsonObject:
    paths: JsonObject = {}
    schemas: JsonObject = {_META_NAME: _OBJECT_META}
    for resource in resources:
        gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        name = ".".join((*reversed(resource.group.split(".")), resource.version, resource.kind)).lstrip(".")
        schemas[name] = _schema(resource) | {"x-kubernetes-group-version-kind": [gvk]}
        base = f"/{_prefix(resource)}" + ("/namespaces/{namespace}" if resource.namespaced else "")
        shown = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
        responses = {"200": {"description": "OK", "content": shown}}
        parameters = [{"name": n, "in": "query", "schema": {"type": "string"}} for n in ("dryRun", "fieldValidation")]
        operations = {
            verb: {"x-kubernetes-action": verb, "x-kubernetes-group-version-kind": gvk, "responses": responses}
            | {"parameters": parameters}
            for verb in ("get", "post", "put", "patch", "delete")
        }
        paths[f"{base}/{resource.plural}"] = {verb: operations[verb] for verb in ("get", "post")}
        paths[f"{base}/{resource.plural}/{{name}}"] = {v: operations[v] for v in ("get", "put", "patch", "delete")}
    info = {"title": "sandbox", "version": VERSION["gitVersion"]}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def _schema(resource: Resource) -> JsonObject:
    found = resource.schema or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    reference = {"allOf": [{"$ref": f"#/components/schemas/{_META_NAME}"}]}
    implicit = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": reference}
    return found | {"properties": found.get("properties", {}) | implicit}
