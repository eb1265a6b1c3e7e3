"""Leases that were replaced: given back as soon as nobody uses them any more.

Invariant: a replaced lease goes when every restarted consumer runs with the new credentials, or when its
time is over, whichever is first; asking how far the consumers are costs one request each and changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from vso.api.secrets import VaultDynamicSecretStatus
from vso.controllers import dynamic_status
from vso.controllers.destinations import DynamicLook
from vso.controllers.leases import Door, LeaseDesk
from vso.controllers.report import Reporter
from vso.controllers.restarts import owner_name
from vso.core.errors import VsoError
from vso.core.keys import Kind
from vso.kube.client import KubeClient
from vso.kube.progress import rolled_out
from vso.kube.workloads import Workload, digest_mark

_LOOK_EVERY = timedelta(seconds=2)
_RETRY = timedelta(seconds=10)


class Retired:
    """Sees to the replaced leases of one object."""

    def __init__(self, client: KubeClient, desk: LeaseDesk, reporter: Reporter[VaultDynamicSecretStatus]) -> None:
        self._client = client
        self._desk = desk
        self._reporter = reporter

    async def see_to(self, look: DynamicLook, door: Door) -> tuple[DynamicLook, timedelta | None]:
        """Give back what is due; return the look with the new status, and when to see again."""
        refs = look.status.retired_leases
        if not refs:
            return look, None
        through = await self._changed_over(look)
        due = [ref.id for ref in refs if through or dynamic_status.over(ref, look.now)]
        if not due:
            ends = min(ref.not_after for ref in refs if ref.not_after is not None) - look.now
            return look, min(_LOOK_EVERY, ends) if look.cr.spec.rollout_restart_targets else ends
        done, error = await self._desk.revoke_all(door, due)
        status = dynamic_status.without_retired(look.status, done)
        if done:
            await self._reporter.remark(look, status, dynamic_status.left_to_end(error))
            look = replace(look, status=status)
        if not look.status.retired_leases:
            return look, None
        return look, _RETRY if error is not None else _LOOK_EVERY

    async def let_go(self, look: DynamicLook, door: Door) -> None:
        """Give nothing back, since the object rests; but keep no token for what is over."""
        for ref in look.status.retired_leases:
            if dynamic_status.over(ref, look.now):
                await door.session.let_go(ref.id)

    async def _changed_over(self, look: DynamicLook) -> bool:
        """Tell whether all targets run with the present credentials; without targets nobody can tell."""
        targets, digest = look.cr.spec.rollout_restart_targets, look.status.rolled_out_digest
        if not targets or digest != self._desk.digest(look.status.secret_lease.id):
            return False
        mark = digest_mark(owner_name(Kind.VAULT_DYNAMIC_SECRET, look.key))
        try:
            for target in targets:
                workload = Workload(look.key.namespace, target.kind, target.name)
                if not await rolled_out(self._client, workload, mark, digest):
                    return False
        except VsoError:
            return False  # the time that is set for the lease decides
        return True
