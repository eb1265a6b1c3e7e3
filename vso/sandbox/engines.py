"""The key-value secrets engines, version 1 and version 2, as their HTTP API has them.

Invariant: an engine knows paths below its mount, and neither tokens nor policies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from vso.core.clock import Clock
from vso.sandbox.objects import JsonObject, dig
from vso.sandbox.vault_types import Answer, VaultRefusalError, VaultRequest, words

NOT_FOUND = VaultRefusalError(404)
_LEASE = 2_764_800
_VERSIONED = (
    "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. If"
    " using the Vault CLI, use 'vault kv get' for this operation."
)


class Backend(Protocol):
    """What answers below a mount."""

    kind: str

    def exists(self, path: str) -> bool:
        """Tell whether a write there is an update."""
        ...

    def handle(self, request: VaultRequest, path: str) -> Answer:
        """Answer a request; the path is below the mount."""
        ...


class Engine(Backend, Protocol):
    """A secrets engine at a mount."""

    version: str


def listing(paths: list[str], prefix: str) -> Answer:
    """Return the keys below a prefix, one level deep."""
    prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
    below = [path.removeprefix(prefix) for path in paths if path.startswith(prefix)]
    keys = sorted({head + slash for head, slash, _ in (path.partition("/") for path in below)})
    if not keys:
        raise NOT_FOUND
    return Answer({"keys": keys})


class KvV1:
    """Plain values at plain paths."""

    kind = "kv"
    version = "1"

    def __init__(self) -> None:
        self._values: dict[str, JsonObject] = {}

    def exists(self, path: str) -> bool:
        """Tell whether something is stored there."""
        return path in self._values

    def handle(self, request: VaultRequest, path: str) -> Answer:
        """Answer a request below the mount."""
        match request.operation:
            case "list":
                return listing(list(self._values), path)
            case "read":
                if path not in self._values:
                    raise NOT_FOUND
                return Answer(self._values[path], lease_duration=_LEASE)
            case "delete":
                self._values.pop(path, None)
                return Answer()
            case _:
                if not request.body:
                    raise VaultRefusalError(400, "missing data fields")
                self._values[path] = dict(request.body)
                return Answer()


@dataclass(slots=True)
class _Version:
    data: JsonObject | None = field(repr=False)
    created: str
    deleted: str = ""
    destroyed: bool = False

    def about(self) -> JsonObject:
        return {"created_time": self.created, "deletion_time": self.deleted, "destroyed": self.destroyed}


@dataclass(slots=True)
class _Secret:
    created: str
    updated: str
    versions: dict[int, _Version] = field(default_factory=dict)
    current: int = 0
    oldest: int = 0
    max_versions: int = 0
    cas_required: bool = False
    custom: JsonObject | None = None


class KvV2:
    """Versioned values; deleting is soft until destroyed or until the metadata goes."""

    kind = "kv"
    version = "2"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._secrets: dict[str, _Secret] = {}

    def exists(self, path: str) -> bool:
        """Tell whether the secret has metadata."""
        return path.partition("/")[2] in self._secrets

    def handle(self, request: VaultRequest, path: str) -> Answer:
        """Answer a request below the mount."""
        head, _, name = path.partition("/")
        operation = "write" if request.operation in ("create", "update") else request.operation
        match head, operation:
            case "data", "read":
                return self._read(name, request.query.get("version", "0"))
            case "data", "write":
                return self._write(name, request.body)
            case "data", "delete":
                self._mark(name, [self._find(name).current])
            case "delete" | "undelete" | "destroy", "write":
                self._mark(name, [int(v) for v in words(request.body.get("versions"))], head)
            case "metadata", "list":
                return listing(list(self._secrets), name)
            case "metadata", "read":
                return Answer(self._metadata(self._find(name)))
            case "metadata", "write":
                self._configure(name, request.body)
            case "metadata", "delete":
                self._secrets.pop(name, None)
            case _:
                return Answer(status=404, warnings=(_VERSIONED,))
        return Answer()

    def _now(self) -> str:
        return self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%f000Z")

    def _find(self, name: str) -> _Secret:
        found = self._secrets.get(name)
        if found is None:
            raise NOT_FOUND
        return found

    def _read(self, name: str, wanted: str) -> Answer:
        secret = self._find(name)
        if not wanted.isdigit():
            raise VaultRefusalError(400, 'Field validation failed: error converting input for field "version"')
        number = int(wanted) or secret.current
        version = secret.versions.get(number)
        if version is None:
            raise NOT_FOUND
        about = version.about() | {"custom_metadata": secret.custom, "version": number}
        if version.deleted or version.destroyed:
            return Answer({"data": None, "metadata": about}, status=404)
        return Answer({"data": version.data, "metadata": about})

    def _write(self, name: str, body: Mapping[str, Any]) -> Answer:
        if "data" not in body:
            raise VaultRefusalError(400, "no data provided")
        now = self._now()
        secret = self._secrets.get(name) or _Secret(now, now)
        cas = dig(dict(body), "options", "cas")
        if cas is None and secret.cas_required:
            raise VaultRefusalError(400, "check-and-set parameter required for this call")
        if cas is not None and int(cas) != secret.current:
            raise VaultRefusalError(400, "check-and-set parameter did not match the current version")
        secret.current += 1
        secret.updated = now
        secret.versions[secret.current] = version = _Version(body["data"], now)
        for old in [n for n in secret.versions if n <= secret.current - (secret.max_versions or 10)]:
            del secret.versions[old]
        secret.oldest = min(secret.versions) if secret.current > len(secret.versions) else 0
        self._secrets[name] = secret
        return Answer(version.about() | {"custom_metadata": secret.custom, "version": secret.current})

    def _mark(self, name: str, numbers: list[int], how: str = "delete") -> None:
        versions = self._find(name).versions
        for version in (versions[number] for number in numbers if number in versions):
            match how:
                case "destroy":
                    version.destroyed, version.data = True, None
                case "undelete":
                    version.deleted = ""
                case _:
                    version.deleted = version.deleted or self._now()

    def _configure(self, name: str, body: Mapping[str, Any]) -> None:
        now = self._now()
        secret = self._secrets.setdefault(name, _Secret(now, now))
        secret.max_versions = int(body.get("max_versions", secret.max_versions))
        secret.cas_required = bool(body.get("cas_required", secret.cas_required))
        secret.custom = body.get("custom_metadata", secret.custom)

    def _metadata(self, secret: _Secret) -> JsonObject:
        return {
            "cas_required": secret.cas_required,
            "created_time": secret.created,
            "current_version": secret.current,
            "custom_metadata": secret.custom,
            "delete_version_after": "0s",
            "max_versions": secret.max_versions,
            "oldest_version": secret.oldest,
            "updated_time": secret.updated,
            "versions": {str(number): version.about() for number, version in secret.versions.items()},
        }
