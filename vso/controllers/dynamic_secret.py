"""VaultDynamicSecret: credentials with a lease, issued, renewed and replaced before they end.

Invariant: the order of an issue is: Vault issues, the status names the lease, the Secret is written with
a mark of the lease, consumers restart, the status settles. Each pass compares the three, never memory, so
that a crash in any gap is healed by the next one and nothing that was issued is lost. While Vault answers,
the Secret never holds credentials that have ended.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from vso.api.meta import Resource
from vso.api.secrets import VaultDynamicSecret, VaultDynamicSecretStatus
from vso.controllers import debts, dynamic_status
from vso.controllers.destinations import Destinations, DynamicLook
from vso.controllers.dynamic_acts import RESYNC_ANNOTATIONS, LeaseActs
from vso.controllers.dynamic_status import Settled
from vso.controllers.lease_times import LeaseTimes
from vso.controllers.leases import Door, LeaseDesk
from vso.controllers.leaving import Leaving
from vso.controllers.looks import Look
from vso.controllers.memory import Unsettled
from vso.controllers.passes import ObjectReconciler, PassParts
from vso.controllers.report import Telling
from vso.controllers.retired import Retired
from vso.controllers.static_creds import StaticCreds
from vso.controllers.static_creds_status import Synced
from vso.core.errors import Reason, TransientError, VsoError
from vso.core.keys import ObjectKey
from vso.decide import dynamic, sync
from vso.decide.conditions import in_order
from vso.decide.destination import check_destination
from vso.decide.lease import Because, Lease, LeasePolicy, Probe, Renew, Replace, Wait, plan_lease, retry_in
from vso.decide.schedule import phase
from vso.kube.labels import LEASE_ANNOTATION
from vso.runtime.reconcile import Result
from vso.vault.leases import LeaseGoneError
from vso.vault.parents import Parent


@dataclass(frozen=True)
class DynamicRooms:
    """The collaborators of a pass, besides those that every kind's have."""

    desk: LeaseDesk
    destinations: Destinations
    acts: LeaseActs
    deadlines: LeaseTimes
    leaving: Leaving
    retired: Retired
    static_creds: StaticCreds
    probe_every: timedelta | None = None
    """How often a lease is looked up that is not renewed as often."""


class DynamicSecretReconciler(ObjectReconciler[VaultDynamicSecret, VaultDynamicSecretStatus]):
    """Keeps live credentials in one Secret."""

    model = VaultDynamicSecret

    def __init__(self, parts: PassParts[VaultDynamicSecretStatus], rooms: DynamicRooms) -> None:
        super().__init__(parts)
        self._rooms = rooms

    async def look_over(self, look: DynamicLook) -> Result | VsoError:
        """Do what the lease needs now, or give it back when the object goes."""
        if look.record.deleting:
            await self._rooms.leaving.leave(look)
            self.forget(look.key)
            return Result()
        spec = look.cr.spec
        left = dynamic.left_by_the_reference(look.status)
        if left and not dynamic.applied_by_the_reference(look.status, look.record.generation):
            try:  # before anything else can fail: a verdict of ours takes the place of the conditions that tell
                look = await self._rooms.acts.disown(look)
            except VsoError as error:
                return error
        check_destination(spec.destination)
        door = await self._rooms.desk.open(look.key, spec)
        look.notes.failing_on = door.connection
        if look.notes.adopted_at is None:
            look.notes.adopted_at = look.now
        if spec.suspend:
            return await self._rest(look, door)
        look, restarted = await self._take_up(look, door)
        left = dynamic.left_by_the_reference(look.status)
        if left and dynamic.applied_by_the_reference(look.status, look.record.generation):
            look = await self._rooms.acts.adopt(look, door)
            restarted = restarted and look.notes.unsettled is None  # what was issued in its place waits for company
        if restarted:
            parent = await door.parent(look.status)
            look = await self._act(look, door, parent)
        return await self._after(look, door)

    def telling(
        self, look: Look[Resource, VaultDynamicSecretStatus], error: VsoError
    ) -> Telling[VaultDynamicSecretStatus]:
        """What is there is good until it ends, and a failed renewal is tried again before that."""
        if look.record.deleting:  # the back-off may be longer than it may be held up
            self._rooms.deadlines.set(look.key, self._rooms.leaving.patience(look))
            return Telling()
        ends = look.status.expires
        if ends is None:
            return Telling()
        remaining = ends - look.now
        if isinstance(look.cr, VaultDynamicSecret):
            lease = dynamic.lease_of(look.cr.spec, look.status, None, look.now)
            if lease is not None:
                life = lease.ends - look.now
                wait = retry_in(lease, look.now) if life > timedelta(0) else None  # then the back-off is soon enough
                self._rooms.deadlines.set(look.key, wait, life, lease.id, failing=True)
        return Telling(remaining=remaining)

    def rest(self, key: ObjectKey) -> None:
        """No deadline is watched for the object."""
        self._rooms.deadlines.cancel(key)

    async def abandon(self, look: Look[Resource, VaultDynamicSecretStatus]) -> None:
        """What it holds cannot be told any more; it may go all the same."""
        await self._rooms.leaving.release(look)

    def forget(self, key: ObjectKey) -> None:
        """Drop everything that is kept about an object."""
        super().forget(key)
        self._rooms.desk.forget(key)
        self._rooms.acts.restart_nobody(key)

    # What is due.

    async def _take_up(self, look: DynamicLook, door: Door) -> tuple[DynamicLook, bool]:
        """Settle what waited for its restarts, or heal what was cut off; False where these have to be tried again."""
        work = debts.take_up(look)
        match work:
            case Unsettled(done=Settled() as issued):
                look = await self._rooms.acts.settle(look, work, issued)
            case Unsettled(done=Synced() as synced):
                look = await self._rooms.static_creds.settle(look, work, synced)
            case _:
                look = await self._rooms.acts.heal(look, door)
                return look, look.notes.unsettled is None
        return look, look.notes.unsettled is None and not look.notes.restart_failed

    async def _act(self, look: DynamicLook, door: Door, parent: Parent | None) -> DynamicLook:
        because = dynamic.plan_issue(await self._facts(look))
        lease = self._lease(look, parent)
        plan = Replace(because) if because else (plan_lease(lease, look.now, self._policy(look)) if lease else None)
        match plan:
            case _ if look.cr.spec.allow_static_creds and (lease is None or isinstance(plan, Replace)):
                return await self._see_static(look, door, plan.because if isinstance(plan, Replace) else None)
            case Replace(because=why):
                return await self._rooms.acts.issue(look, door, why)
            case Renew() if lease is not None:
                renewed = await self._rooms.acts.renew(look, door, lease, parent)
                # What is owed to the consumers waits for no other pass; a new lease has seen to it.
                return await self._keep(renewed) if renewed.status.secret_lease.id == lease.id else renewed
            case Probe() if lease is not None:
                return await self._rooms.acts.probe(look, door, lease) or await self._keep(look)
            case _:
                return await self._keep(look)

    async def _see_static(self, look: DynamicLook, door: Door, because: Because | None) -> DynamicLook:
        seen = await self._rooms.static_creds.see_to(look, door, because)
        return seen.look if seen.settled else await self._keep(seen.look)

    async def _facts(self, look: DynamicLook) -> dynamic.Facts:
        drift = self._rooms.destinations.drift(look)
        missing, drifted = drift.missing, False
        if drift.drifted or self._rooms.destinations.check_due(look):
            missing, drifted = await self._inspected(look)
        wanted = look.resync_wanted(RESYNC_ANNOTATIONS)
        return dynamic.Facts(
            issued=look.status.destination is not None and look.status.last_renewal_time > 0,
            shape=dynamic.shape_of(look.cr.spec),
            recorded_shape=look.status.source_version,
            resync_asked=bool(wanted) and wanted != look.status.last_handled_resync,
            secret_missing=missing,
            secret_drifted=drifted,
        )

    async def _inspected(self, look: DynamicLook) -> tuple[bool, bool]:
        """Tell whether the Secret is gone, and whether its data is somebody else's: a foreign label is no harm."""
        recorded, seen = look.status.destination, await self._rooms.destinations.inspect(look)
        if recorded is None or seen is None or seen.uid != recorded.uid:
            return True, False
        marked = seen.annotations.get(LEASE_ANNOTATION)
        if marked is None and seen.resource_version == recorded.resource_version:
            self._rooms.destinations.accept(look, seen)
            return False, False  # nobody has written since; one that was adopted has its data of the reference
        mark = self._rooms.acts.mark(look.status.secret_lease.id)
        foreign = seen.foreign_since(look.status.last_sync_time)
        foreign = foreign or (mark is not None and marked is not None and marked != mark[1])
        if not foreign:
            self._rooms.destinations.accept(look, seen)
        return False, foreign

    def _lease(self, look: DynamicLook, parent: Parent | None) -> Lease | None:
        told = None if parent is None else (parent.ends, parent.final)
        return dynamic.lease_of(look.cr.spec, look.status, told, look.now)

    def _policy(self, look: DynamicLook) -> LeasePolicy:
        return LeasePolicy(
            look.cr.spec.renewal_percent,
            phase(look.record.uid),
            adopted_at=look.notes.adopted_at or look.now,
            probe_every=None if look.cr.spec.suspend else self._rooms.probe_every,
            probed_at=look.notes.probed_at,
        )

    # The acts.

    async def _keep(self, look: DynamicLook) -> DynamicLook:
        """Nothing is due: at most our metadata has to follow the spec, and the status."""
        generation = look.record.generation
        digest = self._rooms.acts.digest_of(look.status)
        owed = bool(look.cr.spec.rollout_restart_targets) and sync.restart_owed(look.status.rolled_out_digest, digest)
        owed = owed or debts.unacknowledged(look)
        standing = in_order(look.status, generation) and not look.notes.unsaid and not owed
        if standing and look.status.last_generation == generation:
            self._parts.reporter.as_it_stands(look)
            return look
        written = None
        if look.status.last_generation != generation:
            written = await self._rooms.destinations.relabel(look, self._rooms.acts.mark(look.status.secret_lease.id))
        work = debts.unsettled(look, digest, look.status.last_sync_time or look.now)
        restarted = await self._rooms.acts.restart(look, work)
        if look.notes.unsettled is not None:
            return look
        await self._parts.reporter.in_order(
            look,
            lambda status: dynamic_status.followed(
                status, written, restarted, digest, debts.acknowledged(look, restarted)
            ),
            dynamic_status.in_order(restarted),
            debts.news_of(restarted),
        )
        look.notes.unsaid = False
        look.notes.restart_failed = restarted is not None and bool(restarted.failed)
        return self._rooms.acts.latest(look)

    async def _rest(self, look: DynamicLook, door: Door) -> Result:
        """The object is suspended: its lease is renewed still, and nothing else happens."""
        self._rooms.acts.restart_nobody(look.key)
        look = await self._rooms.acts.heal_resting(look, door)  # what is renewed is what the Secret holds
        lease_id = look.status.secret_lease.id
        parent = await door.parent(look.status)
        lease = self._lease(look, parent)
        plan = plan_lease(lease, look.now, self._policy(look)) if lease is not None and lease_id else None
        if isinstance(plan, Renew) and lease is not None:
            with suppress(LeaseGoneError):  # credentials are issued when the object goes on
                grant = await self._rooms.desk.renew(door, lease.id, lease.duration, parent)
                look = await self._rooms.acts.jot(look, dynamic_status.renewed(look.status, grant, look.now))
            plan = plan_lease(self._lease(look, parent), look.now, self._policy(look))
        await self._rooms.retired.let_go(look, door)
        await self._rooms.acts.hold(look)
        await self._parts.reporter.suspended(look)
        # The token of the lease has to be kept as well: it may be due long before the lease.
        instants = [plan.until] if isinstance(plan, Wait) else []
        instants += [parent.due] if parent is not None and parent.due is not None else []
        if instants:
            life = None if lease is None else lease.ends - look.now
            self._rooms.deadlines.set(look.key, min(instants) - look.now, life, lease_id)
        return Result()

    # What comes next.

    async def _after(self, look: DynamicLook, door: Door) -> Result | VsoError:
        look.notes.failing_on = ""
        work = look.notes.unsettled
        if work is not None and work.done is not None:  # what the status tells is not what the Secret holds
            self._rooms.deadlines.set(look.key, timedelta(seconds=work.wait))
            return debts.come_back(work)
        look, retired_due = await self._rooms.retired.see_to(look, door)
        lease_id = look.status.secret_lease.id
        parent = await door.parent(look.status)
        lease = self._lease(look, parent)
        plan = None if lease is None else plan_lease(lease, look.now, self._policy(look))
        waits = [plan.until - look.now if isinstance(plan, Wait) else timedelta(0)] if plan is not None else []
        waits += [retired_due] if retired_due is not None else []
        waits += [parent.due - look.now] if parent is not None and parent.due is not None else []
        if look.cr.spec.allow_static_creds and not lease_id:
            due = self._rooms.static_creds.next_look(look)
            waits += [due] if due is not None else []
        await self._rooms.acts.hold(look)
        if waits:
            life = None if lease is None else lease.ends - look.now
            self._rooms.deadlines.set(look.key, min(waits), life, lease_id)
        else:
            self._rooms.deadlines.cancel(look.key)
        if work is not None:
            return debts.come_back(work)
        if look.notes.restart_failed:
            return TransientError(Reason.ROLLOUT_RESTART_FAILED, "a rollout target was not restarted")
        return Result(requeue_after=self._rooms.destinations.next_check(look))
