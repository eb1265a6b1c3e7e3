"""Short-lived ServiceAccount tokens, by TokenRequest.

Invariant: a minted token is handed over as a Sensitive and never kept; the ServiceAccount's uid is
read from the token itself, so that no right to read ServiceAccounts is needed.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime

from vso.core.errors import ConfigError, Reason, TransientError
from vso.core.sensitive import Sensitive
from vso.kube.client import KubeClient
from vso.kube.errors import NotFoundError
from vso.kube.json import JsonObject, child, decode_object
from vso.kube.paths import service_account_path


@dataclass(frozen=True, slots=True)
class MintedToken:
    """A token, whose ServiceAccount it is, and when it ends."""

    jwt: Sensitive
    uid: str
    expires: datetime


class TokenMinter:
    """Asks the API server for tokens of ServiceAccounts."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def mint(self, namespace: str, service_account: str, audiences: tuple[str, ...], seconds: int) -> MintedToken:
        """Return a fresh token; no audience means the API server's own."""
        spec: JsonObject = {"expirationSeconds": seconds}
        if audiences:
            spec["audiences"] = list(audiences)
        body: JsonObject = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        try:
            answer = await self._client.create(service_account_path(namespace, service_account, "token"), body)
        except NotFoundError:
            raise ConfigError(
                Reason.SERVICE_ACCOUNT_NOT_FOUND, f"ServiceAccount {namespace}/{service_account} does not exist"
            ) from None
        return _minted(child(answer, "status"), f"{namespace}/{service_account}")


def _minted(status: JsonObject, account: str) -> MintedToken:
    token, expires = status.get("token"), status.get("expirationTimestamp")
    if not isinstance(token, str) or not isinstance(expires, str):
        raise TransientError(
            Reason.KUBERNETES_UNAVAILABLE, f"the TokenRequest for ServiceAccount {account} was answered without a token"
        )
    return MintedToken(Sensitive.of(token), account_uid(token), datetime.fromisoformat(expires))


def account_uid(jwt: str) -> str:
    """Return the ServiceAccount's uid that the token's claims name; empty when they do not."""
    try:
        payload = jwt.split(".")[1]
        claims = decode_object(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return ""
    return str(child(claims, "kubernetes.io", "serviceaccount").get("uid", ""))
