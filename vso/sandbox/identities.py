"""ServiceAccount tokens: signed, checked and named, as the API server does it.

Invariant: a token is good only while its ServiceAccount lives, with the uid that it was issued for.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from vso.core.clock import Clock
from vso.sandbox.objects import JsonObject, meta, timestamp
from vso.sandbox.rbac import MASTERS, User
from vso.sandbox.resources import SERVICE_ACCOUNTS
from vso.sandbox.storage import Ref, Storage

ISSUER = "https://kubernetes.default.svc.cluster.local"
_SHA256 = ec.ECDSA(hashes.SHA256())


class TokenError(Exception):
    """A token that proves nothing; the message says why, never the token."""


@dataclass(frozen=True, slots=True)
class Verified:
    """Whom a token proves, and for which of the audiences asked for."""

    user: User
    namespace: str
    service_account: str
    audiences: tuple[str, ...]


def _account_groups(namespace: str) -> tuple[str, ...]:
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Identities:
    """Signs and verifies; the admin's token is made anew at each start."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.admin_token = secrets.token_urlsafe(32)

    def authenticate(self, token: str) -> User:
        """Return who sends the bearer token."""
        if hmac.compare_digest(token.encode(), self.admin_token.encode()):
            return User("admin", (MASTERS, "system:authenticated"))
        return self.verify(token, (ISSUER,)).user

    def impersonate(self, user: User, wanted: str) -> User:
        """Return whom the administrator wants to be taken for; nobody else may."""
        if MASTERS not in user.groups:
            raise TokenError("only an administrator may impersonate")
        parts = wanted.split(":")
        if wanted.startswith("system:serviceaccount:") and len(parts) == 4:
            return User(wanted, _account_groups(parts[2]))
        return User(wanted, ("system:authenticated",))

    def mint(self, account: JsonObject, audiences: Sequence[str], seconds: int) -> tuple[str, str]:
        """Return a token of a ServiceAccount and when it expires."""
        now, found = self._clock.now(), meta(account)
        issued = int(now.timestamp())
        claims = {
            "aud": list(audiences) or [ISSUER],
            "exp": issued + seconds,
            "iat": issued,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": {
                "namespace": found["namespace"],
                "serviceaccount": {"name": found["name"], "uid": found["uid"]},
            },
            "nbf": issued,
            "sub": f"system:serviceaccount:{found['namespace']}:{found['name']}",
        }
        return self._sign(claims), timestamp(now + timedelta(seconds=seconds))

    def verify(self, token: str, audiences: Sequence[str]) -> Verified:
        """Return whom the token proves to one of the audiences."""
        claims = self._claims(token)
        if claims["exp"] <= self._clock.now().timestamp():
            raise TokenError("[invalid bearer token, service account token has expired]")
        common = tuple(audience for audience in audiences if audience in claims["aud"])
        if not common:
            wanted = " ".join(f'"{audience}"' for audience in audiences)
            found = " ".join(f'"{audience}"' for audience in claims["aud"])
            raise TokenError(f"token audiences [{found}] is invalid for the target audiences [{wanted}]")
        namespace, bound = claims["kubernetes.io"]["namespace"], claims["kubernetes.io"]["serviceaccount"]
        account = self._storage.get(Ref(SERVICE_ACCOUNTS.qualified, namespace, bound["name"]))
        if account is None or meta(account)["uid"] != bound["uid"]:
            raise TokenError("[invalid bearer token, service account token has been invalidated]")
        return Verified(User(claims["sub"], _account_groups(namespace), bound["uid"]), namespace, bound["name"], common)

    def _sign(self, claims: JsonObject) -> str:
        header = _encode(json.dumps({"alg": "ES256", "typ": "JWT"}).encode())
        text = f"{header}.{_encode(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._key.sign(text.encode(), _SHA256))
        return f"{text}.{_encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            text, _, signature = token.rpartition(".")
            raw = _decode(signature)
            der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
            self._key.public_key().verify(der, text.encode(), _SHA256)
            claims = json.loads(_decode(text.split(".")[1]))
        except (ValueError, IndexError, InvalidSignature):
            raise TokenError("invalid bearer token") from None
        return dict(claims)
