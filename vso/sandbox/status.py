"""Refusals of the API server as the Status objects that real clients know how to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vso.sandbox.objects import JsonObject
from vso.sandbox.resources import Resource


class ApiError(Exception):
    """A refusal: HTTP code, machine-readable reason, message and details."""

    def __init__(self, code: int, reason: str, message: str, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def body(self) -> JsonObject:
        """Return the Status object."""
        status: JsonObject = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        status |= {"message": self.message, "reason": self.reason}
        return status | ({} if self.details is None else {"details": dict(self.details)}) | {"code": self.code}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One complaint about one field."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


def details(resource: Resource, name: str, **more: object) -> JsonObject:
    """Return the details that name an object."""
    found: JsonObject = {"name": name} if name else {}
    return found | ({"group": resource.group} if resource.group else {}) | {"kind": resource.plural} | more


def not_found(resource: Resource, name: str) -> ApiError:
    """Return the 404 of an object that is not there."""
    return ApiError(404, "NotFound", f'{resource.qualified} "{name}" not found', details(resource, name))


def no_such_path() -> ApiError:
    """Return the 404 of a path that nothing serves."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: Resource, name: str) -> ApiError:
    """Return the 409 of a create on a taken name."""
    return ApiError(409, "AlreadyExists", f'{resource.qualified} "{name}" already exists', details(resource, name))


def conflict(resource: Resource, name: str, why: str = "") -> ApiError:
    """Return the 409 of a write from an outdated copy."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    text = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", text, details(resource, name))


def invalid(resource: Resource, name: str, errors: Sequence[FieldError], kind: str = "") -> ApiError:
    """Return the 422 that lists what is wrong with which field."""
    kind = kind or resource.kind
    shown = f"{kind}.{resource.group}" if resource.group else kind
    text = str(errors[0]) if len(errors) == 1 else f"[{', '.join(map(str, errors))}]"
    causes = [{"reason": e.reason, "message": e.message, "field": e.field} for e in errors]
    found = details(resource, name, causes=causes) | {"kind": kind}
    return ApiError(422, "Invalid", f'{shown} "{name}" is invalid: {text}', found)


def forbidden(resource: Resource, name: str, why: str, **more: object) -> ApiError:
    """Return the 403 with the reason in words."""
    target = f'{resource.qualified} "{name}"' if name else resource.qualified
    return ApiError(403, "Forbidden", f"{target} is forbidden: {why}", details(resource, name, **more))


def bad_request(message: str) -> ApiError:
    """Return the 400 of a request that makes no sense."""
    return ApiError(400, "BadRequest", message)


def gone(message: str) -> ApiError:
    """Return the 410 of a resourceVersion that history no longer covers."""
    return ApiError(410, "Expired", message)
