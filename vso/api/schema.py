"""From a model to a structural OpenAPI v3 schema, as CustomResourceDefinitions want it.

Invariant: the result has no $ref, no nullable field and no `default: null`; a field is required if
and only if the model has no default for it, and a default is stored only where the field says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import JsonValue
from pydantic.fields import FieldInfo

from vso.api.docs import class_description, field_descriptions
from vso.api.fields import Keyword, StoredDefault
from vso.api.meta import ApiModel
from vso.api.rules import rules_of

Schema = dict[str, Any]

_SCALARS: Mapping[object, Mapping[str, str]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    datetime: {"type": "string", "format": "date-time"},
}
_BOUNDS = {"ge": "minimum", "le": "maximum", "pattern": "pattern"}
_LENGTHS = {
    ("string", "min_length"): "minLength",
    ("string", "max_length"): "maxLength",
    ("array", "max_length"): "maxItems",
    ("object", "max_length"): "maxProperties",
}


def object_schema(model: type[ApiModel]) -> Schema:
    """Return the schema of a model with all that it contains."""
    fields = _fields(model)
    properties = {alias: schema for alias, schema, _ in fields}
    required = [alias for alias, _, needed in fields if needed]
    schema: Schema = {"description": class_description(model), "type": "object"}
    if properties:
        schema["properties"] = properties
    if required:
        schema["required"] = required
    rules = rules_of(model)
    if rules:
        schema["x-kubernetes-validations"] = [{"rule": rule.cel, "message": rule.message} for rule in rules]
    return schema


def _fields(model: type[ApiModel]) -> list[tuple[str, Schema, bool]]:
    hints = get_type_hints(model, include_extras=True)
    texts = field_descriptions(model)
    return [
        (field.alias or name, _field_schema(hints[name], field, texts[name]), field.is_required())
        for name, field in model.model_fields.items()
    ]


def _field_schema(hint: object, field: FieldInfo, description: str) -> Schema:
    schema = type_schema(hint) | {"description": description}
    if _stores_default(hint):
        schema["default"] = field.default
    return {key: schema[key] for key in ("description", *(key for key in schema if key != "description"))}


def _stores_default(hint: object) -> bool:
    return get_origin(hint) is Annotated and any(isinstance(extra, StoredDefault) for extra in get_args(hint)[1:])


def type_schema(hint: object) -> Schema:
    """Return the schema of a type annotation; raises TypeError for one that the API cannot have."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _annotated(type_schema(arguments[0]), arguments[1:])
    if origin in (Union, UnionType):
        return type_schema(next(argument for argument in arguments if argument is not NoneType))
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": type_schema(arguments[0])}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _map_schema(arguments[1])
    if isinstance(hint, type) and issubclass(hint, ApiModel):
        return object_schema(hint)
    if hint in _SCALARS:
        return dict(_SCALARS[hint])
    raise TypeError(f"the API has no type {hint}")


def _map_schema(value: object) -> Schema:
    # A map of any JSON is an object whose fields nobody describes.
    return {"type": "object"} if value is JsonValue else {"type": "object", "additionalProperties": type_schema(value)}


def _annotated(schema: Schema, extras: tuple[object, ...]) -> Schema:
    for extra in extras:
        if isinstance(extra, Keyword):
            schema[extra.name] = list(extra.value) if isinstance(extra.value, tuple) else extra.value
        elif isinstance(extra, FieldInfo):
            schema |= _constraints(schema["type"], extra.metadata)
    return schema


def _constraints(type_: str, metadata: list[object]) -> Schema:
    found: Schema = {}
    for constraint in metadata:
        for name, keyword in _BOUNDS.items():
            if getattr(constraint, name, None) is not None:
                found[keyword] = getattr(constraint, name)
        for (applies_to, name), keyword in _LENGTHS.items():
            if applies_to == type_ and getattr(constraint, name, None) is not None:
                found[keyword] = getattr(constraint, name)
    return found
