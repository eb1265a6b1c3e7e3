"""Structural schemas of CustomResourceDefinitions: pruning, defaulting and validation, without CEL.

Invariant: pure functions; `shape` returns a new object and the paths that it pruned.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator

from vso.sandbox.objects import Json, JsonObject
from vso.sandbox.status import FieldError

PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
_IMPLICIT = ("apiVersion", "kind", "metadata")
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


def shape(schema: JsonObject, obj: JsonObject) -> tuple[JsonObject, list[str]]:
    """Return the object pruned and defaulted, and the paths of the unknown fields."""
    unknown: list[str] = []
    implicit = {key: obj[key] for key in _IMPLICIT if key in obj}
    rest = {key: value for key, value in obj.items() if key not in _IMPLICIT}
    shaped = _shape(schema | {"properties": _own(schema)}, rest, "", unknown)
    return implicit | shaped, unknown


def validate(schema: JsonObject, obj: JsonObject) -> list[FieldError]:
    """Return everything that is wrong with the object, in order of its fields."""
    rest = {key: value for key, value in obj.items() if key not in _IMPLICIT}
    return list(_validate(schema | {"properties": _own(schema)}, rest, ""))


def _own(schema: JsonObject) -> JsonObject:
    return {key: value for key, value in schema.get("properties", {}).items() if key not in _IMPLICIT}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shape(schema: JsonObject, value: Json, path: str, unknown: list[str]) -> Json:
    if isinstance(value, list) and "items" in schema:
        return [_shape(schema["items"], item, f"{path}[{i}]", unknown) for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    properties, extra = schema.get("properties", {}), schema.get("additionalProperties")
    result: JsonObject = {}
    for key, item in value.items():
        if key in properties:
            if item is None and "default" in properties[key] and not properties[key].get("nullable"):
                continue
            result[key] = _shape(properties[key], item, _join(path, key), unknown)
        elif isinstance(extra, dict):
            result[key] = _shape(extra, item, _join(path, key), unknown)
        elif extra or schema.get(PRESERVE):
            result[key] = item
        else:
            unknown.append(_join(path, key))
    for key, inner in properties.items():
        if key not in result and "default" in inner:
            result[key] = _shape(inner, copy.deepcopy(inner["default"]), _join(path, key), unknown)
    return result


def _type_of(value: Json) -> str:
    if value is None:
        return "null"
    return next(name for name, types in _TYPES.items() if type(value) in types)


def _has_type(schema: JsonObject, value: Json) -> bool:
    if schema.get(INT_OR_STRING):
        return type(value) in (int, str)
    wanted = schema.get("type")
    if wanted is None or (value is None and schema.get("nullable")):
        return True
    return type(value) in _TYPES[wanted] or (wanted == "integer" and isinstance(value, float) and value.is_integer())


def _validate(schema: JsonObject, value: Json, path: str) -> Iterator[FieldError]:
    if not _has_type(schema, value):
        found = _type_of(value)
        wanted = schema.get("type", "integer,string")
        text = f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'
        yield FieldError(path, text, "FieldValueTypeInvalid")
        return
    match value:
        case dict():
            yield from _validate_object(schema, value, path)
        case list():
            yield from _validate_list(schema, value, path)
        case str():
            yield from _validate_text(schema, value, path)
        case int() | float():
            yield from _validate_number(schema, value, path)


def _validate_object(schema: JsonObject, value: JsonObject, path: str) -> Iterator[FieldError]:
    for name in schema.get("required", ()):
        if name not in value:
            yield FieldError(_join(path, name), "Required value", "FieldValueRequired")
    most = schema.get("maxProperties")
    if most is not None and len(value) > most:
        yield FieldError(path, f"Too many: {len(value)}: must have at most {most} items", "FieldValueTooMany")
    properties, extra = schema.get("properties", {}), schema.get("additionalProperties")
    for key, item in value.items():
        inner = properties.get(key, extra)
        if isinstance(inner, dict):
            yield from _validate(inner, item, _join(path, key))


def _validate_list(schema: JsonObject, value: list[Json], path: str) -> Iterator[FieldError]:
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is not None and len(value) < least:
        text = f"Invalid value: {len(value)}: {path} in body should have at least {least} items"
        yield FieldError(path, text)
    if most is not None and len(value) > most:
        yield FieldError(path, f"Too many: {len(value)}: must have at most {most} items", "FieldValueTooMany")
    keys, seen = schema.get("x-kubernetes-list-map-keys", ()), set[tuple[Json, ...]]()
    for i, item in enumerate(value):
        yield from _validate(schema.get("items", {}), item, f"{path}[{i}]")
        identity = tuple(item.get(key) for key in keys) if keys and isinstance(item, dict) else (i,)
        if identity in seen:
            yield FieldError(f"{path}[{i}]", f"Duplicate value: {dict(zip(keys, identity, strict=True))}")
        seen.add(identity)


def _validate_text(schema: JsonObject, value: str, path: str) -> Iterator[FieldError]:
    shown = f'Invalid value: "{value}": {path} in body'
    if "enum" in schema and value not in schema["enum"]:
        supported = ", ".join(f'"{choice}"' for choice in schema["enum"])
        text = f'Unsupported value: "{value}": supported values: {supported}'
        yield FieldError(path, text, "FieldValueNotSupported")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield FieldError(path, f"{shown} should match '{schema['pattern']}'")
    if len(value) < schema.get("minLength", 0):
        yield FieldError(path, f"{shown} should be at least {schema['minLength']} chars long")
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        yield FieldError(path, f"Too long: may not be more than {schema['maxLength']} bytes", "FieldValueTooLong")


def _validate_number(schema: JsonObject, value: float, path: str) -> Iterator[FieldError]:
    shown = f"Invalid value: {value}: {path} in body"
    if "minimum" in schema and value < schema["minimum"]:
        yield FieldError(path, f"{shown} should be greater than or equal to {schema['minimum']}")
    if "maximum" in schema and value > schema["maximum"]:
        yield FieldError(path, f"{shown} should be less than or equal to {schema['maximum']}")
    if "enum" in schema and value not in schema["enum"]:
        supported = ", ".join(str(choice) for choice in schema["enum"])
        yield FieldError(path, f"Unsupported value: {value}: supported values: {supported}", "FieldValueNotSupported")
