"""What the adapter tells whoever counts.

Invariant: only names, kinds of operation, durations and outcomes; never a path, a token or a value.
"""

from __future__ import annotations

from typing import Protocol


class VaultObserver(Protocol):
    """Receives one call per thing that happened; must return at once and never raise."""

    def request(self, connection: str, operation: str, seconds: float, *, ok: bool) -> None:
        """One HTTP request ended; `operation` is login, renew, read, write, revoke, subscribe or health."""
        ...

    def breaker(self, connection: str, *, is_open: bool) -> None:
        """The circuit breaker of a connection opened or closed."""
        ...

    def login(self, auth: str, *, ok: bool) -> None:
        """A login under a VaultAuth ended; not ok means that Vault refused it."""
        ...


class SilentObserver:
    """Counts nothing."""

    def request(self, connection: str, operation: str, seconds: float, *, ok: bool) -> None:
        """Ignore it."""

    def breaker(self, connection: str, *, is_open: bool) -> None:
        """Ignore it."""

    def login(self, auth: str, *, ok: bool) -> None:
        """Ignore it."""
