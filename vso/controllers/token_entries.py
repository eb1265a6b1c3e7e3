"""A kept token as an entry of a Secret: what is written, and whether what is read was written by us.

Invariant: pure. An entry carries a keyed digest of its place and of everything in it; one that was
changed, moved or made by somebody else is a ValueError and nothing of it is used.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import orjson

from vso.core.sensitive import keyed_digest
from vso.vault.keeping import client_id

SHARDS = 4
SECRETS = tuple(f"vso-client-cache-{number}" for number in range(SHARDS))
"""The Secrets that hold the entries; an install makes them, empty."""
_PURPOSE = b"client-cache\0"
"""The key is that of every keyed digest of ours: no digest for another purpose passes for one of an entry."""


class Model(StrEnum):
    """How much of a token is kept."""

    UNSAID = ""
    """Nothing, and nothing is looked for either: most installs have no Secrets for it and no right to them."""
    NONE = "none"
    """Nothing, and what an earlier model has left is cleared."""
    ACCESSOR = "accessor"
    CLEAR = "direct-unencrypted"
    ENCRYPTED = "direct-encrypted"


@dataclass(frozen=True, slots=True)
class Entry:
    """One kept token; the repr shows neither it nor its accessor."""

    session: str
    provider_uid: str
    ttl: float
    accessor: str = field(repr=False)
    token: str = field(default="", repr=False)
    """In clear."""
    sealed: str = field(default="", repr=False)
    """Encrypted by Transit."""

    @property
    def id(self) -> str:
        """The key of the entry: what a status calls the token."""
        return client_id(self.accessor)

    def under(self, model: Model) -> Entry:
        """Return the entry with no more in it than the model keeps."""
        token = self.token if model is Model.CLEAR else ""
        return replace(self, token=token, sealed=self.sealed if model is Model.ENCRYPTED else "")

    def whole(self, model: Model) -> bool:
        """Tell whether it holds everything that the model keeps."""
        return bool({Model.CLEAR: self.token, Model.ENCRYPTED: self.sealed}.get(model, "accessor"))


def secret_of(name: str) -> str:
    """Return the Secret that an entry belongs into."""
    return SECRETS[int(name[:8], 16) % SHARDS]


def encode(entry: Entry, key: bytes) -> bytes:
    """Return the entry as it is written."""
    told = {
        "session": entry.session,
        "providerUID": entry.provider_uid,
        "ttl": entry.ttl,
        "accessor": entry.accessor,
        **({"token": entry.token} if entry.token else {}),
        **({"sealed": entry.sealed} if entry.sealed else {}),
    }
    return orjson.dumps({**told, "mac": _mac(told, key)})


def decode(place: tuple[str, str], raw: bytes, key: bytes) -> Entry:
    """Return the entry that stands in a Secret under a name; ValueError for what we have not put there."""
    told = orjson.loads(raw)
    mac = told.pop("mac", None) if isinstance(told, dict) else None
    if not isinstance(mac, str) or not hmac.compare_digest(mac.encode(), _mac(told, key).encode()):
        raise ValueError("it was not written by this operator, or was changed since")
    entry = Entry(
        told["session"],
        told["providerUID"],
        told["ttl"],
        told["accessor"],
        told.get("token", ""),
        told.get("sealed", ""),
    )
    if place != (secret_of(entry.id), entry.id):
        raise ValueError("it was moved")
    return entry


def _mac(told: dict[str, Any], key: bytes) -> str:
    return keyed_digest(key, _PURPOSE + orjson.dumps(told, option=orjson.OPT_SORT_KEYS))
