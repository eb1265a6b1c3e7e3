"""The Secret at the end of the way: written, checked for drift, emptied or deleted.

Invariant: what we know of a Secret is what our own writes returned and what a metadata-only watch
shows; its values are never read back. Where there is no watch (write-only mode, or a Secret that is
not ours), a write that changes nothing is repeated every `drift_interval`: the resourceVersion that
it returns tells whether somebody else wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from vso.api.secrets import (
    VaultDynamicSecret,
    VaultDynamicSecretStatus,
    VaultStaticSecret,
    VaultStaticSecretStatus,
)
from vso.controllers.cache import ObjectCache
from vso.controllers.looks import Look
from vso.controllers.memory import version_number
from vso.core.errors import Reason
from vso.core.keys import Kind, ObjectKey, OwnerRef
from vso.core.sensitive import Sensitive
from vso.decide.assess import News
from vso.decide.schedule import phase
from vso.decide.sync import SyncPlan
from vso.kube.secret_plan import Recorded, SecretPlan, Seen, Written
from vso.kube.secret_protocol import belongs
from vso.kube.secrets import SecretWriter

StaticLook: TypeAlias = Look[VaultStaticSecret, VaultStaticSecretStatus]
DynamicLook: TypeAlias = Look[VaultDynamicSecret, VaultDynamicSecretStatus]
SecretLook: TypeAlias = StaticLook | DynamicLook


@dataclass(frozen=True, slots=True)
class Drift:
    """What the watch says about the recorded destination."""

    missing: bool = False
    drifted: bool = False


@dataclass(frozen=True, slots=True)
class Landed:
    """What a write has left behind."""

    written: Written
    drifted: bool
    """Somebody else had written since our last write."""
    moved: bool
    """The Secret has another resourceVersion than was known: this write, or somebody before it, changed it."""
    orphan: str
    """The old Secret of a rename that is still there and nobody's."""
    emptied: bool = False
    """Our data was taken out of that; else it could not be told from somebody else's."""
    untouched: bool = False
    """The Secret still has the recorded resourceVersion: whatever the digests say, its data is what it was."""
    overtaken: bool = False
    """The watch shows already that somebody changed or deleted it after us."""


def orphaned(landed: Landed) -> News:
    """Return the event for the old Secret of a rename that is still there."""
    old, name = landed.orphan, landed.written.name
    text = f"Secret {old} was emptied after the rename to {name}; delete it"
    if not landed.emptied:
        text = f"Secret {old} has what was written before the rename to {name}, and bears no name of ours: "
        text += "it is left as it is; delete it, or take the data out"
    return News("Warning", Reason.ORPHANED_SECRET, text)


class Destinations:
    """Writes the Secrets of one kind of object."""

    def __init__(
        self,
        kind: Kind,
        writer: SecretWriter,
        secrets: ObjectCache | None,
        *,
        may_delete: bool,
        drift_interval: float,
    ) -> None:
        self._kind = kind
        self._writer = writer
        self._secrets = secrets
        self._may_delete = may_delete
        self._drift_interval = drift_interval

    def drift(self, look: SecretLook) -> Drift:
        """Compare the watch with what was recorded; no request."""
        recorded = look.status.destination
        if recorded is None or self._secrets is None or not look.cr.spec.destination.create:
            return Drift()
        if look.notes.deleted_uid == recorded.uid:
            return Drift(missing=True)
        seen = self._secrets.get(ObjectKey(look.key.namespace, recorded.name))
        if seen is None:
            # Only before the first write of this process is the watch known to be ahead of us.
            return Drift(missing=look.notes.written_version == 0)
        known = max(version_number(recorded.resource_version), look.notes.written_version)
        return Drift(drifted=seen.uid != recorded.uid or version_number(seen.resource_version) > known)

    def check_due(self, look: SecretLook) -> bool:
        """Tell whether a write that should change nothing is due, to learn of other writers."""
        due = look.notes.drift_due
        return self._checked_by_writing(look) and due is not None and look.monotonic >= due

    def next_check(self, look: SecretLook) -> float | None:
        """Return the seconds until the next such write; None where a watch does the work."""
        if not self._checked_by_writing(look):
            look.notes.drift_due = None
            return None
        if look.notes.drift_due is None:
            look.notes.drift_due = look.monotonic + self._drift_interval * (0.5 + phase(look.record.uid) / 2)
        elif look.monotonic >= look.notes.drift_due:
            look.notes.drift_due = look.monotonic + self._drift_interval
        return max(0.0, look.notes.drift_due - look.monotonic)

    async def apply(
        self, look: SecretLook, plan: SyncPlan, data: Mapping[str, Sensitive], mark: tuple[str, str] | None = None
    ) -> Landed:
        """Write the destination, with the annotation that marks its data; then see to what a rename left behind."""
        status = look.status.destination
        recorded = self._recorded(look)
        before = self._watched(look)
        look.notes.writing = True
        try:
            written = await self._writer.put(
                self._plan(look, data, mark), recorded=recorded, metadata_changed=plan.metadata
            )
        finally:
            look.notes.writing = False
        known = max(version_number(status.resource_version), look.notes.written_version) if status else 0
        moved = version_number(written.resource_version) > known
        look.notes.written_version = version_number(written.resource_version)
        overtaken = self._overtaken(look, written)
        left = await self._leave(look, plan.orphan) if plan.orphan else "gone"
        orphan = plan.orphan if left in {"emptied", "left"} else ""
        unasked = recorded is not None and moved and not plan.data_changed and not plan.metadata
        # With other data than recorded it may as well be our own write, which a crash kept from the status.
        repaired = plan.repair and not plan.data_changed and before != Recorded(written.uid, written.resource_version)
        drifted = repaired or unasked or (written.outcome == "created" and recorded is not None)
        untouched = recorded is not None and recorded == Recorded(written.uid, written.resource_version)
        return Landed(
            written,
            drifted=drifted,
            moved=moved,
            orphan=orphan,
            emptied=left == "emptied",
            untouched=untouched,
            overtaken=overtaken,
        )

    def _overtaken(self, look: SecretLook, written: Written) -> bool:
        """Tell whether what the watch showed while the answer was on its way was more than our own echo."""
        if look.notes.deleted_uid == written.uid:
            return True
        look.notes.deleted_uid = ""
        seen = self._watched(look)
        return seen is not None and version_number(seen.resource_version) > look.notes.written_version

    async def check(self, look: SecretLook) -> None:
        """Raise what a write would meet that can be known before; one request."""
        recorded = self._recorded(look)
        await self._writer.check(self._plan(look, {}), "" if recorded is None else recorded.uid)

    async def inspect(self, look: SecretLook) -> Seen | None:
        """Return the destination's metadata as it is now; one request."""
        return await self._writer.inspect(look.key.namespace, look.cr.spec.destination.name)

    async def left_behind(self, look: SecretLook) -> Seen | None:
        """Return the Secret that another operator has written for this very object; one request."""
        seen = await self.inspect(look)
        return seen if seen is not None and belongs(seen, self._plan(look, {})) else None

    def accept(self, look: SecretLook, seen: Seen) -> None:
        """Take the Secret as it is now for in order: what changed it was not its data."""
        look.notes.written_version = version_number(seen.resource_version)
        look.notes.deleted_uid = ""

    async def relabel(self, look: SecretLook, mark: tuple[str, str] | None) -> Recorded | None:
        """Make our labels, annotations and owner right without the data; return the Secret as it is to be recorded.

        None when it is not there, or when somebody else has written to it since: the next look has to see that.
        """
        recorded = look.status.destination
        plan = self._plan(look, {}, mark)
        done = None if recorded is None else await self._writer.relabel(plan, recorded.uid)
        if recorded is None or done is None:
            return None
        before, after = done
        moved = before.resource_version != recorded.resource_version
        if moved or after.foreign_since(look.status.last_sync_time):
            return None
        look.notes.written_version = version_number(after.resource_version)
        return Recorded(after.uid, after.resource_version)

    def _recorded(self, look: SecretLook) -> Recorded | None:
        status = look.status.destination
        if status is None or status.name != look.cr.spec.destination.name:
            return None
        return Recorded(uid=status.uid, resource_version=status.resource_version)

    def _watched(self, look: SecretLook) -> Recorded | None:
        """Return the destination as the watch shows it: a foreign label moves its version, and asks for no repair."""
        key = ObjectKey(look.key.namespace, look.cr.spec.destination.name)
        seen = self._secrets.get(key) if self._secrets is not None else None
        return None if seen is None else Recorded(seen.uid, seen.resource_version)

    async def remove(self, look: SecretLook) -> None:
        """Take our data away: the Secret goes, or is emptied where it may not be deleted."""
        status = look.status.destination
        if status is not None:
            await self._leave(look, status.name)

    async def _leave(self, look: SecretLook, name: str) -> Literal["deleted", "emptied", "gone", "left"]:
        """Delete the Secret of that name if it is still the recorded one, or empty it; tell what became of it."""
        recorded = look.status.destination
        uid = recorded.uid if recorded is not None else ""
        plan = replace(self._plan(look, {}), name=name)
        if self._may_delete and plan.own:
            return await self._writer.delete(plan, uid)
        return await self._writer.empty(plan, uid)

    def _plan(self, look: SecretLook, data: Mapping[str, Sensitive], mark: tuple[str, str] | None = None) -> SecretPlan:
        return secret_plan(self._kind, look, data, mark)

    def _checked_by_writing(self, look: SecretLook) -> bool:
        return self._secrets is None or not look.cr.spec.destination.create


def secret_plan(
    kind: Kind, look: SecretLook, data: Mapping[str, Sensitive], mark: tuple[str, str] | None = None
) -> SecretPlan:
    """Return the Secret that the object asks for."""
    destination, meta = look.cr.spec.destination, look.cr.metadata
    retained = destination.on_delete == "Retain"
    return SecretPlan(
        namespace=meta.namespace,
        name=destination.name,
        type=destination.type or "Opaque",
        data=data,
        labels=destination.labels,
        annotations=destination.annotations,
        owner=None if retained else OwnerRef(kind, meta.name, meta.uid),
        owner_uid=meta.uid,
        own=destination.create,
        overwrite=destination.overwrite,
        mark=mark,
        mark_adopted=kind is Kind.VAULT_DYNAMIC_SECRET,  # the mark tells after a crash whose data is there
    )
