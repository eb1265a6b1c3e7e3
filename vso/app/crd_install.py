"""`vso crds --apply`: make the cluster's CRDs those of this version.

Invariant: the whole spec is replaced, so that nothing of an older version lingers in a schema; labels, annotations
and the objects themselves are left alone. Returns when the API server serves what was applied.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import structlog

from vso.api.crds import crd
from vso.core.clock import Clock
from vso.core.keys import GROUP, Kind
from vso.kube.client import KubeClient, PatchType
from vso.kube.errors import NotFoundError
from vso.kube.json import JsonObject, child
from vso.kube.paths import crd_path

_POLL: Final = 0.2

_log = structlog.get_logger("vso.crds")


async def apply(client: KubeClient, clock: Clock, kinds: Iterable[Kind]) -> None:
    """Apply the CRDs of the kinds, then wait until each is established."""
    answers = {kind: await _put(client, kind) for kind in kinds}
    for kind, answer in answers.items():
        found = answer
        while not _established(found):
            await clock.sleep(_POLL)
            found = await client.get(_path(kind))
        _log.info("CRD applied", kind=kind.value)


async def _put(client: KubeClient, kind: Kind) -> JsonObject:
    wanted = crd(kind)
    change: JsonObject = {"op": "replace", "path": "/spec", "value": wanted["spec"]}
    try:
        return await client.patch(_path(kind), [change], content_type=PatchType.JSON)
    except NotFoundError:
        return await client.create(crd_path(), wanted)


def _path(kind: Kind) -> str:
    return crd_path(f"{kind.plural}.{GROUP}")


def _established(found: JsonObject) -> bool:
    conditions = child(found, "status").get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
