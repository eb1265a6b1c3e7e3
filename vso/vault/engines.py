"""Reading key/value secrets, both versions of the engine.

Invariant: one GET per read and no other call; what is returned is a non-empty JSON object, and a
version that is deleted is told apart from one that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vso.core.errors import ConfigError, Reason, TransientError
from vso.runtime.workqueue import Lane
from vso.vault.client import VaultAnswer
from vso.vault.config import Pairs
from vso.vault.errors import NothingThereError, SourceDeletedError
from vso.vault.json import JsonObject
from vso.vault.paths import join
from vso.vault.session import Session

KvType = Literal["kv-v1", "kv-v2"]


@dataclass(frozen=True, slots=True)
class KvRequest:
    """A place in a key/value engine."""

    mount: str
    path: str
    type: KvType
    version: int | None = None

    def url_path(self) -> str:
        """Return the API path, plain; the client encodes it."""
        return join(self.mount, "data", self.path) if self.type == "kv-v2" else join(self.mount, self.path)

    def query(self) -> Pairs:
        """Return the query; no version asks for the latest."""
        return (("version", str(self.version)),) if self.type == "kv-v2" and self.version else ()

    def __str__(self) -> str:
        place = join(self.mount, self.path)
        return f"{place} version {self.version}" if self.query() else place


@dataclass(frozen=True, slots=True)
class KvSecret:
    """What was read; the repr shows the version alone."""

    data: Mapping[str, Any] = field(repr=False)
    """The fields; numbers are JsonNumber."""
    raw: Mapping[str, Any] = field(repr=False)
    """The whole `data` of the answer, what `_raw` is made from."""
    metadata: Mapping[str, Any] = field(repr=False, default_factory=dict)
    version: str = ""
    """Of the kv-v2 version; empty for kv-v1."""


async def read_kv(session: Session, request: KvRequest, *, namespace: str = "", lane: Lane = Lane.REFRESH) -> KvSecret:
    """Return the secret; SourceDeletedError or NothingThereError say why there is none."""
    try:
        answer = await session.read(request.url_path(), namespace=namespace, query=request.query(), lane=lane)
    except NothingThereError as error:
        raise NothingThereError(f"{error.message}{' in this version' if request.query() else ''}") from None
    data = _data(answer, request)
    if request.type == "kv-v1":
        return KvSecret(data=_fields(data, request), raw=data)
    return _version(data, request)


def _data(answer: VaultAnswer, request: KvRequest) -> JsonObject:
    _check_engine(answer, request)
    if "data" not in answer.body:
        raise TransientError(Reason.VAULT_ANSWER_INVALID, f"Vault's answer for {request} has no data")
    data = answer.body["data"]
    if not isinstance(data, dict):
        raise _invalid(request, "the answer's data is not an object")
    return data


def _version(data: JsonObject, request: KvRequest) -> KvSecret:
    metadata = data.get("metadata")
    if "data" not in data or not isinstance(metadata, dict):
        raise _invalid(request, "this is no kv-v2 answer; a kv-v1 engine wants type: kv-v1")
    version = str(metadata.get("version") or "")
    if data["data"] is None and (metadata.get("destroyed") is True or metadata.get("deletion_time")):
        how = "destroyed" if metadata.get("destroyed") is True else "deleted"
        raise SourceDeletedError(f"version {version} of {join(request.mount, request.path)} is {how}")
    return KvSecret(data=_fields(data["data"], request), raw=data, metadata=metadata, version=version)


def _fields(found: object, request: KvRequest) -> Mapping[str, Any]:
    if found is None:
        raise _invalid(request, "the secret is null")
    if not isinstance(found, dict):
        raise _invalid(request, "the secret is not an object")
    if not found:
        raise _invalid(request, "the secret has no fields")
    return found


def _check_engine(answer: VaultAnswer, request: KvRequest) -> None:
    """A kv-v2 engine answers a kv-v1 path with 404 and a warning about versions."""
    warnings = answer.body.get("warnings")
    if answer.status != 404 or answer.body.get("data") or not isinstance(warnings, list):
        return
    if any("versioned" in str(warning) for warning in warnings):
        raise ConfigError(Reason.VAULT_REQUEST_INVALID, f"{request.mount} is a kv-v2 engine: set type: kv-v2")
    raise NothingThereError(f"there is nothing at {request.url_path()}")


def _invalid(request: KvRequest, what: str) -> ConfigError:
    return ConfigError(Reason.SOURCE_INVALID, f"{request}: {what}")
