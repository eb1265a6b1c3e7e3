"""The method generic: any login endpoint, with a body of the user's own.

Invariant: what comes from a Secret wins over a plain field of the same name, so that no plain text stands
in for a secret by mistake.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from vso.core.sensitive import Sensitive
from vso.vault.auth.entries import entry
from vso.vault.way import Reads, SecretData, Shown, Visit, Way


@dataclass(frozen=True, slots=True)
class FromSecret:
    """One field of the body, and the entry of a Secret that it is."""

    field: str
    secret: str
    key: str


@dataclass(frozen=True)
class GenericWay(Way):
    """A body of plain fields and of secret ones."""

    body: tuple[tuple[str, str], ...] = ()
    body_from: tuple[FromSecret, ...] = ()

    @property
    def reads(self) -> Reads:
        """The Secrets with the fields that are secret, each once."""
        return Reads(tuple(dict.fromkeys(part.secret for part in self.body_from)))

    async def show(self, visit: Visit) -> Shown:
        """Read each Secret once, and put the body together."""
        body: dict[str, str | Sensitive] = dict(self.body)
        found: dict[str, SecretData] = {}
        for part in self.body_from:
            if part.secret not in found:
                found[part.secret] = await visit.sources.secret(visit.config.consumer, part.secret)
            body[part.field] = entry(found[part.secret], part.key)
        told = ",".join(f"{data.uid}@{data.version}" for _, data in sorted(found.items()))
        first = next(iter(found.values()), None)
        source = hashlib.blake2b(told.encode(), digest_size=8).hexdigest() if told else "spec"
        return Shown(body, source=source, uid="" if first is None else first.uid)
