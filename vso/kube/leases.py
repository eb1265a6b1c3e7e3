"""The Lease that the leader holds.

Invariant: a write carries the resourceVersion of the record that it was planned on, so that of two
candidates one gets a conflict. Only our fields are written; a foreign label or annotation stays.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from vso.kube.client import KubeClient, PatchType
from vso.kube.errors import AlreadyExistsError, ConflictError, NotFoundError
from vso.kube.json import JsonObject, child
from vso.kube.paths import lease_path
from vso.runtime.leader_election import LeaseRecord

_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


class KubeLeaseLock:
    """A Lease of coordination.k8s.io as the lock of a leader election."""

    def __init__(self, client: KubeClient, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name

    async def get(self) -> LeaseRecord | None:
        """Return the record, or None when there is no Lease."""
        try:
            return record_in(await self._client.get(lease_path(self._namespace, self._name)))
        except NotFoundError:
            return None

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        """Make the Lease; a conflict when another candidate was faster."""
        body: JsonObject = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": spec_of(record),
        }
        try:
            return record_in(await self._client.create(lease_path(self._namespace), body))
        except AlreadyExistsError as error:
            raise ConflictError(error.message) from None

    async def update(self, record: LeaseRecord) -> LeaseRecord:
        """Write the record over the version that it was read in; a conflict when that has moved on."""
        body: JsonObject = {"metadata": {"resourceVersion": record.resource_version}, "spec": spec_of(record)}
        path = lease_path(self._namespace, self._name)
        try:
            return record_in(await self._client.patch(path, body, content_type=PatchType.MERGE))
        except NotFoundError as error:
            raise ConflictError(error.message) from None


def spec_of(record: LeaseRecord) -> JsonObject:
    """Return the record as a Lease's spec; an empty holder is written as such, which means released."""
    return {
        "holderIdentity": record.holder,
        "leaseDurationSeconds": max(1, record.duration_seconds),
        "acquireTime": _micro_time(record.acquire_time),
        "renewTime": _micro_time(record.renew_time),
        "leaseTransitions": record.transitions,
    }


def record_in(lease: JsonObject) -> LeaseRecord:
    """Return the record that a Lease holds; what is missing counts as long ago and nobody's."""
    spec = child(lease, "spec")
    return LeaseRecord(
        holder=str(spec.get("holderIdentity") or ""),
        duration_seconds=int(spec.get("leaseDurationSeconds") or 0),
        acquire_time=_time(spec.get("acquireTime")),
        renew_time=_time(spec.get("renewTime")),
        transitions=int(spec.get("leaseTransitions") or 0),
        resource_version=str(child(lease, "metadata").get("resourceVersion", "")),
    )


def _micro_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _time(text: object) -> datetime:
    return datetime.fromisoformat(text) if isinstance(text, str) else _NEVER
