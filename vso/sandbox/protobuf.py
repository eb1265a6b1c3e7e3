"""Kubernetes' protobuf, read only: kubectl's own commands (create token, create namespace, auth can-i …) send
their small objects in it. Answers are always JSON, which they take.

Source: the wire format of Protocol Buffers, and the field numbers of k8s.io/api's generated.proto.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from vso.sandbox.objects import Json, JsonObject

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    how: Literal["text", "number", "flag", "map", "bytes-map", "message"] = "text"
    repeated: bool = False
    inner: Mapping[int, _Field] = field(default_factory=dict)


def _message(name: str, inner: Mapping[int, _Field], *, repeated: bool = False) -> _Field:
    return _Field(name, "message", repeated, inner)


def _list(name: str) -> _Field:
    return _Field(name, repeated=True)


_META = {1: _Field("name"), 2: _Field("generateName"), 3: _Field("namespace"), 5: _Field("uid")}
_META |= {11: _Field("labels", "map"), 12: _Field("annotations", "map"), 14: _list("finalizers")}
_M = {1: _message("metadata", _META)}
_RULE = {1: _list("verbs"), 2: _list("apiGroups"), 3: _list("resources"), 4: _list("resourceNames")}
_RULES = _M | {2: _message("rules", _RULE, repeated=True)}
_SUBJECT = {1: _Field("kind"), 2: _Field("apiGroup"), 3: _Field("name"), 4: _Field("namespace")}
_ROLE_REF = {1: _Field("apiGroup"), 2: _Field("kind"), 3: _Field("name")}
_BINDING = _M | {2: _message("subjects", _SUBJECT, repeated=True), 3: _message("roleRef", _ROLE_REF)}
_ATTRIBUTES = dict(
    enumerate(map(_Field, ("namespace", "verb", "group", "version", "resource", "subresource", "name")), 1)
)
_ACCESS = {1: _message("resourceAttributes", _ATTRIBUTES)}
_PRECONDITIONS = {1: _Field("uid"), 2: _Field("resourceVersion")}
_KINDS: dict[str, Mapping[int, _Field]] = {
    "Namespace": _M,
    "ServiceAccount": _M,
    "ConfigMap": _M | {2: _Field("data", "map")},
    "Secret": _M | {2: _Field("data", "bytes-map"), 3: _Field("type"), 4: _Field("stringData", "map")},
    "Role": _RULES,
    "ClusterRole": _RULES,
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "TokenRequest": _M | {2: _message("spec", {1: _list("audiences"), 4: _Field("expirationSeconds", "number")})},
    "SelfSubjectReview": {},
    "SelfSubjectAccessReview": {2: _message("spec", _ACCESS)},
    "DeleteOptions": {
        2: _message("preconditions", _PRECONDITIONS),
        3: _Field("orphanDependents", "flag"),
        4: _Field("propagationPolicy"),
        5: _list("dryRun"),
    },
}


def decode(raw: bytes) -> JsonObject | None:
    """Return the object; None for a kind that is not in the table, or for something else entirely."""
    if not raw.startswith(_MAGIC):
        return None
    try:
        envelope = dict(_fields(raw[len(_MAGIC) :]))
        about = _object(envelope[1], {1: _Field("apiVersion"), 2: _Field("kind")})
        known = _KINDS.get(about.get("kind", ""))
        return None if known is None else about | _object(envelope.get(2, b""), known)
    except (IndexError, KeyError, ValueError):
        return None


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (raw[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if raw[at - 1] < 0x80:
            return value, at


def _fields(raw: bytes) -> Iterator[tuple[int, Json]]:
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        value, at = _varint(raw, at)
        match key & 7:
            case 0:
                yield key >> 3, value
            case 2:
                yield key >> 3, raw[at : at + value]
                at += value
            case _:
                raise ValueError("a wire type that these kinds do not use")


def _object(raw: bytes, known: Mapping[int, _Field]) -> JsonObject:
    found: JsonObject = {}
    for number, value in _fields(raw):
        spec = known.get(number)
        if spec is None or (value == b"" and not spec.repeated):
            continue
        if spec.how in ("map", "bytes-map"):
            pair = dict(_fields(value))
            found.setdefault(spec.name, {})[pair.get(1, b"").decode()] = _scalar(spec, pair.get(2, b""))
        elif spec.repeated:
            found.setdefault(spec.name, []).append(_scalar(spec, value))
        else:
            found[spec.name] = _scalar(spec, value)
    return found


def _scalar(spec: _Field, value: Json) -> Json:
    match spec.how:
        case "message":
            return _object(value, spec.inner)
        case "bytes-map":
            return base64.b64encode(value).decode()
        case "number":
            return value
        case "flag":
            return bool(value)
        case _:
            return value.decode()
