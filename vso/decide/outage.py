"""An outage of Vault, as the secrets behind it tell it: once, whatever becomes of its cause.

A Vault that goes down refuses connections, then does not answer, then is sealed or a standby: to a
secret all of that is one thing, and each change of text would be a write per object. Invariant: while
an outage leaves an object where it stands, what the object tells stays word for word, and says where
the present state is told; the VaultConnection itself follows the cause.
"""

from __future__ import annotations

from collections.abc import Mapping

from vso.api.meta import Status
from vso.api.shared import SecretStatus
from vso.core.errors import Reason
from vso.decide.conditions import ABNORMAL, HEALTHY, Truth, find_condition
from vso.decide.outcome import Cure, Failing, Outcome

OUTAGE = frozenset({Reason.VAULT_UNAVAILABLE, Reason.VAULT_SEALED, Reason.VAULT_STANDBY})


def told_elsewhere(outcome: Outcome, previous: Status) -> str:
    """Return where the present state of the outage is told; empty for what is none, or tells of it itself."""
    if not isinstance(outcome, Failing) or outcome.cure is not Cure.TIME or outcome.reason not in OUTAGE:
        return ""
    if not isinstance(previous, SecretStatus):
        return ""
    who = f"VaultConnection {outcome.connection}" if outcome.connection else "the VaultConnection's status"
    return f"{who} tells how it is now"


def goes_on(elsewhere: str, previous: Status, generation: int, row: Mapping[str, Truth]) -> bool:
    """Tell whether the conditions tell an outage of the same Vault already, with the object standing in that row."""
    healthy = find_condition(previous.conditions, HEALTHY)
    if not elsewhere or healthy is None or healthy.observed_generation != generation:
        return False
    shown = {found.type: found.status for found in previous.conditions if found.type in row.keys() | ABNORMAL}
    return shown == row and healthy.reason in OUTAGE and healthy.message.endswith(elsewhere)
