"""What a login yields.

Invariant: the repr shows neither the token nor its accessor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from vso.core.errors import Reason, TransientError
from vso.core.numbers import JsonNumber
from vso.core.sensitive import Sensitive
from vso.vault.json import JsonObject


@dataclass(frozen=True, slots=True)
class Token:
    """A Vault token and what Vault said about it."""

    token: Sensitive
    accessor: str = field(default="", repr=False)
    ttl: float = math.inf
    """Seconds; a token without a lease duration does not end."""
    renewable: bool = False
    policies: tuple[str, ...] = ()
    type: str = "service"
    num_uses: int = 0
    """How many requests it is good for; 0 is without limit."""

    @property
    def life(self) -> float:
        """Seconds; 0 where nobody can tell: one that was given and may not look at itself has not even an accessor."""
        return 0.0 if math.isinf(self.ttl) and not self.accessor else self.ttl

    @property
    def cautions(self) -> tuple[str, ...]:
        """What its role's administrator should know: it works, at a price."""
        found = []
        if self.num_uses:
            found.append(f"a token is good for {self.num_uses} requests (token_num_uses): logins are that frequent")
        if self.type == "batch":
            found.append(
                "tokens are of type batch: they are neither renewed nor revoked, and their leases end with them"
            )
        elif self.policies and "default" not in self.policies:
            found.append(
                "tokens come without the policy default (token_no_default_policy): "
                "they are not revoked at the end but run out"
            )
        return tuple(found)


def token_from(body: JsonObject, path: str, *, nameless: bool = False) -> Token:
    """Return the token in the `auth` block of an answer; one that was asked about by its accessor may be nameless."""
    auth = body.get("auth")
    name = auth.get("client_token") if isinstance(auth, dict) else None
    if not isinstance(auth, dict) or not isinstance(name, str) or not (name or nameless):
        raise TransientError(Reason.VAULT_ANSWER_INVALID, f"Vault's answer to {path} holds no token")
    policies = auth.get("token_policies") or auth.get("policies") or []
    return Token(
        token=Sensitive.of(name),
        accessor=str(auth.get("accessor") or ""),
        ttl=_number(auth.get("lease_duration")) or math.inf,
        renewable=auth.get("renewable") is True,
        policies=tuple(str(policy) for policy in policies),
        type=str(auth.get("token_type") or "service"),
        num_uses=int(_number(auth.get("num_uses"))),
    )


def token_looked_up(body: JsonObject, token: Sensitive) -> Token:
    """Return what auth/token/lookup-self tells of the token that asked."""
    data = body.get("data")
    if not isinstance(data, dict):
        raise TransientError(Reason.VAULT_ANSWER_INVALID, "Vault's answer to auth/token/lookup-self holds no data")
    return Token(
        token=token,
        accessor=str(data.get("accessor") or ""),
        ttl=_number(data.get("ttl")) or math.inf,
        renewable=data.get("renewable") is True,
        policies=tuple(str(policy) for policy in data.get("policies") or ()),
        type=str(data.get("type") or "service"),
        num_uses=int(_number(data.get("num_uses"))),
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, JsonNumber) else 0.0
