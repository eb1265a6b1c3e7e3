"""Vault's kubernetes auth method, asking the sandbox's own API server to review tokens.

Invariant: refusals have the status and the words of the real method.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Callable
from fnmatch import fnmatchcase

from vso.sandbox.engines import NOT_FOUND, listing
from vso.sandbox.objects import JsonObject, dig
from vso.sandbox.vault_tokens import SYSTEM_MAX_TTL, Grant
from vso.sandbox.vault_types import PERMISSION_DENIED, Answer, VaultRefusalError, VaultRequest, seconds, words

Review = Callable[[str, list[str]], JsonObject]


class KubernetesAuth:
    """Roles, and the judgement of a login."""

    kind = "kubernetes"

    def __init__(self, mount: str, review: Review) -> None:
        self._mount = mount
        self._review = review
        self._config: JsonObject = {}
        self._roles: dict[str, JsonObject] = {}

    def exists(self, path: str) -> bool:
        """Tell whether a write there is an update."""
        return path.removeprefix("role/") in self._roles

    def handle(self, request: VaultRequest, path: str) -> Answer:
        """Answer a request for configuration; the path is below the mount."""
        head, _, name = path.partition("/")
        match head, request.operation:
            case "config", "read":
                return Answer(self._config)
            case "config", "create" | "update":
                self._config.update(request.body)
                return Answer()
            case "role", "list":
                return listing(list(self._roles), "")
            case "role", "read" if name in self._roles:
                return Answer(self._roles[name])
            case "role", "create" | "update" if name:
                self._configure(name, dict(request.body))
                return Answer()
            case "role", "delete":
                self._roles.pop(name, None)
                return Answer()
            case _:
                raise NOT_FOUND

    def login(self, request: VaultRequest) -> Grant:
        """Return what the JWT is granted by the role, or refuse."""
        jwt, name = str(request.body.get("jwt") or ""), str(request.body.get("role") or "")
        if not jwt or not name:
            raise VaultRefusalError(400, "missing jwt" if not jwt else "missing role")
        role = self._roles.get(name)
        if role is None:
            raise VaultRefusalError(400, f'invalid role name "{name}"')
        claims = _claims(jwt)
        namespace = str(dig(claims, "kubernetes.io", "namespace"))
        account = dig(claims, "kubernetes.io", "serviceaccount") or {}
        self._check(role, claims, namespace, str(account.get("name")))
        status = self._review(jwt, [role["audience"]] if role.get("audience") else list(claims.get("aud") or ()))
        if not status.get("authenticated"):
            raise VaultRefusalError(403, PERMISSION_DENIED.strip().removeprefix("1 error occurred:\n\t* "))
        return _grant(self._mount, name, role, (namespace, str(account.get("name")), str(account.get("uid"))))

    def _configure(self, name: str, body: JsonObject) -> None:
        role = self._roles.get(name, {}) | body
        for key in ("bound_service_account_names", "bound_service_account_namespaces"):
            role[key] = words(role.get(key))
            if not role[key]:
                raise VaultRefusalError(400, f'"{key}" can not be empty')
        for key in ("token_ttl", "token_max_ttl", "token_num_uses", "token_period"):
            role[key] = int(seconds(role.get(key)))
        role["token_policies"] = words(role.pop("policies", None) or role.get("token_policies"))
        self._roles[name] = role

    def _check(self, role: JsonObject, claims: JsonObject, namespace: str, account: str) -> None:
        if role.get("audience") and role["audience"] not in words(claims.get("aud")):
            text = "invalid audience (aud) claim: audience claim does not match any expected audience"
            raise VaultRefusalError(403, text)
        if not any(fnmatchcase(namespace, bound) for bound in role["bound_service_account_namespaces"]):
            raise VaultRefusalError(403, "namespace not authorized")
        if not any(fnmatchcase(account, bound) for bound in role["bound_service_account_names"]):
            raise VaultRefusalError(403, "service account name not authorized")


def _claims(jwt: str) -> JsonObject:
    try:
        payload = jwt.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, binascii.Error):
        found = None
    if not isinstance(found, dict):
        raise VaultRefusalError(403, "permission denied")
    return found


def _grant(mount: str, name: str, role: JsonObject, account: tuple[str, str, str]) -> Grant:
    namespace, service_account, uid = account
    policies = set(role["token_policies"])
    if str(role.get("token_no_default_policy")).lower() != "true":
        policies.add("default")
    limit = float(role["token_max_ttl"]) or SYSTEM_MAX_TTL
    batch = role.get("token_type") == "batch"
    return Grant(
        policies=tuple(sorted(policies)),
        display_name=f"{mount.rstrip('/').replace('/', '-')}-{namespace}-{service_account}",
        path=f"auth/{mount}login",
        ttl=min(float(role["token_period"] or role["token_ttl"]) or SYSTEM_MAX_TTL, limit),
        max_ttl=limit,
        num_uses=role["token_num_uses"],
        renewable=not batch,
        period=float(role["token_period"]),
        batch=batch,
        entity_id=str(uuid.uuid5(uuid.NAMESPACE_URL, uid)),
        metadata={
            "role": name,
            "service_account_name": service_account,
            "service_account_namespace": namespace,
            "service_account_secret_name": "",
            "service_account_uid": uid,
        },
    )
