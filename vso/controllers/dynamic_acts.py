"""The acts on one dynamic secret: credentials issued and written, renewed, and what was cut off healed.

Invariant: a lease is named in the status before the Secret holds it; one that could not be named is given
back at once. Whoever calls decides whether an act is due.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vso.api.secrets import PendingLease, VaultDynamicSecretSpec, VaultDynamicSecretStatus
from vso.controllers import debts, dynamic_status
from vso.controllers.destinations import Destinations, DynamicLook, Landed, orphaned
from vso.controllers.dynamic_status import Grant, Settled
from vso.controllers.finalizers import Finalizers
from vso.controllers.leases import Door, LeaseDesk
from vso.controllers.leaving import leases_of
from vso.controllers.memory import Prolonged, Unsettled, moved_on, version_number
from vso.controllers.report import Reporter
from vso.controllers.restarts import Restarted, Restarts
from vso.core.errors import Reason, VsoError
from vso.core.keys import Kind, ObjectKey
from vso.core.sensitive import Sensitive
from vso.decide import dynamic, sync
from vso.decide.assess import News
from vso.decide.lease import SPARE, Because, Lease, truncated
from vso.decide.schedule import duration_of
from vso.decide.transform import build_whole
from vso.decide.values import KvAnswer
from vso.kube.labels import LEASE_ANNOTATION
from vso.kube.secret_plan import Written
from vso.vault.errors import PermissionDeniedError
from vso.vault.leases import Issued, LeaseGoneError
from vso.vault.parents import Parent

RESYNC_ANNOTATIONS = ("vso.hashicorp.com/resync", "reconcile.fluxcd.io/requestedAt")
DEFAULT_OVERLAP = timedelta(minutes=5)
_NO_PLACE = frozenset({Reason.DESTINATION_CONFLICT, Reason.DESTINATION_MISSING})


@dataclass(frozen=True)
class DynamicConfig:
    """What the operator's settings say about dynamic secrets."""

    exclude_raw: bool = False
    pod_uid: str = ""


class LeaseActs:
    """Acts on the objects of one kind; each returns the look with the status that it has written."""

    def __init__(
        self,
        desk: LeaseDesk,
        destinations: Destinations,
        restarts: Restarts,
        finalizers: Finalizers,
        reporter: Reporter[VaultDynamicSecretStatus],
        config: DynamicConfig,
    ) -> None:
        self._desk = desk
        self._destinations = destinations
        self._restarts = restarts
        self._finalizers = finalizers
        self._reporter = reporter
        self._config = config

    async def issue(
        self, look: DynamicLook, door: Door, because: Because, moved: datetime | None = None
    ) -> DynamicLook:
        """Ask for credentials and put them in the place of the old ones, whose end was `moved` last to that."""
        look.notes.unsaid = True
        look, issued, grant = await self.ask(look, door, because)
        return await self.take(look, door, because, issued, replace(grant, replaced_ends=moved))

    async def ask(self, look: DynamicLook, door: Door, because: Because) -> tuple[DynamicLook, Issued, Grant]:
        """Ask Vault for credentials, with room made for them."""
        if _refused(look):  # else each new attempt would issue credentials and give them back
            await self._destinations.check(look)
        look, crowd = await self._make_room(look, door, because)
        issued, grant = await self._desk.issue(door, look.cr.spec)
        if crowd is not None:
            self._reporter.tell(look, dynamic_status.crowded(look.status, crowd))
        return look, issued, grant

    async def take(self, look: DynamicLook, door: Door, because: Because, issued: Issued, grant: Grant) -> DynamicLook:
        """Put what was issued in the place of what was there."""
        look.notes.unsaid = True
        named = not grant.lease_id
        try:
            if grant.lease_id:
                look = await self._hold(look)
                look = await self.jot(look, dynamic_status.pending(look.status, grant, look.now))
                named = True
        finally:
            if not named:  # a crash aside, nothing that was issued is lost
                await self._desk.revoke(door, grant.lease_id)
        written = (await self.put(look, self.data_of(look, issued), self.mark(grant.lease_id))).written
        return await self._settle_new(look, door, because, grant, written)

    async def _settle_new(
        self, look: DynamicLook, door: Door, because: Because, grant: Grant, written: Written
    ) -> DynamicLook:
        done = self._done(look, door, because, grant, written)
        return await self.settle(look, debts.unsettled(look, done.digest, written.set_at or look.now, done), done)

    def _done(self, look: DynamicLook, door: Door, because: Because, grant: Grant, written: Written) -> Settled:
        return Settled(
            because=because,
            grant=grant,
            digest=self._desk.digest(grant.lease_id or grant.request_id),
            written=written,
            restarted=None,
            shape=dynamic.shape_of(look.cr.spec),
            resync=look.resync_wanted(RESYNC_ANNOTATIONS),
            asked="",
            cache_key=door.meta[0],
            pod_uid=self._config.pod_uid,
        )

    async def settle(self, look: DynamicLook, work: Unsettled, done: Settled) -> DynamicLook:
        """Restart the consumers and say what was done; neither as long as the former waits for company."""
        restarted = await self.restart(look, work)
        if look.notes.unsettled is not None:
            return look
        done = replace(done, restarted=restarted, asked=debts.acknowledged(look, restarted))
        first = look.status.destination is None
        overlap = overlap_of(look.cr.spec)
        await self._reporter.in_order(
            look,
            lambda status: dynamic_status.settled(status, done, work.now, overlap),
            dynamic_status.in_order(restarted),
            dynamic_status.news_of(done, first=first),
        )
        look.notes.unsaid, look.notes.adopted_at, look.notes.probed_at = False, look.now, None
        look.notes.restart_failed = restarted is not None and bool(restarted.failed)
        return self.latest(look)

    async def renew(self, look: DynamicLook, door: Door, lease: Lease, parent: Parent | None) -> DynamicLook:
        """Prolong the lease; one that is gone, or nears the end that nothing moves, is replaced."""
        try:
            grant = await self._desk.renew(door, lease.id, lease.duration, parent)
        except LeaseGoneError:
            await door.session.let_go(lease.id)
            return await self.issue(look, door, Because.GONE)
        if truncated(lease.duration, grant.duration):
            look.notes.prolonged = Prolonged(lease.id, look.now, last=True)
            ends = dynamic_status.ends(dynamic_status.prolonged(look.status, grant), look.now)
            return await self.issue(look, door, Because.TRUNCATED, ends)
        await self._reporter.in_order(
            look,
            lambda status: dynamic_status.renewed(status, grant, look.now),
            dynamic_status.in_order(renewed=True),
        )
        return self.latest(look)

    async def probe(self, look: DynamicLook, door: Door, lease: Lease) -> DynamicLook | None:
        """Ask whether the lease is still there; return the look with new credentials where it is not."""
        try:
            await self._desk.probe(door, lease.id)
        except LeaseGoneError:
            await door.session.let_go(lease.id)
            return await self.issue(look, door, Because.GONE)
        except PermissionDeniedError:
            pass  # a policy of one's own may leave the right out: then its end by time is all that is known
        look.notes.probed_at = look.now
        return None

    async def adopt(self, look: DynamicLook, door: Door) -> DynamicLook:
        """Take over what the reference operator keeps, if it is there: lease, Secret and consumers stay as they are."""
        seen = await self._destinations.left_behind(look)
        if seen is None:
            return await self.disown(look)
        lease_id, token_ends, gone = look.status.secret_lease.id, None, False
        lived = dynamic.last_sign_of_the_reference(look.status)
        try:
            token_ends = await self._desk.sure_until(door, lease_id, lived) if lease_id else None
        except LeaseGoneError:
            gone = True
        if token_ends is not None and token_ends <= look.now + SPARE:
            # It may live much longer than is sure, and is left to its consumers until they have restarted.
            return await self.issue(await self.disown(look), door, Because.TOKEN_ENDS)
        self._destinations.accept(look, seen)
        resync = look.resync_wanted(RESYNC_ANNOTATIONS)
        digest = self.digest_of(look.status)
        found = dynamic_status.Found(seen, dynamic.shape_of(look.cr.spec), digest, token_ends, resync)
        look = await self.jot(look, dynamic_status.adopted(look.status, look.cr.spec.destination.name, found))
        return await self.issue(look, door, Because.GONE) if gone else look

    async def disown(self, look: DynamicLook) -> DynamicLook:
        """Have credentials issued in the place of those of the reference operator, and their consumers restarted."""
        digest = look.status.rolled_out_digest or self.digest_of(look.status)
        disowned = dynamic_status.disowned(look.status, digest)
        return look if disowned == look.status else await self.jot(look, disowned)

    async def heal(self, look: DynamicLook, door: Door) -> DynamicLook:
        """Settle a lease that an earlier pass was cut off with: the Secret holds it, or it is given back."""
        pending = look.status.pending_lease
        if pending is None:
            return look
        found = await self._held(look, door, pending)
        if found is not None:
            return await self._settle_new(look, door, Because.PENDING_FOUND, *found)
        error = await self._desk.revoke(door, pending.id)
        if error is not None and error.reason is not Reason.REVOKE_FORBIDDEN:  # it holds up no renewal, and no issue
            return await self.jot(look, dynamic_status.set_aside(look.status, look.now + overlap_of(look.cr.spec)))
        healed = look.status.model_copy(update={"pending_lease": None})
        return await self.jot(look, healed, dynamic_status.left_to_end([error] if error else []))

    async def heal_resting(self, look: DynamicLook, door: Door) -> DynamicLook:
        """Settle the lease that the Secret of a suspended object holds; what its consumers are owed stays owed."""
        pending = look.status.pending_lease
        found = None if pending is None else await self._held(look, door, pending)
        if found is None:
            return look
        done = self._done(look, door, Because.PENDING_FOUND, *found)
        status = dynamic_status.settled(look.status, done, look.now, overlap_of(look.cr.spec))
        unpaid = {"last_handled_restart": look.status.last_handled_restart}
        if look.cr.spec.rollout_restart_targets and look.status.rolled_out_digest:
            unpaid["rolled_out_digest"] = look.status.rolled_out_digest
        return await self.jot(look, status.model_copy(update=unpaid))

    async def _held(self, look: DynamicLook, door: Door, pending: PendingLease) -> tuple[Grant, Written] | None:
        """Return the pending lease as it was granted, and the Secret that holds it; None where none does."""
        seen = await self._destinations.inspect(look)
        if seen is None or seen.annotations.get(LEASE_ANNOTATION) != self._desk.digest(pending.id):
            return None
        grant = await self._told_of(door, pending)
        if grant is None:
            return None
        version = ""  # of data that somebody has written over since: the next look has to find that out
        if not seen.foreign_since(seen.set_at):
            self._destinations.accept(look, seen)
            version = seen.resource_version
        return grant, Written(look.cr.spec.destination.name, seen.uid, version, "patched", "", seen.set_at)

    async def _told_of(self, door: Door, pending: PendingLease) -> Grant | None:
        """Return the lease as it was granted; None where it has ended, or nobody may know when it does."""
        try:
            return await self._desk.lookup(door, pending)
        except (LeaseGoneError, PermissionDeniedError):
            return None

    async def _make_room(self, look: DynamicLook, door: Door, because: Because) -> tuple[DynamicLook, VsoError | None]:
        """Give back what was replaced before, so that no more than two leases live; return what kept it from that.

        It is waited for no longer than there are credentials that live.
        """
        nothing_joins = look.cr.spec.allow_static_creds and not look.status.secret_lease.id
        if not look.status.retired_leases or nothing_joins:
            return look, None
        given = await self._desk.revoke_all(door, [ref.id for ref in look.status.retired_leases])
        left, error = dynamic_status.without_retired(look.status, given.settled), given.error
        if error is not None and left.retired_leases and not dynamic_status.pressing(left, because, look.now):
            raise error
        look = await self.jot(look, left, dynamic_status.left_to_end(given.forbidden))
        return look, error if left.retired_leases else None

    async def hold(self, look: DynamicLook) -> None:
        """Have the object wait for us when it is deleted, if there is something to give back, and else not."""
        if look.cr.spec.revoke and leases_of(look.status):
            await self._hold(look)
            return
        released = await self._finalizers.release(look.record, look.cr.metadata.finalizers, _version(look))
        moved_on(look.notes, look.status, released)
        look.notes.held_version = 0

    async def _hold(self, look: DynamicLook) -> DynamicLook:
        """Put the finalizer on, again where somebody has taken it off: an uninstall that was rolled back, say."""
        shown = version_number(look.record.resource_version) >= look.notes.held_version
        if look.cr.spec.revoke and shown:
            held = await self._finalizers.hold(look.record, look.cr.metadata.finalizers, _version(look))
            moved_on(look.notes, look.status, held)
            look.notes.held_version = held
        return look

    def data_of(self, look: DynamicLook, issued: Issued) -> Mapping[str, Sensitive]:
        """Return the data of the Secret."""
        spec = look.cr.spec
        answer = KvAnswer(data=issued.data, raw=issued.data)
        source = f"{spec.mount}/{spec.path}"
        return build_whole(spec.destination, source, answer, exclude_raw_default=self._config.exclude_raw)

    async def put(
        self, look: DynamicLook, data: Mapping[str, Sensitive], mark: tuple[str, str] | None, *, changed: bool = True
    ) -> Landed:
        """Write the Secret."""
        recorded, name = look.status.destination, look.cr.spec.destination.name
        renamed = recorded.name if recorded is not None and recorded.name != name else ""
        plan = sync.SyncPlan(write=True, metadata=True, data_changed=changed, orphan=renamed)
        landed = await self._destinations.apply(look, plan, data, mark)
        if landed.orphan:
            self._reporter.tell(look, orphaned(landed))
        return landed

    async def restart(self, look: DynamicLook, work: Unsettled) -> Restarted | None:
        """Restart the consumers if that is owed; None when it is not."""
        return await debts.pay(self._restarts, Kind.VAULT_DYNAMIC_SECRET, look, work)

    def restart_nobody(self, key: ObjectKey) -> None:
        """Nothing is restarted for the object any more."""
        self._restarts.leave(Kind.VAULT_DYNAMIC_SECRET, key)

    async def jot(self, look: DynamicLook, status: VaultDynamicSecretStatus, news: News | None = None) -> DynamicLook:
        """Write a status on the way, without a verdict."""
        await self._reporter.remark(look, status, news)
        return replace(look, status=status)

    def latest(self, look: DynamicLook) -> DynamicLook:
        """Return the look with the status as it was written last."""
        return replace(look, status=self._reporter.effective(look.record, look.status, look.notes))

    def mark(self, lease_id: str) -> tuple[str, str] | None:
        """Return the annotation that says on the Secret which lease its data is of."""
        return (LEASE_ANNOTATION, self._desk.digest(lease_id)) if lease_id else None

    def digest_of(self, status: VaultDynamicSecretStatus) -> str:
        """Return what consumers are to run with."""
        lease = status.secret_lease
        if not lease.id and status.secret_mac:
            return status.secret_mac
        return self._desk.digest(lease.id or lease.request_id)


def _refused(look: DynamicLook) -> bool:
    """Tell whether the last pass found no place for the Secret."""
    return any(condition.reason in _NO_PLACE for condition in look.status.conditions)


def _version(look: DynamicLook) -> str:
    """Return the object's version as far as we know, our own writes included."""
    return str(look.notes.status_version) if look.notes.status is not None else look.record.resource_version


def overlap_of(spec: VaultDynamicSecretSpec) -> timedelta:
    """Return how long a replaced lease may live on."""
    found = duration_of(spec.overlap, "spec.overlap")
    return DEFAULT_OVERLAP if found is None else found
