"""What travels between Vault's front and its engines, and how it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vso.core.durations import parse_duration
from vso.sandbox.objects import JsonObject

PERMISSION_DENIED = "1 error occurred:\n\t* permission denied\n\n"
UNSUPPORTED_PATH = "1 error occurred:\n\t* unsupported path\n\n"
INVALID_TOKEN = "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"


class VaultRefusalError(Exception):
    """An answer with errors in place of data."""

    def __init__(self, status: int, *errors: str) -> None:
        super().__init__(*errors)
        self.status = status
        self.errors = errors

    @property
    def audited(self) -> str:
        """What the audit log says: an answer about the data (not there, not valid) is no error there."""
        return "; ".join(self.errors) if self.status not in (400, 404) or UNSUPPORTED_PATH in self.errors else ""


@dataclass(frozen=True, slots=True)
class VaultRequest:
    """One request, its path without /v1/; the repr shows neither token nor body."""

    id: str
    operation: str
    path: str
    token: str = field(default="", repr=False)
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine answers; no data and no auth is a 204."""

    data: JsonObject | None = field(default=None, repr=False)
    auth: JsonObject | None = field(default=None, repr=False)
    status: int = 200
    warnings: tuple[str, ...] = ()
    lease_duration: int = 0


def seconds(value: object) -> float:
    """Return a duration in seconds from a number, its text or a Go duration."""
    text = str(value or "0").strip()
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else parse_duration(text).total_seconds()
    except ValueError:
        raise VaultRefusalError(400, "error converting input: invalid duration") from None


def words(value: object) -> list[str]:
    """Return a list from a list or from text with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [str(part) for part in value] if isinstance(value, list) else []
