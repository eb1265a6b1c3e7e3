"""What the status of a VaultStaticSecret says after a good pass.

Invariant: pure; `lastSyncTime` and the history move only when the data of the Secret did, so that
an idle look changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vso.api.secrets import VaultStaticSecretStatus
from vso.api.shared import DestinationStatus, HistoryEntry, VaultClientMeta
from vso.controllers import debts
from vso.controllers.destinations import Landed, StaticLook, orphaned
from vso.controllers.restarts import Restarted
from vso.core.errors import Reason
from vso.decide.assess import News
from vso.decide.outcome import InOrder
from vso.decide.sync import SyncPlan, Why
from vso.decide.transform import sources
from vso.kube.labels import SOURCE_ANNOTATION

HISTORY = 5


@dataclass(frozen=True, slots=True)
class Synced:
    """What a good pass has done."""

    why: Why
    digest: str
    version: str
    landed: Landed | None
    """None when the destination needed no write."""
    rotated: datetime | None
    """The server's time of the write that created the Secret or changed its data, where this pass made one.

    A pass that is repeated sees the same. It is that of the write before where keys were only taken away.
    """
    restarted: Restarted | None


def is_rotation(landed: Landed, plan: SyncPlan, *, known: bool) -> bool:
    """Tell whether the write created the Secret or changed its data; `known` is whether there was a digest before.

    Where there was none, only the write itself has told whether anything changed.
    """
    changed = plan.data_changed and (known or landed.moved) and not landed.untouched
    return changed or landed.written.outcome == "created"


def outcome_of(synced: Synced) -> InOrder:
    """Return the outcome, with the restart's own condition where there was one."""
    return InOrder("the Secret holds what Vault holds", debts.finding_of(synced.restarted))


def status_of(
    look: StaticLook, status: VaultStaticSecretStatus, synced: Synced, meta: tuple[str, str], resync: str
) -> VaultStaticSecretStatus:
    """Return the status with what the pass did written into it."""
    update: dict[str, object] = {
        "source_version": synced.version,
        "last_handled_resync": resync,
        "last_handled_restart": debts.acknowledged(look, synced.restarted),
        "secret_mac": synced.digest if look.cr.spec.hmac_secret_data else status.secret_mac,
        "rolled_out_digest": _rolled_out(status, synced, compared=look.cr.spec.hmac_secret_data),
    }
    if synced.landed is not None:
        written = synced.landed.written
        update["destination"] = DestinationStatus(
            name=written.name, uid=written.uid, resource_version=written.resource_version
        )
        update["vault_client_meta"] = VaultClientMeta(cache_key=meta[0], id=meta[1])
    if synced.rotated is not None:
        update["last_sync_time"] = synced.rotated
        news = status.last_sync_time is None or synced.rotated > status.last_sync_time
        at = synced.rotated if news else look.now.replace(microsecond=0)
        update["history"] = (_entry(synced, at), *status.history)[:HISTORY]
    elif status.history and (told := debts.told(synced.restarted)):
        last = status.history[0].model_copy(update={"restart": told})
        update["history"] = (last, *status.history[1:])
    return status.model_copy(update=update)


def news_of(look: StaticLook, synced: Synced) -> News | None:
    """Return the event that the pass deserves besides a recovery; None for a pass that moved nothing."""
    landed, name = synced.landed, look.cr.spec.destination.name
    if landed is None:
        return debts.news_of(synced.restarted)
    if landed.orphan:
        return orphaned(landed)
    if synced.restarted is not None and synced.restarted.failed:
        return News(
            "Warning",
            Reason.ROLLOUT_RESTART_FAILED,
            f"Secret {name} {landed.written.outcome}, and not every target restarted: {synced.restarted.problem}",
        )
    if landed.drifted:
        return News(
            "Warning", Reason.DESTINATION_DRIFTED, f"somebody else wrote Secret {name}; it is as it should be again"
        )
    if look.status.destination is None or synced.rotated is not None:
        return News("Normal", Reason.SECRET_SYNCED, f"Secret {name} {landed.written.outcome} ({synced.why})")
    return debts.news_of(synced.restarted)


def _rolled_out(status: VaultStaticSecretStatus, synced: Synced, *, compared: bool) -> str:
    """Return the digest that the consumers run with: a failed restart stays owed, the first sync adopts."""
    return status.rolled_out_digest if debts.pending(synced.restarted) or not compared else synced.digest


def _entry(synced: Synced, at: datetime) -> HistoryEntry:
    return HistoryEntry(
        time=at,
        version=synced.version,
        reason=synced.why.value,
        restart=debts.told(synced.restarted),
    )


def source_mark(look: StaticLook, version: str) -> tuple[str, str] | None:
    """Return the annotation that says where the data is from; a Secret that is not ours gets none.

    It names the version with which the data changed last, so that writing the same data again changes nothing.
    """
    if not look.cr.spec.destination.create:
        return None
    history = look.status.history
    version = version or (history[0].version if history else look.status.source_version)
    first, *others = sources(look.cr.spec)
    named = f"{first.mount}/{first.path}" + (f"@{version}" if version else "")
    return SOURCE_ANNOTATION, ", ".join([named, *(f"{other.mount}/{other.path}" for other in others)])
