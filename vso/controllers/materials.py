"""What connections and logins are made of: entries of Secrets and ConfigMaps, and files of the operator.

Invariant: Secrets and ConfigMaps are read one by one, by name; a file only for an object in the operator's own
namespace and below an allowed prefix, so that no tenant can make the operator read a file.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vso.core.errors import ConfigError, Reason
from vso.core.keys import ObjectKey
from vso.core.sensitive import Sensitive
from vso.kube.client import KubeClient
from vso.kube.errors import NotFoundError
from vso.kube.json import JsonObject, child
from vso.kube.paths import config_map_path, secret_path, service_account_path
from vso.vault.way import SecretData


@dataclass(frozen=True)
class FilePolicy:
    """Which files may be read, and for whom."""

    operator_namespace: str
    prefixes: tuple[str, ...] = ()


class Materials:
    """Reads them anew at each call."""

    def __init__(self, client: KubeClient, files: FilePolicy, read: Callable[[Path], bytes] = Path.read_bytes) -> None:
        self._client = client
        self._files = files
        self._read = read

    async def secret(self, name: ObjectKey) -> SecretData:
        """Return a Secret."""
        found = await self._get("Secret", name, secret_path(name.namespace, name.name))
        meta, data = child(found, "metadata"), child(found, "data")
        entries = {key: Sensitive(decoded(str(value), f"Secret {name}")) for key, value in data.items()}
        return SecretData(str(name), str(meta.get("uid", "")), str(meta.get("resourceVersion", "")), entries)

    async def config_map(self, name: ObjectKey) -> Mapping[str, str]:
        """Return a ConfigMap's texts."""
        return child(await self._get("ConfigMap", name, config_map_path(name.namespace, name.name)), "data")

    async def annotations(self, name: ObjectKey) -> Mapping[str, str]:
        """Return the annotations of a ServiceAccount."""
        path = service_account_path(name.namespace, name.name)
        return child(await self._get("ServiceAccount", name, path), "metadata", "annotations")

    def file(self, path: str, owner: str, namespace: str, field: str) -> bytes:
        """Return a file's content, for the field of an object of kind `owner` in the namespace."""
        resolved = self._allowed(path, owner, namespace, field)
        try:
            return self._read(resolved)
        except FileNotFoundError:
            # A volume was swapped after the look at its links, perhaps: they lead elsewhere now.
            again = self._allowed(path, owner, namespace, field)
        except OSError as error:
            raise _unreadable(path, field, error) from error
        try:
            return self._read(again)
        except OSError as error:
            raise _unreadable(path, field, error) from error

    def _allowed(self, path: str, owner: str, namespace: str, field: str) -> Path:
        """Return where the path leads now, if that may be read."""
        resolved = Path(path).resolve()
        allowed = any(resolved.is_relative_to(Path(prefix).resolve()) for prefix in self._files.prefixes)
        if ".." in Path(path).parts or namespace != self._files.operator_namespace or not allowed:
            raise ConfigError(
                Reason.INVALID_SPEC,
                f"{field} is read only for a {owner} in namespace {self._files.operator_namespace} "
                "and below a prefix of --allowed-file-prefixes",
            )
        return resolved

    async def _get(self, kind: str, name: ObjectKey, path: str) -> JsonObject:
        try:
            return await self._client.get(path)
        except NotFoundError:
            raise ConfigError(Reason.REFERENCE_NOT_FOUND, f"{kind} {name} does not exist") from None


def _unreadable(path: str, field: str, error: OSError) -> ConfigError:
    return ConfigError(Reason.INVALID_SPEC, f"{field} {path} cannot be read: {error.strerror}")


def decoded(text: str, where: str) -> bytes:
    """Return the bytes of Base64; a ConfigError says where it is none."""
    try:
        return base64.b64decode(text, validate=False)
    except binascii.Error:
        raise ConfigError(Reason.INVALID_SPEC, f"{where} is not base64") from None
