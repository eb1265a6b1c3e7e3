"""The pass over credentials that Vault rotates by itself: asked for when a rotation is due, written when new.

Invariant: no lease and no finalizer. An answer from the moment of a rotation is not written but asked for
again, and no worker waits meanwhile; what has not changed is neither written nor told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from vso.api.secrets import VaultDynamicSecretStatus
from vso.controllers import debts, dynamic_status, static_creds_status
from vso.controllers.destinations import DynamicLook
from vso.controllers.dynamic_acts import RESYNC_ANNOTATIONS, DynamicConfig, LeaseActs, overlap_of
from vso.controllers.leases import Door
from vso.controllers.memory import Unsettled
from vso.controllers.report import Reporter
from vso.controllers.static_creds_status import Answered, Context, Synced
from vso.core.errors import Reason, TransientError
from vso.core.sensitive import Sensitive
from vso.decide import static_creds, sync
from vso.decide.dynamic import shape_of
from vso.decide.lease import Because
from vso.decide.mac import secret_mac
from vso.decide.schedule import duration_of, phase
from vso.decide.static_creds import Question, Rotation
from vso.vault.leases import Issued

_LEAST_PERIOD = timedelta(seconds=1)
_WRITES = frozenset({Because.NO_LEASE, Because.REQUEST_CHANGED, Because.SECRET_MISSING, Because.SECRET_DRIFTED})
"""What the Secret is written for, even with the same credentials."""


@dataclass(frozen=True)
class Seen:
    """What became of a look at Vault."""

    look: DynamicLook
    settled: bool
    """The status tells already how the object stands."""


class StaticCreds:
    """Sees to the objects whose credentials have no lease and are rotated by Vault."""

    def __init__(
        self,
        acts: LeaseActs,
        reporter: Reporter[VaultDynamicSecretStatus],
        config: DynamicConfig,
        mac_key: Sensitive,
    ) -> None:
        self._config = config
        self._acts = acts
        self._reporter = reporter
        self._mac_key = mac_key

    async def see_to(self, look: DynamicLook, door: Door, because: Because | None) -> Seen:
        """Ask Vault if that is due or there is a reason to, and act on the answer."""
        rotation_due = self._rotation_due(look)
        if because is None and not rotation_due and not self._look_due(look):
            return Seen(look, settled=False)
        if look.notes.awaiting is not None and not self._look_due(look):
            return await self._at_hand(look, because)  # something else has woken the object meanwhile
        look, issued, grant = await self._acts.ask(look, door, because or Because.NO_LEASE)
        if grant.lease_id:
            return Seen(await self._acts.take(look, door, because or Because.NO_LEASE, issued, grant), settled=True)
        rotation = static_creds.rotation_of(issued.data, f"{look.cr.spec.mount}/{look.cr.spec.path}")
        if rotation is not None and self._waits(look, rotation, rotation_due, because):
            return await self._at_hand(look, because)
        look.notes.awaiting = look.notes.look_due = None
        return await self._take(look, because, issued, Answered(rotation, grant.request_id, door.meta))

    def next_look(self, look: DynamicLook) -> timedelta | None:
        """Return when to look again: at the next rotation, and for one by hand as often as the spec says."""
        notes = look.notes
        if notes.awaiting is None:
            period = duration_of(look.cr.spec.refresh_after, "spec.refreshAfter")
            share = phase(look.record.uid)
            notes.look_due = None
            if period:
                at = static_creds.look_at(look.now, max(period, _LEAST_PERIOD), share)
                notes.look_due = look.monotonic + (at - look.now).total_seconds()
        waits = [] if notes.look_due is None else [timedelta(seconds=notes.look_due - look.monotonic)]
        due = static_creds.due_at(look.status, phase(look.record.uid))
        if due is not None and notes.awaiting is None:
            waits.append(due - look.now)
        return min(waits, default=None)

    def _rotation_due(self, look: DynamicLook) -> bool:
        due = static_creds.due_at(look.status, phase(look.record.uid))
        if look.notes.awaiting is not None:
            return self._look_due(look)
        return due is not None and look.now >= due

    def _look_due(self, look: DynamicLook) -> bool:
        return look.notes.look_due is not None and look.monotonic >= look.notes.look_due

    def _waits(self, look: DynamicLook, told: Rotation, due: bool, because: Because | None) -> bool:
        """Note when to ask again, if the answer is from the moment of a rotation."""
        since = look.monotonic if look.notes.awaiting is None else look.notes.awaiting
        known = look.status.static_creds_meta_data if because is not Because.NO_LEASE else None
        question = Question(known, due, because is not None, timedelta(seconds=look.monotonic - since))
        pause = static_creds.wait_for(told, question, look.now)
        if pause is None:
            return False
        look.notes.awaiting, look.notes.look_due = since, look.monotonic + pause.total_seconds()
        return True

    async def _at_hand(self, look: DynamicLook, because: Because | None) -> Seen:
        """A rotation is at hand: what the Secret holds is good until then, if it holds what is asked for."""
        if because is None:
            return Seen(look, settled=False)
        text = "Vault is about to rotate the credentials"
        await self._reporter.failed(look, TransientError(Reason.ROTATION_AT_HAND, text))
        return Seen(self._acts.latest(look), settled=True)

    async def _take(self, look: DynamicLook, because: Because | None, issued: Issued, answered: Answered) -> Seen:
        data = self._acts.data_of(look, issued)
        mac = secret_mac(self._mac_key.reveal(), static_creds.lasting(data))
        changed = mac != look.status.secret_mac
        if because is None and not changed:
            return Seen(await self._noted(look, answered), settled=False)
        look.notes.unsaid = True
        landed = None
        if changed or because in _WRITES:
            landed = await self._acts.put(look, data, None, changed=changed)
        # Another digest of the same data comes of a MAC key that was made anew: adopted, unless a restart was owed.
        adopted = landed is not None and landed.untouched and not self._owed(look)
        since = look.status.last_sync_time or look.now
        if landed is not None and changed:
            since = landed.written.set_at or look.now
        done = Synced(
            because=because or Because.ROTATED,
            mac=mac,
            changed=changed and not adopted,
            written=landed.written if landed is not None else None,
            restarted=None,
            answered=answered,
        )
        work = debts.unsettled(look, "" if adopted else mac, since, done)
        return Seen(await self.settle(look, work, done), settled=True)

    async def settle(self, look: DynamicLook, work: Unsettled, done: Synced) -> DynamicLook:
        """Restart the consumers and say what was done; neither as long as the former waits for company."""
        restarted = await self._acts.restart(look, work)
        if look.notes.unsettled is not None:
            return look
        done, spec = replace(done, restarted=restarted), look.cr.spec
        context = Context(
            shape=shape_of(spec),
            resync=look.resync_wanted(RESYNC_ANNOTATIONS),
            asked=debts.acknowledged(look, done.restarted),
            pod_uid=self._config.pod_uid,
            overlap=overlap_of(spec),
            now=work.now,
        )
        await self._reporter.in_order(
            look,
            lambda status: static_creds_status.synced(status, done, context),
            dynamic_status.in_order(done.restarted),
            static_creds_status.news_of(done, spec.destination.name, first=look.status.destination is None),
        )
        look.notes.unsaid = False
        look.notes.restart_failed = done.restarted is not None and bool(done.restarted.failed)
        return self._acts.latest(look)

    async def _noted(self, look: DynamicLook, answered: Answered) -> DynamicLook:
        """The credentials are the same: at most Vault counts from another time."""
        if not static_creds.moved(look.status, answered.rotation, look.now):
            return look
        return await self._acts.jot(look, static_creds_status.noted(look.status, answered, look.now))

    def _owed(self, look: DynamicLook) -> bool:
        return sync.restart_owed(look.status.rolled_out_digest, look.status.secret_mac)
