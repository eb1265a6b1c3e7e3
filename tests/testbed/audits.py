"""The audit logs of the two servers, read as lists of requests: the way to count what the operator costs.

Invariant: one entry per request, at the place of its first line, in its latest state; a log is parsed once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl, urlsplit

import orjson

Json = dict[str, Any]
C = TypeVar("C")


@dataclass(frozen=True)
class Mark:
    """A moment in both logs: their lengths in bytes."""

    kube: int = 0
    vault: int = 0


@dataclass(frozen=True)
class ApiCall:
    """One request to the API server; a watch that still runs has been answered already."""

    user: str
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    uri: str
    user_agent: str
    stage: str
    time: datetime
    group: str = ""
    forbidden: bool = False
    """Whether it was refused for want of a right."""

    @property
    def query(self) -> dict[str, str]:
        """The request's query parameters."""
        return dict(parse_qsl(urlsplit(self.uri).query, keep_blank_values=True))

    @property
    def writes(self) -> bool:
        """Whether the request changes something."""
        return self.verb not in {"get", "list", "watch", "head"}


@dataclass(frozen=True)
class VaultCall:
    """One request to Vault; values in it are hashed."""

    operation: str
    path: str
    mount_point: str
    namespace: str
    display_name: str
    error: str
    time: datetime
    type: str = field(default="request")
    certificate: str = ""
    """The serial number of the client certificate that was shown, in decimals."""

    @property
    def ok(self) -> bool:
        """Whether Vault did what was asked."""
        return not self.error


class AuditLog(Generic[C]):
    """A growing file of JSON lines and the requests that it tells of."""

    def __init__(self, path: Path, identify: Callable[[Json], str], decode: Callable[[Json], C]) -> None:
        self._path = path
        self._identify = identify
        self._decode = decode
        self._read = 0
        self._calls: dict[str, tuple[int, C]] = {}

    def mark(self) -> int:
        """The length of the log just now."""
        return self._path.stat().st_size if self._path.exists() else 0

    def calls(self, since: int = 0) -> list[C]:
        """The requests whose first line was written at or after the mark."""
        self._catch_up()
        return [call for offset, call in self._calls.values() if offset >= since]

    def _catch_up(self) -> None:
        if not self._path.exists():
            return
        if self._path.stat().st_size < self._read:
            raise RuntimeError(f"{self._path} begins anew: marks in it tell nothing any more")
        with self._path.open("rb") as log:
            log.seek(self._read)
            for line in log:
                if not line.endswith(b"\n"):
                    return  # half written; the next look has all of it
                self._take(orjson.loads(line))
                self._read += len(line)

    def _take(self, entry: Json) -> None:
        identity = self._identify(entry)
        offset, _ = self._calls.get(identity, (self._read, None))
        self._calls[identity] = (offset, self._decode(entry))


def kube_log(path: Path) -> AuditLog[ApiCall]:
    """The API server's audit log."""
    return AuditLog(path, lambda entry: str(entry["auditID"]), _api_call)


def vault_log(path: Path) -> AuditLog[VaultCall]:
    """Vault's audit log."""
    return AuditLog(path, lambda entry: str(entry["request"]["id"]), _vault_call)


def _api_call(entry: Json) -> ApiCall:
    target = entry.get("objectRef") or {}
    return ApiCall(
        user=entry.get("user", {}).get("username", ""),
        verb=entry["verb"],
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=(entry.get("responseStatus") or {}).get("code", 0),
        uri=entry["requestURI"],
        user_agent=entry.get("userAgent", ""),
        stage=entry["stage"],
        time=_time(entry["requestReceivedTimestamp"]),
        group=target.get("apiGroup", ""),
        forbidden=(entry.get("annotations") or {}).get("authorization.k8s.io/decision") == "forbid",
    )


def _vault_call(entry: Json) -> VaultCall:
    request = entry["request"]
    auth = entry.get("auth") or (entry.get("response") or {}).get("auth") or {}
    return VaultCall(
        operation=request.get("operation", ""),
        path=request.get("path", ""),
        mount_point=request.get("mount_point", ""),
        namespace=(request.get("namespace") or {}).get("path", ""),
        display_name=auth.get("display_name", ""),
        error=entry.get("error", ""),
        time=_time(entry["time"]),
        type=entry["type"],
        certificate=request.get("client_certificate_serial_number", ""),
    )


def _time(text: str) -> datetime:
    """Parse an RFC 3339 time; Vault writes nanoseconds, of which datetime keeps six digits."""
    return datetime.fromisoformat(text)
