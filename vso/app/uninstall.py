"""`--uninstall`: take every finalizer of ours off, so that nothing hangs once the operator is gone.

Invariant: all kinds and all namespaces that may be listed, not the operator's own alone; other
parties' finalizers and the objects of another operator class stay, and no Secret is touched. An operator
that still works could put a finalizer back on: where its Deployment is named, it has stopped working before
the first one is taken off.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import structlog

from vso.app.rbac import LEASE
from vso.controllers.finalizers import Finalizers
from vso.core.clock import Clock
from vso.core.errors import VsoError
from vso.core.keys import Kind
from vso.core.label_selector import Selector
from vso.core.records import Record
from vso.kube.client import KubeClient, PatchType
from vso.kube.errors import NotFoundError
from vso.kube.json import child
from vso.kube.leases import KubeLeaseLock
from vso.kube.list_watch import ResourceListWatch, decode_record, finalizers_of
from vso.kube.paths import cr_path, scale_path

_log = structlog.get_logger("vso.uninstall")
_WITH_FINALIZERS = (
    Kind.VAULT_STATIC_SECRET,
    Kind.VAULT_DYNAMIC_SECRET,
    Kind.VAULT_PKI_SECRET,
    Kind.VAULT_AUTH,
    Kind.VAULT_CONNECTION,
    Kind.HCP_VAULT_SECRETS_APP,
)

_POLL: Final = 0.5


async def stop(client: KubeClient, clock: Clock, namespace: str, deployment: str) -> None:
    """Bring the operator's Deployment to no replicas, and wait until whoever led has let go."""
    path = scale_path(namespace, deployment)
    try:
        scale = await client.patch(path, {"spec": {"replicas": 0}}, content_type=PatchType.MERGE)
        while child(scale, "status").get("replicas", 0):
            await clock.sleep(_POLL)
            scale = await client.get(path)
    except NotFoundError:
        _log.info("there is no such Deployment", deployment=deployment)
    await _let_go(KubeLeaseLock(client, namespace, LEASE), clock)
    _log.info("the operator has stopped", deployment=deployment)


async def _let_go(lock: KubeLeaseLock, clock: Clock) -> None:
    """Wait until the Lease is given back, or its holder has said nothing for as long as it may."""
    seen, since = await lock.get(), clock.monotonic()
    while seen is not None and seen.holder and clock.monotonic() - since < seen.duration_seconds:
        await clock.sleep(_POLL)
        if (now := await lock.get()) != seen:
            seen, since = now, clock.monotonic()


async def uninstall(client: KubeClient, namespaces: tuple[str, ...], mine: Selector | None = None) -> bool:
    """Release every object; False when one could not be, which the log names."""
    complete = True
    for kind in _WITH_FINALIZERS:
        for namespace in namespaces or ("",):
            complete &= await _release_all(client, kind, namespace, mine)
    return complete


async def _release_all(client: KubeClient, kind: Kind, namespace: str, mine: Selector | None) -> bool:
    finalizers, complete = Finalizers(client, kind), True
    ours = partial(decode_record, mine=mine)
    try:
        async for page in ResourceListWatch(client, cr_path(kind, namespace), ours).list():
            for record in (record for record in page.records if not record.foreign):
                complete &= await _release(finalizers, kind, record)
    except NotFoundError:
        _log.info("the kind is not served", kind=kind.value)  # its CRD went first, and every object with it
    return complete


async def _release(finalizers: Finalizers, kind: Kind, record: Record) -> bool:
    try:
        if await finalizers.release(record, finalizers_of(record)):
            _log.info("finalizer removed", kind=kind.value, object=str(record.key))
    except VsoError as error:
        _log.error("finalizer stays", kind=kind.value, object=str(record.key), error=error.message, remedy=error.remedy)
        return False
    return True
