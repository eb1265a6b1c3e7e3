"""Restarts of workloads, by a patch of the pod template.

Invariant: the patch names the time of the rotation and a digest of the data, so that a second rotation
within one second still restarts, and a restart that is repeated changes nothing. A manual
`kubectl rollout restart` keeps its own annotation. A paused Deployment takes the new template and
rolls it out when it is resumed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from vso.core.errors import ConfigError, Reason
from vso.kube.client import KubeClient, PatchType
from vso.kube.errors import NotFoundError
from vso.kube.json import JsonObject, child, moment
from vso.kube.paths import workload_path

RESTARTED_AT: Final = "vso.secrets.hashicorp.com/restartedAt"
SECRET_DIGEST: Final = "vso.hashicorp.com/secret-digest"
ARGO_ROLLOUT: Final = "argo.Rollout"


async def restart(
    client: KubeClient, namespace: str, target_kind: str, name: str, digest: str, rotated: datetime
) -> None:
    """Restart one workload; a ConfigError says when it is missing or of a kind that cannot be."""
    path = workload_path(target_kind, namespace, name)
    if path is None:
        raise ConfigError(Reason.ROLLOUT_RESTART_FAILED, f"a target of kind {target_kind!r} cannot be restarted")
    try:
        if target_kind == ARGO_ROLLOUT:
            patch = rollout_patch(digest, client.clock.now(), await client.get(path))
            if patch is not None:
                await client.patch(path, patch, content_type=PatchType.MERGE, metadata_only=True)
        else:
            body = template_patch(digest, rotated)
            await client.patch(path, body, content_type=PatchType.STRATEGIC, metadata_only=True)
    except NotFoundError:
        raise ConfigError(Reason.ROLLOUT_RESTART_FAILED, f"{target_kind} {namespace}/{name} does not exist") from None


def template_patch(digest: str, rotated: datetime) -> JsonObject:
    """Return the strategic merge patch of a Deployment, StatefulSet or DaemonSet."""
    annotations = {RESTARTED_AT: _stamp(rotated), SECRET_DIGEST: digest}
    return {"spec": {"template": {"metadata": {"annotations": annotations}}}}


def rollout_patch(digest: str, now: datetime, seen: JsonObject) -> JsonObject | None:
    """Return the merge patch of an Argo Rollout, whose time always moves on by a second at least.

    It restarts the pods that are older than the time, hence now and not the time of the rotation; what
    makes it repeatable is the digest beside it. None where that tells that it was restarted for this data.
    """
    at = now.replace(microsecond=0)
    previous = moment(child(seen, "spec").get("restartAt"))
    if previous is not None:
        if child(seen, "metadata", "annotations").get(SECRET_DIGEST) == digest:
            return None
        at = max(at, previous + timedelta(seconds=1))
    return {"metadata": {"annotations": {SECRET_DIGEST: digest}}, "spec": {"restartAt": _stamp(at)}}


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
