"""What connections and logins are made of: entries of Secrets and ConfigMaps, and files of the operator.

Invariant: Secrets and ConfigMaps are read one by one, by name; a file only for an object in the operator's own
namespace and below an allowed prefix, so that no tenant can make the operator read a file; and only a regular one of
a bounded length, so that reading it never waits.
"""

from __future__ import annotations

import base64
import binascii
import errno
import os
import stat
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

_LARGEST = 1024 * 1024


def read_regular(path: Path) -> bytes:
    """Return the content of a file; an OSError says what it is that it cannot be one."""
    # Not to block: the opening of a pipe waits for its writer.
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        with open(number, "rb", closefd=False) as file:
            content = file.read(_LARGEST + 1)
    finally:
        os.close(number)
    if not content:
        raise OSError(errno.EINVAL, "it is empty")
    if len(content) > _LARGEST:
        raise OSError(errno.EFBIG, "it is longer than 1 MiB")
    return content


@dataclass(frozen=True)
class FilePolicy:
    """Which files may be read, and for whom."""

    operator_namespace: str
    prefixes: tuple[str, ...] = ()


class Materials:
    """Reads them anew at each call."""

    def __init__(self, client: KubeClient, files: FilePolicy, read: Callable[[Path], bytes] = read_regular) -> None:
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
        mine = namespace == self._files.operator_namespace
        if mine and not Path(path).is_absolute():
            raise ConfigError(Reason.INVALID_SPEC, f"{field} must be an absolute path")
        # Resolved only for whoever may name a file: what comes of it tells which links there are.
        if mine and ".." not in Path(path).parts:
            resolved = _resolved(path, field)
            if any(resolved.is_relative_to(Path(prefix).resolve()) for prefix in self._files.prefixes):
                return resolved
        raise ConfigError(
            Reason.INVALID_SPEC,
            f"{field} is read only for a {owner} in namespace {self._files.operator_namespace} "
            "and below a prefix of --allowed-file-prefixes",
        )

    async def _get(self, kind: str, name: ObjectKey, path: str) -> JsonObject:
        try:
            return await self._client.get(path)
        except NotFoundError:
            raise ConfigError(Reason.REFERENCE_NOT_FOUND, f"{kind} {name} does not exist") from None


def _resolved(path: str, field: str) -> Path:
    try:
        return Path(path).resolve()
    except RuntimeError:
        error = OSError(errno.ELOOP, "its links lead in a circle")
    except ValueError:
        error = OSError(errno.EINVAL, "its name is none that a file can have")
    raise _unreadable(path, field, error)


def _unreadable(path: str, field: str, error: OSError) -> ConfigError:
    return ConfigError(Reason.INVALID_SPEC, f"{field} {path} cannot be read: {error.strerror}")


def decoded(text: str, where: str) -> bytes:
    """Return the bytes of Base64; a ConfigError says where it is none."""
    try:
        return base64.b64decode(text, validate=False)
    except binascii.Error:
        raise ConfigError(Reason.INVALID_SPEC, f"{where} is not base64") from None
