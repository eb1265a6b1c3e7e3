"""The method cert: the client certificate of the TLS connection.

Invariant: the certificate is shown by the connection itself; nothing of it is in the request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vso.core.errors import ConfigError, Reason
from vso.vault.way import Reads, Shown, Visit, Way


@dataclass(frozen=True)
class CertificateWay(Way):
    """A role of the method, and whose certificate is shown."""

    name: str = ""
    secret: str = ""
    """TLS Secret of the consumer; empty for the VaultConnection's certificate."""

    RESERVED: ClassVar[frozenset[str]] = frozenset({"name"})

    @property
    def who(self) -> str:
        """The role, if one is asked for."""
        return f"role {self.name!r}" if self.name else "the client certificate"

    @property
    def personal(self) -> bool:
        """The connection's certificate is everybody's."""
        return bool(self.secret)

    @property
    def reads(self) -> Reads:
        """The TLS Secret, which is read for the connection that shows it."""
        return Reads((self.secret,)) if self.secret else Reads()

    async def show(self, visit: Visit) -> Shown:
        """Show the name alone."""
        shown = visit.client.config.tls.fingerprint
        if not shown:
            raise ConfigError(
                Reason.INVALID_SPEC,
                f"VaultAuth {visit.config.name}: method cert needs spec.cert.secretRef, or a client certificate "
                f"of VaultConnection {visit.client.config.name}",
            )
        return Shown({"name": self.name} if self.name else {}, source=shown)
