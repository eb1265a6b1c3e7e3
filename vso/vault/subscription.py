"""An open websocket, as whoever hears it needs it.

Invariant: it stays open when its token gets a successor; `current` says that it is to be opened anew then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vso.vault.channel import Channel


@dataclass(frozen=True)
class Subscription:
    """An open websocket and whether the token that it was opened under is still the session's."""

    channel: Channel
    _holds: Callable[[], bool] = field(repr=False)

    @property
    def current(self) -> bool:
        """Whether the token is still the session's, and not yet to be replaced."""
        return self._holds()
