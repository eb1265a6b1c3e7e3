"""What Vault's answers mean, named by what to do next.

Invariant: messages are the same from try to try (no durations, no ephemeral ports, no request ids),
since they go into status and a changed message is a write; and they quote only the `errors` of a
JSON answer, cleaned, never a page of somebody else's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.vault.json import JsonObject

_QUOTED = 300
_MULTI = re.compile(r"\d+ errors? occurred:")
_LOCAL_END = re.compile(r"\b\S+:\d+->")
_ADDRESS = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:]+\]):\d{5}\b")
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_WHEN = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*(?: [+-]\d{4} \w+)?(?: m=\S+)?")


class VaultDownError(TransientError):
    """The whole Vault is away, not one path of it: what the breaker counts."""


class ShutOutError(VaultDownError):
    """Perhaps it is a consumer's certificate alone that is not let in: the breaker does not hear of it."""


class BreakerOpenError(VaultDownError):
    """Nothing was asked, since the breaker is not closed; whoever meets this is woken when it closes."""


class HeldError(TransientError):
    """Nothing was asked, since Vault asked to be left alone; `retry_after` is what is left of that time."""


class DroppedError(VaultDownError):
    """The connection was refused or dropped: a read may be tried again at once."""


class BehindError(TransientError):
    """A standby that answers by itself has not yet seen the write before (412)."""


class FailedError(TransientError):
    """Vault answers, and fails on one path (500): what stands behind the path does not work."""


class UnsentError(ConfigError):
    """The request could not be put on the wire as it is: nothing was sent, and nothing is said of Vault."""


class InvalidTokenError(TransientError):
    """The token is no longer one: log in again."""

    def __init__(
        self,
        message: str = "Vault says that the token is invalid, right after a login",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(Reason.VAULT_PERMISSION_DENIED, message, retry_after)


class TokenSpentError(InvalidTokenError):
    """The token ended while the request waited for its slot: nothing was sent."""

    def __init__(self) -> None:
        super().__init__("the token ended before the request could be sent")


class PermissionDeniedError(ConfigError):
    """The token lives but has no capability on the path."""

    def __init__(self, path: str, capability: str, texts: tuple[str, ...] = (), who: str = "") -> None:
        super().__init__(
            Reason.VAULT_PERMISSION_DENIED,
            f"permission denied on {path}: the policies of {who or 'the token'} give no {capability!r} there",
        )
        self.path = path
        self.capability = capability
        self.texts = texts

    def named(self, who: str) -> PermissionDeniedError:
        """Return the same with the name of whose policies they are."""
        return PermissionDeniedError(self.path, self.capability, self.texts, who)


class NothingThereError(ConfigError):
    """A 404 of Vault's own without data: deleted with its metadata, never there, or a version too high."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.SOURCE_NOT_FOUND, message)


class SourceDeletedError(ConfigError):
    """The version is soft-deleted or destroyed."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.SOURCE_DELETED, message)


@dataclass(frozen=True, slots=True)
class Asked:
    """The request that was answered, as far as a message may tell of it."""

    where: str
    method: str
    path: str

    @property
    def capability(self) -> str:
        """The policy capability that the request needs."""
        return {"GET": "read", "LIST": "list", "DELETE": "delete"}.get(self.method, "update")


def error_for(asked: Asked, status: int, body: JsonObject | None, retry_after: float | None = None) -> VsoError:
    """Return what an answer of 400 or more means; `body` is None when it was no JSON object.

    `retry_after` is kept where it is meant for the whole Vault: for its quota, and while it is away.
    """
    if status in (502, 503, 504) or (status == 500 and _is_standby(errors_of(body))):
        return _down(asked, status, errors_of(body), retry_after)
    if body is None or not _is_vaults(body):
        what = f"{asked.method} {asked.path} is answered {_status(status)} without Vault's JSON"
        return answer_invalid(asked.where, what)
    return _from_vault(asked, status, errors_of(body), retry_after)


def _from_vault(asked: Asked, status: int, texts: tuple[str, ...], retry_after: float | None) -> VsoError:
    match status:
        case 403 if any("invalid token" in text for text in texts):
            return InvalidTokenError()
        case 403:
            return PermissionDeniedError(asked.path, asked.capability, texts)
        case 404:
            return _nothing(asked, texts)
        case 429:
            return TransientError(
                Reason.VAULT_THROTTLED, f"{asked.where} limits the rate of requests (429)", retry_after
            )
        case 412:
            return BehindError(Reason.VAULT_UNAVAILABLE, f"{asked.where} is behind its active node (412)")
        case _ if status >= 500:
            return FailedError(Reason.VAULT_UNAVAILABLE, f"Vault failed on {asked.path} ({status}){quoted(texts)}")
        case _:
            return ConfigError(
                Reason.VAULT_REQUEST_INVALID, f"Vault refuses {asked.method} {asked.path} ({status}){quoted(texts)}"
            )


def errors_of(body: JsonObject | None) -> tuple[str, ...]:
    """Return the texts under `errors`, cleaned of everything that differs from try to try."""
    found: Any = None if body is None else body.get("errors")
    return tuple(stable(text) for text in found if isinstance(text, str)) if isinstance(found, list) else ()


def stable(text: str) -> str:
    """Return one line without local ports, ids and times of day, and with a bounded length."""
    line = " ".join(_MULTI.sub("", text).replace("\t* ", " ").split())
    for pattern, instead in ((_LOCAL_END, ""), (_ADDRESS, r"\1"), (_UUID, "<id>"), (_WHEN, "<time>")):
        line = pattern.sub(instead, line)
    return line if len(line) <= _QUOTED else f"{line[:_QUOTED]}…"


def quoted(texts: Iterable[str]) -> str:
    """Return `: text; text`, or nothing."""
    told = "; ".join(text for text in texts if text)
    return f": {told}" if told else ""


def lonely_standby(where: str, retry_after: float | None = None) -> VaultDownError:
    """Return the error for a standby that has nobody to hand requests on to."""
    return VaultDownError(Reason.VAULT_STANDBY, f"{where} is a standby that finds no active node", retry_after)


def answer_invalid(where: str, what: str) -> TransientError:
    """Return the error for an answer that is not Vault's."""
    return TransientError(Reason.VAULT_ANSWER_INVALID, f"{where}: {what}; this is not Vault's")


def _is_vaults(body: JsonObject) -> bool:
    return any(key in body for key in ("errors", "data", "warnings", "request_id"))


def _is_standby(texts: tuple[str, ...]) -> bool:
    return any("standby" in text or "not active" in text for text in texts)


def _down(asked: Asked, status: int, texts: tuple[str, ...], retry_after: float | None) -> VaultDownError:
    if any("sealed" in text or "not initialized" in text for text in texts):
        return VaultDownError(Reason.VAULT_SEALED, f"{asked.where} is sealed", retry_after)
    if _is_standby(texts):
        return lonely_standby(asked.where, retry_after)
    return VaultDownError(Reason.VAULT_UNAVAILABLE, f"{asked.where} answers {_status(status)}", retry_after)


def _nothing(asked: Asked, texts: tuple[str, ...]) -> VsoError:
    if any("no handler for route" in text for text in texts):
        return NothingThereError(f"no secrets engine is mounted where {asked.path} leads")
    if texts:
        return ConfigError(Reason.VAULT_REQUEST_INVALID, f"Vault refuses {asked.path} (404){quoted(texts)}")
    return NothingThereError(f"there is nothing at {asked.path}")


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
