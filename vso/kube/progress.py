"""Have the pods of a workload changed over to the data that it was restarted for?

Invariant: read-only, by a patch that changes nothing as a dry run: the right to patch, which restarts
need, is enough.
"""

from __future__ import annotations

from vso.kube.client import KubeClient
from vso.kube.errors import NotFoundError
from vso.kube.json import JsonObject, child
from vso.kube.workloads import ARGO_ROLLOUT, Workload, look_at


async def rolled_out(client: KubeClient, workload: Workload, mark: str, digest: str) -> bool:
    """Tell whether every pod of the workload runs with that digest; one that is gone has no pods left."""
    try:
        argo = workload.kind == ARGO_ROLLOUT
        seen = await client.get(workload.path) if argo else await look_at(client, workload.path)
    except NotFoundError:
        return True
    return is_rolled_out(workload.kind, seen, mark, digest)


def is_rolled_out(target_kind: str, seen: JsonObject, mark: str, digest: str) -> bool:
    """Judge a workload by its status; see `kubectl rollout status` for what each kind counts."""
    meta, spec, status = child(seen, "metadata"), child(seen, "spec"), child(seen, "status")
    if _number(status, "observedGeneration") < _number(meta, "generation"):
        return False
    if target_kind == ARGO_ROLLOUT:
        restarted = str(status.get("restartedAt", ""))
        return child(meta, "annotations").get(mark) == digest and restarted >= str(spec.get("restartAt", ""))
    if child(spec, "template", "metadata", "annotations").get(mark) != digest:
        return False
    if target_kind == "DaemonSet":
        wanted = _number(status, "desiredNumberScheduled")
        return _number(status, "updatedNumberScheduled") >= wanted <= _number(status, "numberAvailable")
    wanted = int(spec.get("replicas", 1))
    updated, available = _number(status, "updatedReplicas"), _number(status, "availableReplicas")
    if target_kind == "StatefulSet":
        return updated >= wanted <= available
    # Pods that are on their way out are counted apart, and use the old credentials to their end.
    others = _number(status, "replicas") - updated + _number(status, "terminatingReplicas")
    return updated >= wanted <= available and others <= 0


def _number(values: JsonObject, name: str) -> int:
    return int(values.get(name) or 0)
