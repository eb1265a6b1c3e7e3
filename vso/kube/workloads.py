"""Restarts of workloads, by a patch of the pod template.

Invariant: the patch names the time of the rotation and a digest of the data, so that a second rotation
within one second still restarts, and a restart that is repeated changes nothing; one that was asked for has
a mark of its own in their place. Each object that restarts the workload has annotations of its own: those
that share one never take each other's away, and each can tell whether the pods run with its own data. A
manual `kubectl rollout restart` keeps its own annotation. A paused Deployment takes the new template and
rolls it out when it is resumed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from vso.core.errors import ConfigError, Reason
from vso.kube.client import KubeClient, PatchType
from vso.kube.errors import NotFoundError
from vso.kube.json import JsonObject, child, moment
from vso.kube.paths import workload_path

RESTARTED_AT: Final = "vso.secrets.hashicorp.com/restartedAt"
SECRET_DIGEST: Final = "vso.hashicorp.com/secret-digest"
RESTART_ASKED: Final = "vso.hashicorp.com/restart"
ARGO_ROLLOUT: Final = "argo.Rollout"
_OWNER_BYTES: Final = 5


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload that a target names."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def path(self) -> str:
        """Where the API server has it; a ConfigError says that its kind cannot be restarted."""
        found = workload_path(self.kind, self.namespace, self.name)
        if found is None:
            raise ConfigError(Reason.ROLLOUT_RESTART_FAILED, f"a target of kind {self.kind!r} cannot be restarted")
        return found


def digest_mark(owner: str) -> str:
    """Return the annotation under which the object of that name keeps the digest of its data."""
    return _mark(SECRET_DIGEST, owner)


def restart_mark(owner: str) -> str:
    """Return the annotation under which the object of that name keeps the restart that it was asked for last."""
    return _mark(RESTART_ASKED, owner)


def _mark(name: str, owner: str) -> str:
    return f"{name}-{hashlib.blake2b(owner.encode(), digest_size=_OWNER_BYTES).hexdigest()}"


async def restart(
    client: KubeClient, workload: Workload, marks: Mapping[str, str], rotated: datetime | None, *, shared: bool = False
) -> None:
    """Restart one workload for what these marks stand for; a ConfigError says when it is missing or cannot be.

    `rotated` is when the data changed that is among them; None where there is none.
    One that several objects share is looked at first: what it was restarted for already, maybe in the
    company of others, and later than the time at hand, is not to restart it again.
    """
    path = workload.path
    try:
        if workload.kind == ARGO_ROLLOUT:
            patch = rollout_patch(marks, client.clock.now(), await client.get(path))
            if patch is not None:
                await client.patch(path, patch, content_type=PatchType.MERGE, metadata_only=True)
            return
        body: JsonObject | None = template_patch(marks, rotated)
        if shared:
            body = unless_restarted(marks, rotated, await look_at(client, path))
        if body is not None:
            await client.patch(path, body, content_type=PatchType.STRATEGIC, metadata_only=True)
    except NotFoundError:
        raise ConfigError(Reason.ROLLOUT_RESTART_FAILED, f"{workload} does not exist") from None


async def look_at(client: KubeClient, path: str) -> JsonObject:
    """Return a workload as it is, by a dry run that changes nothing: the right to patch is enough."""
    return await client.patch(path, {}, content_type=PatchType.MERGE, dry_run=True)


def template_patch(marks: Mapping[str, str], rotated: datetime | None) -> JsonObject:
    """Return the strategic merge patch of a Deployment, StatefulSet or DaemonSet.

    Without new data the time stays: of a restart that was asked for nobody has written one down that is
    the same when it is repeated, and the mark alone makes the pods anew.
    """
    annotations = {**({} if rotated is None else {RESTARTED_AT: _stamp(rotated)}), **marks}
    return {"spec": {"template": {"metadata": {"annotations": annotations}}}}


def unless_restarted(marks: Mapping[str, str], rotated: datetime | None, seen: JsonObject) -> JsonObject | None:
    """Return the patch for those marks that the template lacks, its time never earlier than before; None for none."""
    annotations = child(seen, "spec", "template", "metadata", "annotations")
    lacking = {name: digest for name, digest in marks.items() if annotations.get(name) != digest}
    if not lacking:
        return None
    previous = moment(annotations.get(RESTARTED_AT))
    return template_patch(lacking, max(filter(None, (rotated, previous)), default=None) if rotated else None)


def rollout_patch(marks: Mapping[str, str], now: datetime, seen: JsonObject) -> JsonObject | None:
    """Return the merge patch of an Argo Rollout, whose time always moves on by a second at least.

    It restarts the pods that are older than the time, hence now and not the time of the rotation; what
    makes it repeatable is the digest beside it. None where that tells that it was restarted for this data.
    """
    at = now.replace(microsecond=0)
    previous = moment(child(seen, "spec").get("restartAt"))
    if previous is not None:
        if marks.items() <= child(seen, "metadata", "annotations").items():
            return None
        at = max(at, previous + timedelta(seconds=1))
    return {"metadata": {"annotations": dict(marks)}, "spec": {"restartAt": _stamp(at)}}


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
