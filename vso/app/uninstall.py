"""`--uninstall`: take every finalizer of ours off, so that nothing hangs once the operator is gone.

Invariant: all kinds and all namespaces that may be listed, not the operator's own alone; other
parties' finalizers and the objects of another operator class stay, and no Secret is touched.
"""

from __future__ import annotations

from functools import partial

import structlog

from vso.controllers.finalizers import Finalizers
from vso.core.errors import VsoError
from vso.core.keys import Kind
from vso.core.label_selector import Selector
from vso.kube.client import KubeClient
from vso.kube.list_watch import ResourceListWatch, decode_record, finalizers_of
from vso.kube.paths import cr_path

_log = structlog.get_logger("vso.uninstall")
_WITH_FINALIZERS = (
    Kind.VAULT_STATIC_SECRET,
    Kind.VAULT_DYNAMIC_SECRET,
    Kind.VAULT_PKI_SECRET,
    Kind.VAULT_AUTH,
    Kind.VAULT_CONNECTION,
    Kind.HCP_VAULT_SECRETS_APP,
)


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
    async for page in ResourceListWatch(client, cr_path(kind, namespace), ours).list():
        for record in (record for record in page.records if not record.foreign):
            try:
                if await finalizers.release(record, finalizers_of(record)):
                    _log.info("finalizer removed", kind=kind.value, object=str(record.key))
            except VsoError as error:
                complete = False
                _log.error("finalizer stays", kind=kind.value, object=str(record.key), error=error.message)
    return complete
