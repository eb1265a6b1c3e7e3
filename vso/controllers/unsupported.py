"""Kinds that are accepted and not acted on say so, instead of keeping silent.

Invariant: one status write per generation, and nothing else; one that is deleted never waits for the finalizer
that the reference operator has left on it.
"""

from __future__ import annotations

from dataclasses import replace

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
        super().__init__(replace(parts, finalizers=None))
        self._kind, self._finalizers = kind, parts.finalizers

    @property
    def model(self) -> type[Resource]:
        """The model of the kind."""
        return MODELS[self._kind]

    async def look_over(self, look: Look[Resource, Status]) -> Result:
        """Say that nothing will be done for the object."""
        if look.record.deleting:
            await self.abandon(look)
            return Result()
        raise self._verdict()

    async def abandon(self, look: Look[Resource, Status]) -> None:
        """The object goes: nobody is there who would clean up after it."""
        if self._finalizers is not None:
            await self._finalizers.release(look.record, look.cr.metadata.finalizers)
        self.forget(look.key)

    def _verdict(self) -> TerminalError:
        if self._kind in NEVER:
            return TerminalError(Reason.UNSUPPORTED, f"{self._kind} is accepted so that it can be stored, not acted on")
        return TerminalError(Reason.NOT_IMPLEMENTED, f"{self._kind} is not acted on by this version of the operator")
