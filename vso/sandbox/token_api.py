"""Vault's token store as an API: `auth/token/`.

Invariant: an accessor renews, shows and ends its token, and never tells its id.
"""

from __future__ import annotations

from dataclasses import replace

from vso.sandbox.policies import ROOT
from vso.sandbox.vault_tokens import Grant, Token, TokenStore
from vso.sandbox.vault_types import (
    INVALID_TOKEN,
    UNSUPPORTED_PATH,
    Answer,
    InvalidRequestError,
    VaultRefusalError,
    VaultRequest,
    seconds,
    words,
)


def handle_token(store: TokenStore, request: VaultRequest, path: str, token: Token) -> Answer:
    """Answer a request below auth/token/."""
    match path:
        case "lookup-self":
            return Answer(store.lookup(token))
        case "renew-self":
            warnings = store.renew(token, seconds(request.body.get("increment")))
            return Answer(auth=store.auth(token), warnings=warnings)
        case "revoke-self":
            if token.grant.batch:
                raise InvalidRequestError("batch tokens cannot be revoked")
            store.revoke(token.id)
            return Answer()
        case "create" | "create-orphan":
            return Answer(auth=store.auth(store.issue(_child(request, token, orphan=path != "create"))))
        case "lookup" | "renew" | "revoke":
            other = store.find(str(request.body.get("token") or token.id))
            if other is None:
                raise VaultRefusalError(403, INVALID_TOKEN if path == "lookup" else "bad token")
            return handle_token(store, request, f"{path}-self", other)
        case "lookup-accessor" | "renew-accessor" | "revoke-accessor":
            return _by_accessor(store, request, path.removesuffix("-accessor"))
        case "accessors/" if request.operation == "list":
            return Answer({"keys": store.accessors()})
        case _:
            raise VaultRefusalError(404, UNSUPPORTED_PATH)


def _by_accessor(store: TokenStore, request: VaultRequest, verb: str) -> Answer:
    accessor = str(request.body.get("accessor") or "")
    other = store.by_accessor(accessor) if accessor else None
    if other is None:
        if accessor and verb == "revoke":
            return Answer(warnings=("No token found with this accessor",))
        error = "invalid accessor" if accessor else "missing accessor"
        raise InvalidRequestError(f"1 error occurred:\n\t* {error}\n\n")
    answer = handle_token(store, request, f"{verb}-self", other)
    if answer.data is not None:
        return replace(answer, data=answer.data | {"id": ""})
    return answer if answer.auth is None else replace(answer, auth=answer.auth | {"client_token": ""})


def _child(request: VaultRequest, parent: Token, *, orphan: bool) -> Grant:
    body = request.body
    policies = set(words(body.get("policies"))) or set(parent.grant.policies)
    if not body.get("no_default_policy") and ROOT not in policies:
        policies.add("default")
    limit, period = seconds(body.get("explicit_max_ttl")), seconds(body.get("period"))
    batch = body.get("type") == "batch"
    return Grant(
        policies=tuple(sorted(policies)),
        display_name="-".join(filter(None, ("token", str(body.get("display_name") or "")))),
        path=f"auth/token/{'create-orphan' if orphan else 'create'}",
        ttl=period or seconds(body.get("ttl")) or (0.0 if ROOT in policies else 2_764_800.0),
        max_ttl=limit,
        num_uses=int(body.get("num_uses") or 0),
        renewable=bool(body.get("renewable", True)) and not batch,
        metadata=dict(body.get("meta") or {}),
        parent="" if orphan or body.get("no_parent") else parent.id,
        explicit_max=bool(limit),
        period=period,
        batch=batch,
    )
