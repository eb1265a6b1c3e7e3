"""Finalizers of the reference operator, taken off on sight.

Invariant: an object of ours that has nothing to clean up in Vault carries no finalizer, so that no
namespace waits for an operator that is away.
"""

from __future__ import annotations

from collections.abc import Iterable

from vso.controllers.memory import version_number
from vso.core.keys import GROUP, Kind
from vso.core.records import Record
from vso.kube.client import KubeClient, PatchType
from vso.kube.errors import NotFoundError
from vso.kube.paths import cr_path

_SPELLED = {Kind.VAULT_PKI_SECRET: "vaultpkisecrets"}


class Finalizers:
    """Releases the objects of one kind."""

    def __init__(self, client: KubeClient, kind: Kind) -> None:
        self._client = client
        self._kind = kind
        # The reference operator's name for certificates is a plural.
        self._name = f"{_SPELLED.get(kind, kind.lower())}.{GROUP}/finalizer"

    async def hold(self, record: Record, finalizers: Iterable[str], version: str) -> int:
        """Put the finalizer on; return the object's version then, 0 when it is there already."""
        present = tuple(finalizers)
        if self._name in present:
            return 0
        return await self._set(record, [*present, self._name], version)

    async def release(self, record: Record, finalizers: Iterable[str], version: str = "") -> int:
        """Take the reference's finalizer off, other parties' stay; return the object's version then.

        0 says that there was nothing to take off, or that the object went with it. `version` is that of our own
        last write, where the record is older.
        """
        present = tuple(finalizers)
        if self._name not in present:
            return 0
        return await self._set(
            record, [name for name in present if name != self._name], version or record.resource_version
        )

    async def _set(self, record: Record, finalizers: list[str], version: str) -> int:
        body = {"metadata": {"resourceVersion": version, "finalizers": finalizers}}
        path = cr_path(self._kind, record.key.namespace, record.key.name)
        try:
            answer = await self._client.patch(path, body, content_type=PatchType.MERGE, metadata_only=True)
        except NotFoundError:
            return 0
        return version_number(answer["metadata"]["resourceVersion"])
