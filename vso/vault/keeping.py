"""What is kept, beyond the life of this process, of a token that leases hang on.

Owns the value and what is asked of the place where it is kept. Invariant: a kept token goes back to a
session equal to the one that logged in for it, and to no other; the repr shows neither token nor accessor.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

from vso.core.errors import VsoError
from vso.core.sensitive import Sensitive


def client_id(accessor: str) -> str:
    """Return what a status calls the token with that accessor; empty for a token without one."""
    return hashlib.blake2b(accessor.encode(), digest_size=32).hexdigest() if accessor else ""


@dataclass(frozen=True, slots=True)
class KeptToken:
    """A token, or at least its accessor."""

    session: str
    """Which session logged in for it: `SessionKey.told`."""
    provider_uid: str
    ttl: float
    """Seconds, as granted by the login: a renewal that grants less is the last one."""
    accessor: str = field(repr=False)
    token: Sensitive | None = field(default=None, repr=False)
    """None where it cannot be had: then the accessor has to do."""

    @property
    def id(self) -> str:
        """What a status calls it."""
        return client_id(self.accessor)


class Shelf(Protocol):
    """Where tokens are kept; nothing here raises, and nobody waits long."""

    async def put(self, kept: KeptToken) -> bool:
        """Keep the token; False asks for another try later."""
        ...

    async def find(self, name: str, session: str) -> KeptToken | None:
        """Return the token of that session that a status calls so."""
        ...

    async def drop(self, name: str, *, ended: bool) -> None:
        """Nothing of this process hangs on the token any more, or it has ended."""
        ...

    def not_restored(self, session: str, error: VsoError) -> None:
        """Hear why a token that was kept is of no use."""
        ...


class NoShelf:
    """Keeps nothing."""

    async def put(self, kept: KeptToken) -> bool:
        """Pretend."""
        del kept
        return True

    async def find(self, name: str, session: str) -> KeptToken | None:
        """Find nothing."""
        del name, session
        return None

    async def drop(self, name: str, *, ended: bool) -> None:
        """Have nothing to drop."""

    def not_restored(self, session: str, error: VsoError) -> None:
        """Never hear of any."""
