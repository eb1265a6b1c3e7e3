"""Leases that were replaced: given back as soon as nobody uses them any more, and kept alive until then.

Invariant: a replaced lease goes when every restarted consumer runs with the new credentials, or when its
time is over, whichever is first; no renewal moves it past its overlap. Asking how far the consumers are
costs one request each and changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

from vso.api.secrets import VaultDynamicSecretStatus
from vso.controllers import dynamic_status
from vso.controllers.destinations import DynamicLook
from vso.controllers.dynamic_acts import overlap_of
from vso.controllers.leases import Door, LeaseDesk
from vso.controllers.memory import Prolonged
from vso.controllers.report import Reporter
from vso.controllers.restarts import owner_name
from vso.core.errors import ConfigError, VsoError
from vso.core.keys import Kind
from vso.decide.assess import News
from vso.decide.lease import LeasePolicy, truncated
from vso.decide.overlap import Overlap, prolong_by
from vso.decide.schedule import phase
from vso.kube.client import KubeClient
from vso.kube.progress import rolled_out
from vso.kube.workloads import Workload, digest_mark
from vso.vault.leases import LeaseGoneError

_LOOK_EVERY = timedelta(seconds=2)
_RETRY = timedelta(seconds=10)
_ROUNDED = timedelta(seconds=1)
"""By as much an end that has not moved may seem to have: it is told in whole seconds, twice over."""


class Retired:
    """Sees to the replaced leases of one object."""

    def __init__(self, client: KubeClient, desk: LeaseDesk, reporter: Reporter[VaultDynamicSecretStatus]) -> None:
        self._client = client
        self._desk = desk
        self._reporter = reporter

    async def see_to(self, look: DynamicLook, door: Door) -> tuple[DynamicLook, timedelta | None]:
        """Give back what is due; return the look with the new status, and when to see again."""
        if not look.status.retired_leases:
            return look, None
        through = await self._changed_over(look)
        due = [ref.id for ref in look.status.retired_leases if through or dynamic_status.over(ref, look.now)]
        given = await self._desk.revoke_all(door, due)
        look = await self._without(look, given.settled, dynamic_status.left_to_end(given.forbidden))
        look = await self._keep_alive(look, door, due)
        ends = [ref.not_after for ref in look.status.retired_leases if ref.not_after is not None and ref.id not in due]
        waits = [end - look.now for end in ends]
        if given.error is not None:
            waits.append(_RETRY)
        elif ends and look.cr.spec.rollout_restart_targets:
            waits.append(_LOOK_EVERY)
        return look, min(waits, default=None)

    async def let_go(self, look: DynamicLook, door: Door) -> None:
        """Give nothing back, since the object rests; but keep no token for what is over."""
        for ref in look.status.retired_leases:
            if dynamic_status.over(ref, look.now):
                await door.session.let_go(ref.id)

    async def _keep_alive(self, look: DynamicLook, door: Door, over: Collection[str]) -> DynamicLook:
        """Renew the lease that was replaced last, if its consumers may need it longer than it lives.

        One of a token that is not in our hands is let be: nobody knows when Vault drops it.
        """
        overlap = self._overlap(look)
        if overlap is None or overlap.lease_id in over:
            return look
        name = overlap.lease_id
        parent = await door.session.parent(name)
        if parent is None:
            return look
        overlap = replace(overlap, latest=min(overlap.latest, parent.ends))
        policy = LeasePolicy(look.cr.spec.renewal_percent, phase(look.record.uid), adopted_at=look.now)
        asked = prolong_by(overlap, look.now, policy)
        if asked is None:
            return look
        try:
            grant = await self._desk.renew(door, name, asked, parent)
        except LeaseGoneError:
            await door.session.let_go(name)
            return await self._without(look, [name], None)
        except VsoError as error:
            look.notes.prolonged = Prolonged(name, look.now, last=isinstance(error, ConfigError))
            return look
        look.notes.prolonged = Prolonged(name, look.now, last=truncated(asked, grant.duration))
        until = min(overlap.latest, dynamic_status.ends(grant, look.now))
        if abs(until - overlap.ends) <= _ROUNDED:
            return look
        return await self._said(look, dynamic_status.kept_alive(look.status, name, until))

    def _overlap(self, look: DynamicLook) -> Overlap | None:
        """Return the lease that consumers may still use, by the history: what they never had is not in it."""
        status, done = look.status, look.notes.prolonged
        if not (look.cr.spec.rollout_restart_targets and status.secret_lease.id and status.history[1:]):
            return None
        present, before = status.history[:2]
        ref = next((ref for ref in status.retired_leases if self._desk.digest(ref.id) == before.lease), None)
        if ref is None or ref.not_after is None or present.time is None:
            return None
        seen = present.time
        if done is not None and done.lease_id == ref.id:
            if done.last:
                return None
            seen = done.at
        # The server has told when the Secret was written, and its clock may be ahead.
        latest = min(present.time, look.notes.adopted_at or look.now) + overlap_of(look.cr.spec)
        life = timedelta(seconds=status.secret_lease.duration)
        return Overlap(ref.id, since=min(seen, look.now), ends=ref.not_after, latest=latest, life=life)

    async def _without(self, look: DynamicLook, gone: Collection[str], news: News | None) -> DynamicLook:
        return await self._said(look, dynamic_status.without_retired(look.status, gone), news) if gone else look

    async def _said(self, look: DynamicLook, status: VaultDynamicSecretStatus, news: News | None = None) -> DynamicLook:
        await self._reporter.remark(look, status, news)
        return replace(look, status=status)

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
