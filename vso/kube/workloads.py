"""Restarts of workloads, by a patch of the pod template.

Invariant: the patch names a time and a digest of the data, so that a second rotation within one
second still restarts, and repeating a patch with the same digest and time changes nothing. A manual
`kubectl rollout restart` keeps its own annotation. A paused Deployment takes the new template and
rolls it out when it is resumed.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from vso.core.errors import ConfigError, Reason
from vso.kube.client import KubeClient, PatchType
from vso.kube.errors import NotFoundError
from vso.kube.json import JsonObject, child
from vso.kube.paths import workload_path

RESTARTED_AT: Final = "vso.secrets.hashicorp.com/restartedAt"
SECRET_DIGEST: Final = "vso.hashicorp.com/secret-digest"
ARGO_ROLLOUT: Final = "argo.Rollout"


async def restart(client: KubeClient, namespace: str, target_kind: str, name: str, digest: str, now: datetime) -> None:
    """Restart one workload; a ConfigError says when it is missing or of a kind that cannot be."""
    path = workload_path(target_kind, namespace, name)
    if path is None:
        raise ConfigError(Reason.ROLLOUT_RESTART_FAILED, f"a target of kind {target_kind!r} cannot be restarted")
    try:
        if target_kind == ARGO_ROLLOUT:
            seen = await client.get(path)
            body = rollout_patch(now, child(seen, "spec").get("restartAt"))
            await client.patch(path, body, content_type=PatchType.MERGE, metadata_only=True)
        else:
            body = template_patch(digest, now)
            await client.patch(path, body, content_type=PatchType.STRATEGIC, metadata_only=True)
    except NotFoundError:
        raise ConfigError(Reason.ROLLOUT_RESTART_FAILED, f"{target_kind} {namespace}/{name} does not exist") from None


def template_patch(digest: str, now: datetime) -> JsonObject:
    """Return the strategic merge patch of a Deployment, StatefulSet or DaemonSet."""
    annotations = {RESTARTED_AT: _stamp(now), SECRET_DIGEST: digest}
    return {"spec": {"template": {"metadata": {"annotations": annotations}}}}


def rollout_patch(now: datetime, previous: object) -> JsonObject:
    """Return the merge patch of an Argo Rollout; the time always moves by a second at least."""
    at = now.replace(microsecond=0)
    if isinstance(previous, str):
        with suppress(ValueError):  # what is no time is replaced
            at = max(at, datetime.fromisoformat(previous).astimezone(UTC) + timedelta(seconds=1))
    return {"spec": {"restartAt": _stamp(at)}}


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
