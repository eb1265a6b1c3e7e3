"""What an object owes to the consumers of its Secret: a restart for new data, and one that was asked for.

Invariant: the former is owed while `status.rolledOutDigest` differs from the digest of the data, the latter while
the annotation's value differs from `status.lastHandledRestart`. One patch pays both, and its content depends on
them alone, so that a crash before they are settled restarts nothing twice. A value that an object came with is
acknowledged and not paid: its consumers have just started.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from typing import Final

from vso.controllers.destinations import SecretLook
from vso.controllers.memory import Unsettled
from vso.controllers.restarts import Owed, Restarted, Restarts, owner_name
from vso.core.errors import Reason
from vso.core.keys import Kind
from vso.decide import sync
from vso.decide.assess import News
from vso.decide.conditions import Finding
from vso.kube.workloads import digest_mark, restart_mark
from vso.runtime.reconcile import Result

RESTART_ANNOTATION: Final = "vso.hashicorp.com/restart"
ROLLOUT_RESTART: Final = "RolloutRestart"
_TOKEN_BYTES: Final = 8


def unsettled(look: SecretLook, digest: str, since: datetime, done: object = None) -> Unsettled:
    """Return what this pass has done, for data of that digest and moment."""
    return Unsettled(look.record.generation, look.record.look, look.now, digest, since, done)


def take_up(look: SecretLook) -> Unsettled | None:
    """Return what an earlier pass could not settle, if the object still asks for the same."""
    found, look.notes.unsettled = look.notes.unsettled, None
    if found is None or (found.generation, found.look) != (look.record.generation, look.record.look):
        return None
    return found


def come_back(work: Unsettled) -> Result:
    """Return when to take up what waits for the company of others."""
    return Result(requeue_after=work.wait, urgent=True)


async def pay(restarts: Restarts, kind: Kind, look: SecretLook, work: Unsettled) -> Restarted | None:
    """Restart the consumers for new data, and as was asked; None where neither is owed.

    What waits for the company of others is left unsettled in the notes: the pass ends without a word, and the
    next one takes it up.
    """
    targets, notes = look.cr.spec.rollout_restart_targets, look.notes
    owed = _owed(kind, look, work)
    notes.unsettled = None
    if not targets or not owed.marks:
        restarts.leave(kind, look.key)
        return None
    paying = " ".join(owed.marks.values())
    if notes.rolled != paying:
        notes.rolled, notes.rolled_targets = paying, frozenset()
    restarted = await restarts.restart(owed, targets, already=notes.rolled_targets)
    notes.rolled_targets = notes.rolled_targets.union(restarted.done)
    if restarted.wait is not None:
        notes.unsettled = replace(work, wait=restarted.wait)
    return restarted


def unacknowledged(look: SecretLook) -> bool:
    """Tell whether a restart is asked for that the status does not acknowledge yet."""
    return sync.restart_asked(_wanted(look), look.status.last_handled_restart)


def acknowledged(look: SecretLook, restarted: Restarted | None) -> str:
    """Return what the status acknowledges after a pass that has paid, as far as it could.

    A value that was taken away stays: the same one is not handled again when it returns.
    """
    failed = restarted is not None and bool(restarted.failed)
    return look.status.last_handled_restart if failed else _wanted(look) or look.status.last_handled_restart


def told(restarted: Restarted | None) -> str:
    """Return for the history what became of the restart for new data; nothing where none was owed."""
    if restarted is None or not restarted.for_data:
        return ""
    return "Failed" if restarted.failed else "Triggered"


def pending(restarted: Restarted | None) -> bool:
    """Tell whether some consumers still run with older data."""
    return restarted is not None and restarted.for_data and bool(restarted.failed)


def finding_of(restarted: Restarted | None) -> tuple[Finding, ...]:
    """Return the restart's own condition, where there was one."""
    if restarted is None:
        return ()
    if restarted.failed:
        return (Finding(ROLLOUT_RESTART, "False", Reason.ROLLOUT_RESTART_FAILED, restarted.problem),)
    return (Finding(ROLLOUT_RESTART, "True", Reason.ROLLOUT_RESTART_TRIGGERED, _made(restarted)),)


def news_of(restarted: Restarted | None) -> News | None:
    """Return the event that a restart deserves which was only asked for; new data has one of its own."""
    if restarted is None or restarted.for_data:
        return None
    if restarted.failed:
        text = f"not every target restarted as was asked for: {restarted.problem}"
        return News("Warning", Reason.ROLLOUT_RESTART_FAILED, text)
    return News("Normal", Reason.ROLLOUT_RESTART_TRIGGERED, _made(restarted))


def _made(restarted: Restarted) -> str:
    return f"restarted {', '.join(restarted.done)}" + ("" if restarted.for_data else ", as was asked for")


def _owed(kind: Kind, look: SecretLook, work: Unsettled) -> Owed:
    owner, marks = owner_name(kind, look.key), {}
    for_data = bool(work.digest) and sync.restart_owed(look.status.rolled_out_digest, work.digest)
    if for_data:
        marks[digest_mark(owner)] = work.digest
    if unacknowledged(look) and sync.synced_before(look.status):
        marks[restart_mark(owner)] = _token(look)
    return Owed(kind, look.key, marks, work.since if for_data else None)


def _wanted(look: SecretLook) -> str:
    return look.cr.metadata.annotations.get(RESTART_ANNOTATION, "")


def _token(look: SecretLook) -> str:
    """Return a name for what is asked, the same until it is acknowledged and never again.

    It counts from the value before: one that comes a second time, or to another object of that name, is asked anew.
    """
    told = "\0".join((look.record.uid, look.status.last_handled_restart, _wanted(look)))
    return hashlib.blake2b(told.encode(), digest_size=_TOKEN_BYTES).hexdigest()
