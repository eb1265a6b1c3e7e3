"""What there is to see at one moment, read through the API server as any user would.

Invariant: a Secret's values are here only as Sensitive; what is shown are its keys.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vso.api.meta import Condition
from vso.api.secrets import VaultDynamicSecret, VaultStaticSecret
from vso.core.sensitive import Sensitive

Object = Mapping[str, Any]


@dataclass(frozen=True)
class SecretSeen:
    """The Kubernetes Secret."""

    uid: str
    resource_version: str
    values: Mapping[str, Sensitive]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys, sorted."""
        return tuple(sorted(self.values))

    def holds(self, expected: Mapping[str, str]) -> bool:
        """Tell whether the data is exactly that."""
        return {key: value.reveal() for key, value in self.values.items()} == {
            key: text.encode() for key, text in expected.items()
        }


@dataclass(frozen=True)
class EventSeen:
    """One event about one of the example's objects."""

    at: str
    type: str
    reason: str
    about: str
    message: str
    count: int


@dataclass(frozen=True)
class Picture:
    """The example at one moment."""

    intent: VaultStaticSecret | None = None
    secret: SecretSeen | None = None
    events: tuple[EventSeen, ...] = ()
    leader: str = ""
    sealed: bool | None = None
    """None while there is no Vault."""
    lease: VaultDynamicSecret | None = None
    credentials: SecretSeen | None = None
    """The Secret of the dynamic one."""
    users: tuple[str, ...] = ()
    """Those that the database has."""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What the object's status says."""
        return () if self.intent is None else self.intent.status.conditions

    def condition(self, type_: str) -> Condition | None:
        """Return one condition, if it is there and about the object as it is now."""
        found = next((c for c in self.conditions if c.type == type_), None)
        current = self.intent is not None and self.intent.status.observed_generation == self.intent.metadata.generation
        return found if current else None

    def says(self, type_: str, status: str, reason: str = "") -> bool:
        """Tell whether a condition has that status, and that reason when one is given."""
        found = self.condition(type_)
        return found is not None and found.status == status and reason in {"", found.reason}


def secret_seen(body: Object) -> SecretSeen:
    """Return what matters of a Secret."""
    metadata = body["metadata"]
    data: Mapping[str, str] = body.get("data") or {}
    values = {key: Sensitive(base64.b64decode(text)) for key, text in data.items()}
    return SecretSeen(metadata["uid"], metadata["resourceVersion"], values)


def events_seen(body: Object) -> tuple[EventSeen, ...]:
    """Return the events of a list, oldest first."""
    found = [
        EventSeen(
            at=str(item.get("lastTimestamp") or item.get("firstTimestamp") or ""),
            type=item.get("type", ""),
            reason=item.get("reason", ""),
            about=f"{item['involvedObject'].get('kind', '')} {item['involvedObject'].get('name', '')}",
            message=item.get("message", ""),
            count=item.get("count") or 1,
        )
        for item in body.get("items", ())
    ]
    return tuple(sorted(found, key=lambda event: event.at))
