"""What kubectl prints: objects as rows of a Table, and as metadata alone.

Columns come from the CustomResourceDefinition, by simple JSONPaths, or from a small list for the
built-in kinds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from vso.sandbox.objects import Json, JsonObject, dig, meta
from vso.sandbox.resources import Resource

_STEP = re.compile(r"\.?([A-Za-z_$][\w-]*)|\['([^']+)'\]|\[(\d+)\]|\[\?\(@\.([\w.]+)\s*==\s*[\"']([^\"']*)[\"']\)\]")
_NAME: JsonObject = {"name": "Name", "type": "string", "format": "name", "jsonPath": ".metadata.name"}
_AGE: JsonObject = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def _column(name: str, path: str, kind: str = "string") -> JsonObject:
    return {"name": name, "type": kind, "jsonPath": path}


_BUILT_IN: dict[str, tuple[JsonObject, ...]] = {
    "namespaces": (_column("Status", ".status.phase"),),
    "secrets": (_column("Type", ".type"), _column("Data", ".data", "count")),
    "configmaps": (_column("Data", ".data", "count"),),
    "pods": (_column("Status", ".status.phase"),),
    "events": (
        _column("Last Seen", ".lastTimestamp", "date"),
        _column("Type", ".type"),
        _column("Reason", ".reason"),
        _column("Object", ".involvedObject.name"),
        _column("Message", ".message"),
    ),
    "deployments.apps": (
        _column("Ready", ".status.readyReplicas", "integer"),
        _column("Up-to-date", ".status.updatedReplicas", "integer"),
        _column("Available", ".status.availableReplicas", "integer"),
    ),
    "leases.coordination.k8s.io": (_column("Holder", ".spec.holderIdentity"),),
    "rolebindings.rbac.authorization.k8s.io": (_column("Role", ".roleRef.name"),),
    "clusterrolebindings.rbac.authorization.k8s.io": (_column("Role", ".roleRef.name"),),
}


def evaluate(path: str, obj: object) -> Json:
    """Return the first value at a simple JSONPath; None where there is none."""
    value, at = obj, 0
    text = path.strip("{}")
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            return None
        at = step.end()
        value = _step(value, step)
    return value


def _step(value: object, step: re.Match[str]) -> Json:
    field, quoted, index, filter_path, wanted = step.groups()
    if filter_path is not None:
        items = value if isinstance(value, list) else []
        return next((item for item in items if str(dig(item, *filter_path.split("."))) == wanted), None)
    if index is not None:
        return value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
    return value.get(field or quoted) if isinstance(value, dict) else None


def columns(resource: Resource) -> Sequence[JsonObject]:
    """Return the columns of a resource, its name first."""
    if resource.columns:
        return (_NAME, *resource.columns)
    return (_NAME, *_BUILT_IN.get(resource.qualified, ()), _AGE)


def age(text: str | None, now: datetime) -> str:
    """Render how long ago a timestamp was, as kubectl shortens it."""
    if not text:
        return "<unknown>"
    seconds = max(0, int((now - datetime.fromisoformat(text)).total_seconds()))
    for limit, unit, size in ((120, "s", 1), (7_200, "m", 60), (172_800, "h", 3_600)):
        if seconds < limit:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86_400}d"


def _cell(column: JsonObject, obj: JsonObject, now: datetime) -> Json:
    value = evaluate(column["jsonPath"], obj)
    match column["type"]:
        case "date":
            return age(value, now)
        case "count":
            return len(value or {})
        case "integer" | "number":
            return value if value is not None else (0 if column in sum(_BUILT_IN.values(), ()) else None)
        case "boolean":
            return value
        case _:
            return "" if value is None else str(value)


def partial(obj: JsonObject) -> JsonObject:
    """Return the object's metadata and nothing else."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta(obj)}


def table(resource: Resource, objects: Iterable[JsonObject], now: datetime, *, whole: bool = False) -> JsonObject:
    """Return the Table of the objects; `whole` puts them into the rows entirely."""
    wanted = columns(resource)
    definitions = [
        {
            "name": c["name"],
            "type": "integer" if c["type"] == "count" else "string" if c["type"] == "date" else c["type"],
            "format": c.get("format", ""),
            "description": c.get("description", ""),
            "priority": c.get("priority", 0),
        }
        for c in wanted
    ]
    rows = [
        {"cells": [_cell(c, obj, now) for c in wanted], "object": obj if whole else partial(obj)} for obj in objects
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": definitions,
        "rows": rows,
    }
