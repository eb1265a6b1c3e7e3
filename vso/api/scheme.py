"""Between JSON and models: which kind is which model, reading an object, writing a status.

Invariant: reading ignores what it does not know and refuses what it cannot understand with one
ConfigError that names the field; no message repeats a value from the object. A status is ours: what
cannot be understood of it counts as not said, and refuses no object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, TypeVar, cast

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from vso.api.fields import DURATION_PATTERN, DURATION_PATTERN_WITH_DAYS
from vso.api.meta import Resource, Status, always_written
from vso.core.errors import ConfigError, Reason
from vso.core.keys import Kind

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R", bound=Resource)

_STATUS = "status"

_MODULES: Mapping[Kind, str] = {
    Kind.VAULT_CONNECTION: "vso.api.access",
    Kind.VAULT_AUTH: "vso.api.access",
    Kind.VAULT_AUTH_GLOBAL: "vso.api.access",
    Kind.VAULT_STATIC_SECRET: "vso.api.secrets",
    Kind.VAULT_DYNAMIC_SECRET: "vso.api.secrets",
    Kind.VAULT_PKI_SECRET: "vso.api.pki",
    Kind.SECRET_TRANSFORMATION: "vso.api.transformation",
    Kind.HCP_AUTH: "vso.api.legacy",
    Kind.HCP_VAULT_SECRETS_APP: "vso.api.legacy",
    Kind.CSI_SECRETS: "vso.api.legacy",
}


class _Models(Mapping[Kind, type[Resource]]):
    """The model of each kind, imported when it is first asked for: building models is half of an import's cost."""

    def __getitem__(self, kind: Kind) -> type[Resource]:
        model: type[Resource] = getattr(import_module(_MODULES[kind]), kind.value)
        return model

    def __iter__(self) -> Iterator[Kind]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


MODELS: Mapping[Kind, type[Resource]] = _Models()

_SHOWN = 3
_PATTERNS = {
    DURATION_PATTERN: "must be a duration of one number and one unit, such as 30s, 5m or 1h",
    DURATION_PATTERN_WITH_DAYS: "must be a duration of one number and one unit, such as 5m, 72h or 30d",
}


def parse(kind: Kind, body: bytes) -> Resource:
    """Return the object in `body`; ConfigError names the fields that cannot be understood."""
    return parse_as(MODELS[kind], body)


def parse_as(model: type[R], body: bytes) -> R:
    """Return the object in `body` as the model that the caller knows it to be; errors as `parse`."""
    found = _read(model, body)
    if not isinstance(found, list):
        return found
    problems = [problem for problem in found if problem["loc"][:1] != (_STATUS,)]
    if problems:
        raise ConfigError(Reason.INVALID_SPEC, _explain(problems))
    status = parse_status(model, body)
    whole = {name: value for name, value in orjson.loads(body).items() if name != _STATUS}
    return parse_as(model, orjson.dumps(whole)).model_copy(update={_STATUS: status})


def parse_status(model: type[Resource], body: bytes) -> Status:
    """Return the status alone of an object of that model; a field that cannot be understood counts as empty."""
    of_kind = cast("type[Status]", model.model_fields[_STATUS].annotation)
    said = orjson.loads(body).get(_STATUS)
    while isinstance(said, dict):
        found = _read(of_kind, orjson.dumps(said))
        if not isinstance(found, list):
            return found
        broken = {problem["loc"][0] for problem in found if problem["loc"]} & said.keys()
        said = {name: value for name, value in said.items() if name not in broken} if broken else None
    return of_kind()


def _read(model: type[M], body: bytes) -> M | list[ErrorDetails]:
    """Return the model's reading of the JSON, or what it cannot understand, without the input.

    No exception leaves: its traceback would carry pydantic's error, and that the input.
    """
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        return error.errors(include_url=False, include_context=True, include_input=False)


def dump_status(status: Status, only: set[str] | None = None) -> dict[str, Any]:
    """Return the status as the API server takes it: JSON-ready, with what is empty left out; `only` names fields."""
    return status.model_dump(mode="json", by_alias=True, include=only)


def status_patch(old: Status, new: Status) -> dict[str, Any]:
    """Return the JSON merge patch (RFC 7386) that turns `old` into `new`; empty when they are the same.

    Both are of one model. Only what differs is turned into JSON: most of a status stays as it was. A patch
    that is due anyway brings along what is always to be there and was never said, whatever its value.
    """
    moved = {name for name in type(new).model_fields if getattr(old, name) != getattr(new, name)}
    if not moved:
        return {}
    moved |= always_written(type(new)) - old.model_fields_set
    said = old.model_dump(mode="json", by_alias=True, include=moved, exclude_unset=True)
    return _merge_patch(said, dump_status(new, moved))


def _merge_patch(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            inner = _merge_patch(before, value)
            if inner:
                patch[name] = inner
        elif name not in old or value != before:
            patch[name] = value
    return patch


def _explain(problems: list[ErrorDetails]) -> str:
    said = [f"{_path(problem['loc'])}: {_problem(problem)}" for problem in problems[:_SHOWN]]
    more = len(problems) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more else "")


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path.removeprefix(".") or "object"


def _problem(problem: ErrorDetails) -> str:
    context = problem.get("ctx", {})
    match problem["type"]:
        case "missing":
            return "is required"
        case "json_invalid":
            return "is not JSON"
        case "literal_error":
            return f"must be {context['expected']}"
        case "string_pattern_mismatch":
            return _PATTERNS.get(context["pattern"], f"must match {context['pattern']}")
        case _:
            return problem["msg"].replace("Input should", "must").replace("String should", "must")
