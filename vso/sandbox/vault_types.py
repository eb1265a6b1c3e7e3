"""What travels between Vault's front and its engines, and how it refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from vso.core.durations import format_duration, parse_duration
from vso.sandbox.objects import JsonObject

PERMISSION_DENIED = "1 error occurred:\n\t* permission denied\n\n"
UNSUPPORTED_PATH = "1 error occurred:\n\t* unsupported path\n\n"
UNSUPPORTED_OPERATION = "1 error occurred:\n\t* unsupported operation\n\n"
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


class InvalidRequestError(VaultRefusalError):
    """A 400 of Vault's own backends, an error in the audit log too."""

    def __init__(self, *errors: str) -> None:
        super().__init__(400, *errors)

    @property
    def audited(self) -> str:
        """What the audit log says."""
        return "1 error occurred:\n\t* invalid request\n\n"


class BackendError(Exception):
    """What an engine depends on failed; whoever asked the engine tells it in its own words."""


@dataclass(frozen=True, slots=True)
class Made:
    """What an engine has made, to live by a lease; renew and revoke raise BackendError."""

    ttl: float
    max_ttl: float
    renew: Callable[[], None]
    revoke: Callable[[], None]


@dataclass(frozen=True, slots=True)
class VaultRequest:
    """One request, its path without /v1/; the repr shows neither token nor body."""

    id: str
    operation: str
    path: str
    token: str = field(default="", repr=False)
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict)
    wrap_ttl: float = 0.0
    """For how long the answer is to be wrapped; zero for not at all."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine answers; nothing to tell is a 204."""

    data: JsonObject | None = field(default=None, repr=False)
    auth: JsonObject | None = field(default=None, repr=False)
    status: int = 200
    warnings: tuple[str, ...] = ()
    lease_duration: int = 0
    lease_id: str = ""
    made: Made | None = None
    wrap_info: JsonObject | None = field(default=None, repr=False)


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


def capped(wanted: float, room: float) -> tuple[float, tuple[str, ...]]:
    """Return what is granted of a wanted life, in whole seconds, and the warning if that is less."""
    longest = float(max(0, round(room)))
    if wanted <= longest:
        return wanted, ()
    texts = [format_duration(timedelta(seconds=value)) for value in (wanted, longest)]
    warning = 'TTL of "{}" exceeded the effective max_ttl of "{}"; TTL value is capped accordingly'
    return longest, (warning.format(*texts),)
