"""Vault's leases: how long what an engine made may live, and `sys/leases/`.

Invariant: a lease ends with its own life or with the token that it was issued to, whichever is first; what was made
for it is undone by the next request at the latest, or stays, expired, until its backend can undo it.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import string
from dataclasses import dataclass, replace
from datetime import timedelta

from vso.core.clock import Clock
from vso.sandbox.engines import listing
from vso.sandbox.objects import JsonObject, timestamp
from vso.sandbox.vault_tokens import SYSTEM_MAX_TTL, Token, TokenStore
from vso.sandbox.vault_types import (
    UNSUPPORTED_OPERATION,
    UNSUPPORTED_PATH,
    Answer,
    BackendError,
    InvalidRequestError,
    Made,
    VaultRefusalError,
    VaultRequest,
    capped,
    seconds,
)

_LETTERS = string.ascii_letters + string.digits


@dataclass(slots=True)
class _Lease:
    id: str
    made: Made
    holder: Token
    issued: float
    expires: float
    renewed: float | None = None


class Leases:
    """All leases that are not revoked yet."""

    def __init__(self, clock: Clock, tokens: TokenStore) -> None:
        self._clock = clock
        self._tokens = tokens
        self._leases: dict[str, _Lease] = {}
        self._origin = clock.now() - timedelta(seconds=clock.monotonic())

    def grant(self, path: str, answer: Answer, made: Made, holder: Token) -> Answer:
        """Put what an engine made for a token under a lease."""
        lease_id = f"{path}/{''.join(secrets.choice(_LETTERS) for _ in range(24))}"
        now = self._clock.monotonic()
        lease = self._leases[lease_id] = _Lease(lease_id, made, holder, now, now)
        granted, warnings = self._prolong(lease, 0.0)
        return replace(answer, made=None, lease_id=lease_id, lease_duration=granted, warnings=warnings)

    def sweep(self) -> None:
        """End the leases whose life is over or whose token is gone; a failing backend is asked again next time."""
        now = self._clock.monotonic()
        for lease in list(self._leases.values()):
            if self._tokens.find(lease.holder.id) is not lease.holder:
                lease.expires = min(lease.expires, now)
            if lease.expires <= now:
                with contextlib.suppress(VaultRefusalError):
                    self._revoke(lease)

    def revoke_below(self, prefix: str) -> None:
        """Revoke the leases of a mount or of a role, up to the first that fails."""
        prefix = f"{prefix.rstrip('/')}/"
        for lease in [lease for lease in self._leases.values() if lease.id.startswith(prefix)]:
            self._revoke(lease)

    def handle(self, request: VaultRequest, path: str) -> Answer:
        """Answer a request below sys/leases/; an id may be in the path or in the body."""
        verb, _, rest = path.partition("/")
        if request.operation == "list" and verb == "lookup":
            return listing(list(self._leases), rest)
        if verb not in ("lookup", "renew", "revoke", "revoke-prefix"):
            raise VaultRefusalError(404, UNSUPPORTED_PATH)
        if request.operation != "update":
            raise VaultRefusalError(405, UNSUPPORTED_OPERATION)
        if verb == "revoke-prefix":
            self.revoke_below(rest)
            return Answer()
        lease_id = str(request.body.get("lease_id") or rest)
        if not lease_id:
            raise InvalidRequestError("lease_id must be specified")
        return self._about(verb, self._leases.get(lease_id), seconds(request.body.get("increment")))

    def _about(self, verb: str, lease: _Lease | None, increment: float) -> Answer:
        match verb, lease:
            case "lookup", _Lease():
                return Answer(self._lookup(lease))
            case "renew", _Lease():
                return self._renew(lease, increment)
            case "revoke", _Lease():
                self._revoke(lease)
            case "lookup", _:
                raise InvalidRequestError("invalid lease")
            case "renew", _:
                raise InvalidRequestError("lease not found")
        return Answer()

    def _renew(self, lease: _Lease, increment: float) -> Answer:
        if self._expired(lease):
            raise InvalidRequestError("lease expired")
        try:
            lease.made.renew()
        except BackendError as error:
            text = f"failed to renew entry: resp: (*logical.Response)(nil) err: 1 error occurred:\n\t* {error}\n\n"
            raise InvalidRequestError(text) from None
        lease.renewed = self._clock.monotonic()
        granted, warnings = self._prolong(lease, increment)
        return Answer(lease_id=lease.id, lease_duration=granted, warnings=warnings)

    def _prolong(self, lease: _Lease, increment: float) -> tuple[int, tuple[str, ...]]:
        """Let the lease live on from now: never past its longest life, nor, under a batch token, past the token's."""
        now, made = self._clock.monotonic(), lease.made
        longest = lease.issued + (made.max_ttl or SYSTEM_MAX_TTL)
        life, warnings = capped(increment or made.ttl or SYSTEM_MAX_TTL, longest - now)
        if lease.holder.grant.batch:
            life = min(life, lease.holder.expires - now)
        lease.expires = now + life
        return int(life), warnings

    def _revoke(self, lease: _Lease) -> None:
        try:
            lease.made.revoke()
        except BackendError as error:
            text = f"failed to revoke entry: resp: (*logical.Response)(nil) err: {error}"
            raise InvalidRequestError(text) from None
        self._leases.pop(lease.id, None)

    def _expired(self, lease: _Lease) -> bool:
        return lease.expires <= self._clock.monotonic()

    def _lookup(self, lease: _Lease) -> JsonObject:
        now = self._clock.monotonic()
        return {
            "id": lease.id,
            "issue_time": self._wall(lease.issued),
            "expire_time": self._wall(lease.expires),
            "last_renewal": None if lease.renewed is None else self._wall(lease.renewed),
            "renewable": not self._expired(lease),
            "ttl": math.trunc(lease.expires - now),
        }

    def _wall(self, monotonic: float) -> str:
        return timestamp(self._origin + timedelta(seconds=monotonic), micro=True)
