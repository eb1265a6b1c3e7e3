"""VaultAuthGlobal: are its defaults fit to be taken over, and by how many?

Invariant: nobody waits for these passes and nobody consults this status: a VaultAuth takes its defaults
from the specification.
"""

from __future__ import annotations

from collections.abc import Callable

from vso.api.access import VaultAuthGlobal, VaultAuthGlobalSpec, VaultAuthGlobalStatus
from vso.api.meta import Resource
from vso.controllers.access import still_valid
from vso.controllers.looks import Look
from vso.controllers.passes import ObjectReconciler, PassParts
from vso.controllers.report import Telling
from vso.controllers.ways import reserved
from vso.core.errors import ConfigError, Reason, VsoError
from vso.core.keys import ObjectKey
from vso.decide.auth_globals import blocks
from vso.decide.outcome import InOrder
from vso.decide.references import parse_ref
from vso.runtime.reconcile import Result
from vso.vault.config import check_headers

GlobalLook = Look[VaultAuthGlobal, VaultAuthGlobalStatus]


class AuthGlobalReconciler(ObjectReconciler[VaultAuthGlobal, VaultAuthGlobalStatus]):
    """Checks a VaultAuthGlobal and counts the VaultAuths that take their defaults from it."""

    model = VaultAuthGlobal

    def __init__(self, parts: PassParts[VaultAuthGlobalStatus], referrers: Callable[[ObjectKey], int]) -> None:
        super().__init__(parts)
        self._referrers = referrers

    async def look_over(self, look: GlobalLook) -> Result:
        """See whether what it says can be taken over."""
        if look.record.deleting:
            return Result()
        check_defaults(look.cr.spec)
        counted = {"valid": True, "error": "", "referrers": self._referrers(look.key)}
        await self._parts.reporter.in_order(
            look, lambda status: status.model_copy(update=counted), InOrder("its defaults can be taken over")
        )
        return Result()

    def telling(self, look: Look[Resource, VaultAuthGlobalStatus], error: VsoError) -> Telling[VaultAuthGlobalStatus]:
        """`valid` and `error` speak of the spec; a count is a count whatever the spec says."""
        usable = still_valid(error, was=look.status.valid is True and look.is_current)
        told = {"valid": usable, "error": "" if usable else error.message, "referrers": self._referrers(look.key)}
        return Telling(change=lambda status: status.model_copy(update=told))


def check_defaults(spec: VaultAuthGlobalSpec) -> None:
    """Refuse what no VaultAuth could use; what is left out is for the VaultAuths to say."""
    parse_ref(spec.vault_connection_ref, "", "")
    check_headers(tuple(spec.headers.items()))
    for method, block in blocks(spec).items():
        check_headers(tuple(block.headers.items()), f"spec.{method}.headers")
        taken = sorted(reserved(method).intersection(block.params))
        if taken:
            raise ConfigError(Reason.INVALID_SPEC, f"spec.{method}.params may not set {' or '.join(taken)}")
