"""What the API server does to an object before it is stored: names, defaults, pruning, validation.

Invariant: works on a copy that its caller owns; raises ApiError and stores nothing.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Literal

from vso.sandbox import schema
from vso.sandbox.objects import JsonObject, meta
from vso.sandbox.resources import NAMESPACES, SECRETS, Resource
from vso.sandbox.status import ApiError, FieldError, bad_request, invalid

Validation = Literal["Ignore", "Warn", "Strict"]
SECRET_LIMIT = 1 << 20
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_DATA_KEY = re.compile(r"^[-._a-zA-Z0-9]{1,253}$")
_LABEL_KEY = re.compile(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
_LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")
_KEY_HINT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',"
    "  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_LABEL_HINT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_NAME_HINT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
    " and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    r" '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_REQUIRED_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def check_kind(resource: Resource, obj: JsonObject) -> None:
    """Refuse a body that is not of this resource's kind."""
    wanted, found = resource.api_version, obj.get("apiVersion", "")
    if found != wanted:
        raise bad_request(f"the API version in the data ({found}) does not match the expected API version ({wanted})")
    if obj.get("kind") != resource.kind:
        text = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        raise bad_request(f"{text}: no kind {obj.get('kind', '')!r} is registered there")


def prepare(resource: Resource, obj: JsonObject, old: JsonObject | None, validation: Validation) -> list[str]:
    """Default, prune and validate the copy in place; return warnings."""
    warnings: list[str] = []
    if resource.qualified == SECRETS.qualified:
        _shape_secret(obj)
    if resource.qualified == NAMESPACES.qualified:
        obj.setdefault("spec", {"finalizers": ["kubernetes"]})
        obj.setdefault("status", {"phase": "Active"})
        meta(obj)["labels"] = meta(obj).get("labels", {}) | {"kubernetes.io/metadata.name": meta(obj).get("name", "")}
    if resource.group == "apps" and resource.kind != "DaemonSet":
        obj.setdefault("spec", {}).setdefault("replicas", 1)
    errors = _metadata_errors(obj)
    if resource.schema is not None:
        shaped, unknown = schema.shape(resource.schema, obj)
        warnings = _report_unknown(resource, unknown, validation)
        obj.clear()
        obj.update(shaped)
        errors += schema.validate(resource.schema, obj)
    if resource.qualified == SECRETS.qualified:
        errors += _secret_errors(obj, old)
    if errors:
        raise invalid(resource, meta(obj).get("name", ""), errors)
    return warnings


def _report_unknown(resource: Resource, unknown: list[str], validation: Validation) -> list[str]:
    complaints = [f'unknown field "{path}"' for path in unknown]
    if complaints and validation == "Strict":
        text = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        raise ApiError(400, "BadRequest", f"{text}: strict decoding error: {', '.join(complaints)}")
    return complaints if validation == "Warn" else []


def _metadata_errors(obj: JsonObject) -> list[FieldError]:
    found, errors = meta(obj), list[FieldError]()
    name = found.get("name") or ""
    if not name:
        text = "Required value: name or generateName is required"
        errors.append(FieldError("metadata.name", text, "FieldValueRequired"))
    elif ":" not in name and (len(name) > 253 or not _SUBDOMAIN.match(name)):
        errors.append(FieldError("metadata.name", f'Invalid value: "{name}": {_NAME_HINT}'))
    for key, value in (found.get("labels") or {}).items():
        if not _LABEL_KEY.match(key):
            errors.append(FieldError("metadata.labels", f'Invalid value: "{key}": name part must be a qualified name'))
        if not isinstance(value, str) or not _LABEL_VALUE.match(value):
            errors.append(FieldError("metadata.labels", f'Invalid value: "{value}": {_LABEL_HINT}'))
    errors += [
        FieldError(f"metadata.ownerReferences[{i}].{key}", "Invalid value: must not be empty")
        for i, owner in enumerate(found.get("ownerReferences") or ())
        for key in ("apiVersion", "kind", "name", "uid")
        if not owner.get(key)
    ]
    return errors


def _shape_secret(obj: JsonObject) -> None:
    data = {key: value or "" for key, value in (obj.get("data") or {}).items()}
    for key, value in (obj.pop("stringData", None) or {}).items():
        data[key] = base64.b64encode(value.encode()).decode()
    for value in data.values():
        _decode(value)
    obj.pop("data", None)
    if data:
        obj["data"] = data
    obj["type"] = obj.get("type") or "Opaque"


def _decode(value: object) -> bytes:
    try:
        return base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        text = 'Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte'
        legal = re.match(r"[A-Za-z0-9+/]*", str(value))
        raise bad_request(f"{text} {legal.end() if legal else 0}") from None


def _secret_errors(obj: JsonObject, old: JsonObject | None) -> list[FieldError]:
    data, kind = obj.get("data", {}), obj["type"]
    bad = [key for key in data if not _DATA_KEY.match(key) or key in (".", "..") or key.startswith("..")]
    errors = [FieldError(f"data[{key}]", f'Invalid value: "{key}": {_KEY_HINT}') for key in bad]
    if sum(len(_decode(value)) for value in data.values()) > SECRET_LIMIT:
        errors.append(FieldError("data", f"Too long: may not be more than {SECRET_LIMIT} bytes", "FieldValueTooLong"))
    missing = [key for key in _REQUIRED_KEYS.get(kind, ()) if key not in data]
    errors += [FieldError(f"data[{key}]", "Required value", "FieldValueRequired") for key in missing]
    if old is None:
        return errors
    if old["type"] != kind:
        errors.append(FieldError("type", f'Invalid value: "{kind}": field is immutable'))
    if old.get("immutable"):
        text = "field is immutable when `immutable` is set"
        fields = [field for field in ("data", "immutable") if old.get(field) != obj.get(field)]
        errors += [FieldError(field, f"Forbidden: {text}", "FieldValueForbidden") for field in fields]
    return errors
