"""What sys/health says of a node, and whether that node can serve.

Invariant: pure. A standby is well only as far as it reaches its active node: one that does not
answers every request for itself with an error, whatever the code of its health.
"""

from __future__ import annotations

from dataclasses import dataclass

from vso.core.errors import Reason, VsoError
from vso.vault.errors import VaultDownError, answer_invalid, lonely_standby
from vso.vault.json import JsonObject


@dataclass(frozen=True, slots=True)
class Health:
    """What sys/health says; `error` when it could not be asked or the node cannot serve."""

    reachable: bool
    initialized: bool = False
    sealed: bool = False
    standby: bool = False
    version: str = ""
    error: VsoError | None = None


def health_in(where: str, body: JsonObject | None) -> Health:
    """Return what the answer tells; raises where it is not Vault's."""
    if body is None or not isinstance(body.get("sealed"), bool):
        raise answer_invalid(where, "sys/health is answered without Vault's JSON")
    return Health(
        reachable=True,
        initialized=body.get("initialized") is True,
        sealed=body["sealed"],
        standby=body.get("standby") is True,
        version=str(body.get("version") or ""),
        error=_trouble(where, body),
    )


def _trouble(where: str, body: JsonObject) -> VsoError | None:
    if body["sealed"] or body.get("initialized") is not True:
        return VaultDownError(Reason.VAULT_SEALED, f"{where} is sealed")
    if body.get("removed_from_cluster") is True:
        return VaultDownError(Reason.VAULT_STANDBY, f"{where} was removed from its cluster")
    if body.get("standby") is True and body.get("ha_connection_healthy") is False:
        return lonely_standby(where)
    return None
