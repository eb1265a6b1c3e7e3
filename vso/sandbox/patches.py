"""The three patch formats as pure functions: JSON Patch (RFC 6902), merge patch (RFC 7386), and as much
of the strategic merge patch as kubectl and the operator send.

Invariant: the document handed in is never changed.
"""

from __future__ import annotations

import copy

from vso.sandbox.objects import Json

MERGE_KEYS = {
    "containers": "name", "initContainers": "name", "volumes": "name", "env": "name", "volumeMounts": "mountPath",
    "ports": "containerPort", "ownerReferences": "uid", "imagePullSecrets": "name", "conditions": "type",
}  # fmt: skip


class PatchError(Exception):
    """A well-formed patch that does not fit the document, a failed `test` included."""


def merge(target: Json, patch: Json) -> Json:
    """Apply a merge patch."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def strategic(target: Json, patch: Json, field: str = "") -> Json:
    """Apply a strategic merge patch: lists of known fields are merged by key, others replaced."""
    if isinstance(patch, list):
        return _merge_list(target, patch, MERGE_KEYS.get(field))
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) and patch.get("$patch") != "replace" else {}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
        else:
            result[key] = strategic(result.get(key), value, key)
    return result


def _merge_list(target: Json, patch: list[Json], key: str | None) -> list[Json]:
    if key is None or not all(isinstance(item, dict) and key in item for item in patch):
        return copy.deepcopy(patch)
    result = list(target) if isinstance(target, list) else []
    for item in patch:
        at = next((i for i, old in enumerate(result) if old.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            result = result if at is None else result[:at] + result[at + 1 :]
        elif at is None:
            result.append(strategic({}, item))
        else:
            result[at] = strategic(result[at], item)
    return result


def json_patch(target: Json, operations: list[dict[str, Json]]) -> Json:
    """Apply the operations in order, all or nothing."""
    document = copy.deepcopy(target)
    for operation in operations:
        document = _apply(document, operation)
    return document


def _apply(document: Json, operation: dict[str, Json]) -> Json:
    path = _pointer(operation.get("path", ""))
    match operation.get("op"):
        case "test":
            if _get(document, path) != operation.get("value"):
                raise PatchError(f"testing value {operation['path']} failed")
            return document
        case "add":
            return _put(document, path, copy.deepcopy(operation.get("value")), insert=True)
        case "replace":
            return _put(document, path, copy.deepcopy(operation.get("value")), insert=False)
        case "remove":
            return _remove(document, path)
        case "move" | "copy" as kind:
            source = _pointer(operation.get("from", ""))
            value = copy.deepcopy(_get(document, source))
            return _put(_remove(document, source) if kind == "move" else document, path, value, insert=True)
        case kind:
            raise PatchError(f"unexpected kind: {kind}")


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise PatchError(f"bad path {text}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _index(items: list[Json], part: str, *, end: bool) -> int:
    if part == "-" and end:
        return len(items)
    if not part.isdigit() or int(part) > len(items) - (0 if end else 1):
        raise PatchError(f"invalid array index {part}")
    return int(part)


def _get(document: Json, path: list[str]) -> Json:
    for part in path:
        if isinstance(document, list):
            document = document[_index(document, part, end=False)]
        elif isinstance(document, dict) and part in document:
            document = document[part]
        else:
            raise PatchError(f"missing path /{'/'.join(path)}")
    return document


def _put(document: Json, path: list[str], value: Json, *, insert: bool) -> Json:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list) and insert:
        parent.insert(_index(parent, last, end=True), value)
    elif isinstance(parent, list):
        parent[_index(parent, last, end=False)] = value
    elif isinstance(parent, dict):
        parent[last] = value
    else:
        raise PatchError(f"missing path /{'/'.join(path)}")
    return document


def _remove(document: Json, path: list[str]) -> Json:
    _get(document, path)
    if not path:
        return None
    parent, last = _get(document, path[:-1]), path[-1]
    del parent[int(last) if isinstance(parent, list) else last]
    return document
