"""Vault's tokens: their policies, how long they live, and who dies with whom.

Invariant: an expired or spent token is gone at the next look at it, and its children with it.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from vso.core.clock import Clock
from vso.sandbox.objects import JsonObject, timestamp
from vso.sandbox.vault_types import InvalidRequestError, capped

SYSTEM_MAX_TTL = 2_764_800.0


@dataclass(frozen=True, slots=True)
class Grant:
    """What a new token is to be."""

    policies: tuple[str, ...]
    display_name: str
    path: str
    ttl: float = 0.0
    max_ttl: float = 0.0
    num_uses: int = 0
    renewable: bool = True
    metadata: Mapping[str, str] = field(default_factory=dict)
    parent: str = ""
    explicit_max: bool = False
    entity_id: str = ""
    period: float = 0.0
    batch: bool = False

    @property
    def kind(self) -> str:
        """The type of the token."""
        return "batch" if self.batch else "service"


@dataclass(slots=True)
class Token:
    """A token that was issued; the repr does not show it."""

    id: str = field(repr=False)
    accessor: str
    grant: Grant
    issued: float
    created: str
    created_at: int
    expires: float
    ttl: float
    uses_left: int
    renewed: datetime | None = None

    @property
    def limit(self) -> float:
        """The monotonic second that no renewal can pass."""
        return self.issued + (self.grant.max_ttl or (math.inf if self.grant.period else SYSTEM_MAX_TTL))


class TokenStore:
    """All tokens that live."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[str, Token] = {}

    def __len__(self) -> int:
        return len(self._tokens)

    def issue(self, grant: Grant, token_id: str = "") -> Token:
        """Issue a token; a ttl of zero means for ever."""
        now, wall = self._clock.monotonic(), self._clock.now()
        ttl = min(grant.ttl, grant.max_ttl or SYSTEM_MAX_TTL)
        token = Token(
            id=token_id or f"{'hvb' if grant.batch else 'hvs'}.{secrets.token_urlsafe(18)}",
            accessor="" if grant.batch else secrets.token_urlsafe(18),
            grant=grant,
            issued=now,
            created=timestamp(wall, micro=True),
            created_at=int(wall.timestamp()),
            expires=now + ttl if ttl else math.inf,
            ttl=ttl,
            uses_left=grant.num_uses,
        )
        self._tokens[token.id] = token
        return token

    def find(self, token_id: str) -> Token | None:
        """Return the token if it lives."""
        token = self._tokens.get(token_id)
        if token is not None and token.expires <= self._clock.monotonic():
            self.revoke(token_id)
            return None
        return token

    def spend(self, token: Token) -> None:
        """Count one use; the last one ends the token."""
        if token.grant.num_uses:
            token.uses_left -= 1
            if token.uses_left <= 0:
                self.revoke(token.id)

    def by_accessor(self, accessor: str) -> Token | None:
        """Return the living token that the accessor belongs to."""
        found = next((token.id for token in self._tokens.values() if token.accessor == accessor), "")
        return self.find(found)

    def accessors(self) -> list[str]:
        """Return the accessors of all living tokens."""
        return sorted(token.accessor for token in self._living() if token.accessor)

    def renew(self, token: Token, increment: float) -> tuple[str, ...]:
        """Let the token live on from now, never past its limit; return the warnings."""
        if token.grant.batch:
            raise InvalidRequestError("batch tokens cannot be renewed")
        if not token.grant.renewable or math.isinf(token.expires):
            raise InvalidRequestError("lease is not renewable")
        now, limit = self._clock.monotonic(), token.limit
        wanted = token.grant.period or increment or token.grant.ttl
        token.ttl, warnings = (wanted, ()) if math.isinf(limit) else capped(wanted, limit - now)
        token.expires, token.renewed = now + token.ttl, self._clock.now()
        return warnings

    def revoke(self, token_id: str) -> None:
        """End the token and its children."""
        self._tokens.pop(token_id, None)
        for child in [t.id for t in self._tokens.values() if t.grant.parent == token_id]:
            self.revoke(child)

    def _living(self) -> list[Token]:
        return [token for name in list(self._tokens) if (token := self.find(name)) is not None]

    def remaining(self, token: Token) -> int:
        """Return the seconds left, zero for a token without end."""
        return 0 if math.isinf(token.expires) else math.ceil(token.expires - self._clock.monotonic())

    def auth(self, token: Token) -> JsonObject:
        """Return the `auth` block of a login, a creation or a renewal."""
        grant = token.grant
        return {
            "client_token": token.id,
            "accessor": token.accessor,
            "policies": list(grant.policies),
            "token_policies": list(grant.policies),
            "metadata": dict(grant.metadata) or None,
            "lease_duration": self.remaining(token),
            "renewable": grant.renewable and bool(grant.ttl),
            "entity_id": grant.entity_id,
            "token_type": grant.kind,
            "orphan": not grant.parent,
            "mfa_requirement": None,
            "num_uses": grant.num_uses,
        }

    def lookup(self, token: Token) -> JsonObject:
        """Return what lookup-self says."""
        grant, left = token.grant, self.remaining(token)
        return {
            "accessor": token.accessor,
            "creation_time": token.created_at,
            "creation_ttl": int(min(grant.ttl, grant.max_ttl or SYSTEM_MAX_TTL)),
            "display_name": grant.display_name,
            "entity_id": grant.entity_id,
            "expire_time": timestamp(self._clock.now() + timedelta(seconds=left), micro=True) if left else None,
            "explicit_max_ttl": int(grant.max_ttl) if grant.explicit_max else 0,
            "id": token.id,
            "meta": dict(grant.metadata) or None,
            "num_uses": token.uses_left,
            "orphan": not grant.parent,
            "path": grant.path,
            "policies": list(grant.policies),
            "ttl": left,
            "type": grant.kind,
        } | self._lookup_more(token)

    def _lookup_more(self, token: Token) -> JsonObject:
        grant = token.grant
        found: JsonObject = {"issue_time": token.created, "renewable": grant.renewable} if grant.ttl else {}
        if grant.period:
            found["period"] = int(grant.period)
        if token.renewed is not None:
            moment = timestamp(token.renewed, micro=True)
            found |= {"last_renewal": moment, "last_renewal_time": int(token.renewed.timestamp())}
        return found
