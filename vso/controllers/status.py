"""The one writer of status.

Invariant: a status is patched only when its content differs, always names the resourceVersion that
it was decided on (a deposed leader's write is refused), and what was written is remembered until
the watch has caught up, so that the next pass never decides on an older status than our own.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from vso.api.meta import Status
from vso.api.scheme import status_patch
from vso.controllers.memory import Memory, version_number
from vso.core.keys import Kind
from vso.core.records import Record
from vso.kube.client import KubeClient, PatchType
from vso.kube.errors import ConflictError, NotFoundError
from vso.kube.paths import cr_path

S = TypeVar("S", bound=Status)


class StatusWriter(Generic[S]):
    """Reads and writes the status of the objects of one kind."""

    def __init__(self, client: KubeClient, kind: Kind) -> None:
        self._client = client
        self._kind = kind

    def effective(self, record: Record, observed: S, notes: Memory[S]) -> S:
        """Return the newer of what the watch shows and what we wrote last."""
        if notes.status is None:
            return observed
        if version_number(record.resource_version) < notes.status_version:
            return notes.status
        notes.status = None
        return observed

    async def write(self, record: Record, notes: Memory[S], old: S, new: S) -> bool:
        """Patch the status if it differs; False when there was nothing to say.

        Raises ConflictError when the object has changed since it was decided on.
        """
        patch = status_patch(old, new)
        if not patch:
            return False
        version = record.resource_version
        if notes.status is not None and notes.status_version > version_number(version):
            version = str(notes.status_version)
        body = {"metadata": {"resourceVersion": version}, "status": patch}
        path = cr_path(self._kind, record.key.namespace, record.key.name, "status")
        notes.status_in_doubt = True
        try:
            answer = await self._client.patch(path, body, content_type=PatchType.MERGE, metadata_only=True)
        except NotFoundError:
            return False  # Deleted meanwhile: nobody is left to be told.
        except ConflictError:
            notes.status_in_doubt = False
            raise
        notes.status_in_doubt = False
        notes.status = new
        notes.status_version = version_number(answer["metadata"]["resourceVersion"])
        return True
