"""The compact form in which a watched object is cached.

Invariant: a record is immutable and small (the object without managedFields, packed, and the few
fields that triggers and indexes compare); it is parsed into a model only while it is reconciled.
A dict of the same object costs more than ten times as much memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vso.core.keys import ObjectKey
from vso.core.packing import unpack


@dataclass(frozen=True, slots=True)
class Record:
    """One object of the API server, as seen last."""

    key: ObjectKey
    uid: str
    resource_version: str
    generation: int
    look: int
    """A hash of labels and annotations: a change of it asks for one fresh look."""
    deleting: bool
    packed: bytes = field(repr=False)
    """The body, by `vso.core.packing`."""
    owner_uid: str = ""
    """The uid of the owner reference, for metadata-only records of Secrets."""
    reference: str = ""
    """What `spec.vaultAuthRef` or `spec.vaultConnectionRef` says: whom a change wakes is asked far more often
    than anything else in the body."""
    defaults: tuple[str, ...] = ()
    """Where a VaultAuth looks for its VaultAuthGlobal, in that order, as references."""
    targets: tuple[str, ...] = ()
    """The rollout targets of a secret, each as `<kind>/<name>`."""
    foreign: bool = False
    """Whether the object is left to another operator, by its labels."""
    said: int = 0
    """A hash of the status: differs when somebody wrote it."""

    @property
    def body(self) -> bytes:
        """The object as JSON, without managedFields and kubectl's last-applied annotation."""
        return unpack(self.packed)
