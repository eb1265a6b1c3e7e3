"""Kinds that are accepted and not acted on say so, instead of keeping silent.

Invariant: one status write per generation, and nothing else.
"""

from __future__ import annotations

from vso.api.meta import Resource, Status
from vso.api.scheme import MODELS
from vso.controllers.looks import Look
from vso.controllers.passes import ObjectReconciler, PassParts
from vso.core.errors import Reason, TerminalError
from vso.core.keys import Kind
from vso.runtime.reconcile import Result

NEVER = frozenset({Kind.HCP_AUTH, Kind.HCP_VAULT_SECRETS_APP, Kind.CSI_SECRETS})
"""End of life with the reference operator, or served by another program."""

NOT_YET = frozenset({Kind.VAULT_PKI_SECRET, Kind.SECRET_TRANSFORMATION})


class UnsupportedReconciler(ObjectReconciler[Resource, Status]):
    """Reports one such kind as Stalled."""

    def __init__(self, kind: Kind, parts: PassParts[Status]) -> None:
        super().__init__(parts)
        self._kind = kind

    @property
    def model(self) -> type[Resource]:
        """The model of the kind."""
        return MODELS[self._kind]

    async def look_over(self, look: Look[Resource, Status]) -> Result:
        """Say that nothing will be done for the object."""
        if look.record.deleting:
            self.forget(look.key)
            return Result()
        raise self._verdict()

    def _verdict(self) -> TerminalError:
        if self._kind in NEVER:
            return TerminalError(Reason.UNSUPPORTED, f"{self._kind} is accepted so that it can be stored, not acted on")
        return TerminalError(Reason.NOT_IMPLEMENTED, f"{self._kind} is not acted on by this version of the operator")
