"""The annotations with which a ServiceAccount says whom it is in a cloud.

Invariant: they are read only where the VaultAuth does not say it itself; a ConfigError names the annotation,
those that are there, and the field that makes the reading unnecessary.
"""

from __future__ import annotations

from collections.abc import Mapping

from vso.core.errors import ConfigError, Reason
from vso.vault.way import Visit


async def annotated(visit: Visit, service_account: str, wanted: str, instead: str) -> Mapping[str, str]:
    """Return the annotations of a ServiceAccount of the consumer's that has the one that is wanted."""
    who = f"ServiceAccount {visit.config.consumer}/{service_account}"
    try:
        found = await visit.sources.annotations(visit.config.consumer, service_account)
    except ConfigError as error:
        if error.reason is not Reason.KUBERNETES_FORBIDDEN:
            raise
        raise ConfigError(error.reason, f"{error.message}; or set {instead}, and {who} is not read") from None
    if not found.get(wanted):
        there = ", ".join(sorted(found)) or "none"
        raise ConfigError(
            Reason.INVALID_SPEC, f"{who} has no annotation {wanted}; its annotations: {there}; or set {instead}"
        )
    return found
