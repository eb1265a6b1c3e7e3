"""What the status of a VaultStaticSecret says after a good pass.

Invariant: pure; `lastSyncTime` and the history move only when the data of the Secret did, so that
an idle look changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from vso.api.secrets import VaultStaticSecretStatus
from vso.api.shared import DestinationStatus, HistoryEntry, VaultClientMeta
from vso.controllers.destinations import Landed, StaticLook
from vso.controllers.restarts import Restarted
from vso.core.errors import Reason
from vso.decide.assess import News
from vso.decide.conditions import Finding
from vso.decide.outcome import InOrder
from vso.decide.sync import Why

HISTORY = 5
ROLLOUT_RESTART = "RolloutRestart"


@dataclass(frozen=True, slots=True)
class Synced:
    """What a good pass has done."""

    why: Why
    digest: str
    version: str
    landed: Landed | None
    """None when the destination needed no write."""
    restarted: Restarted | None
    data_changed: bool


def outcome_of(synced: Synced) -> InOrder:
    """Return the outcome, with the restart's own condition where there was one."""
    restarted = synced.restarted
    if restarted is None:
        return InOrder("the Secret holds what Vault holds")
    if restarted.failed:
        finding = Finding(ROLLOUT_RESTART, "False", Reason.ROLLOUT_RESTART_FAILED, restarted.problem)
    else:
        finding = Finding(
            ROLLOUT_RESTART, "True", Reason.ROLLOUT_RESTART_TRIGGERED, f"restarted {', '.join(restarted.done)}"
        )
    return InOrder("the Secret holds what Vault holds", (finding,))


def status_of(
    look: StaticLook, status: VaultStaticSecretStatus, synced: Synced, meta: tuple[str, str], resync: str
) -> VaultStaticSecretStatus:
    """Return the status with what the pass did written into it."""
    update: dict[str, object] = {
        "source_version": synced.version,
        "last_handled_resync": resync,
        "secret_mac": synced.digest if look.cr.spec.hmac_secret_data else status.secret_mac,
        "rolled_out_digest": _rolled_out(status, synced, compared=look.cr.spec.hmac_secret_data),
    }
    if synced.landed is not None:
        written = synced.landed.written
        update["destination"] = DestinationStatus(
            name=written.name, uid=written.uid, resource_version=written.resource_version
        )
        update["vault_client_meta"] = VaultClientMeta(cache_key=meta[0], id=meta[1])
    if _is_rotation(synced):
        update["last_sync_time"] = look.now.replace(microsecond=0)
        update["history"] = (_entry(look, synced), *status.history)[:HISTORY]
    elif synced.restarted is not None and status.history:
        last = status.history[0].model_copy(update={"restart": _told(synced.restarted)})
        update["history"] = (last, *status.history[1:])
    return status.model_copy(update=update)


def news_of(look: StaticLook, synced: Synced) -> News | None:
    """Return the event that the pass deserves besides a recovery; None for a pass that moved nothing."""
    landed, name = synced.landed, look.cr.spec.destination.name
    if landed is None:
        return None
    if landed.orphan:
        return News(
            "Warning",
            Reason.ORPHANED_SECRET,
            f"Secret {landed.orphan} was emptied after the rename to {name}; delete it",
        )
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
    if look.status.destination is None or _is_rotation(synced):
        return News("Normal", Reason.SECRET_SYNCED, f"Secret {name} {landed.written.outcome} ({synced.why})")
    return None


def _is_rotation(synced: Synced) -> bool:
    return synced.landed is not None and (synced.data_changed or synced.landed.written.outcome == "created")


def _rolled_out(status: VaultStaticSecretStatus, synced: Synced, *, compared: bool) -> str:
    """Return the digest that the consumers run with: a failed restart stays owed, the first sync adopts."""
    failed = synced.restarted is not None and bool(synced.restarted.failed)
    return status.rolled_out_digest if failed or not compared else synced.digest


def _entry(look: StaticLook, synced: Synced) -> HistoryEntry:
    return HistoryEntry(
        time=look.now.replace(microsecond=0),
        version=synced.version,
        reason=synced.why.value,
        restart=_told(synced.restarted),
    )


def _told(restarted: Restarted | None) -> str:
    """Return what became of a restart in one word; nothing where none was owed."""
    return "" if restarted is None else "Failed" if restarted.failed else "Triggered"
