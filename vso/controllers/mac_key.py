"""The key of every `status.secretMAC`: a Secret of 16 random bytes in the operator's namespace.

Invariant: a key that is there is used as it is (the reference operator writes the same Secret), so
switching between the two changes no MAC; it is made only when it is missing, and never replaced.
"""

from __future__ import annotations

import base64
import binascii
import secrets

from vso.core.errors import Reason, TerminalError
from vso.core.sensitive import Sensitive
from vso.kube.client import KubeClient
from vso.kube.errors import AlreadyExistsError, NotFoundError
from vso.kube.json import JsonObject, child
from vso.kube.paths import secret_path

NAME = "vso-cc-storage-hmac-key"
LENGTH = 16
_LABELS = {
    "app.kubernetes.io/name": "vault-secrets-operator",
    "app.kubernetes.io/managed-by": "hashicorp-vso",
    "app.kubernetes.io/component": "client-cache-storage-verification",
}


async def load_mac_key(client: KubeClient, namespace: str) -> Sensitive:
    """Return the key, making it when there is none; two operators that race agree on the first."""
    try:
        return _key_of(await client.get(secret_path(namespace, NAME)), namespace)
    except NotFoundError:
        made = Sensitive(secrets.token_bytes(LENGTH))
    try:
        await client.create(secret_path(namespace), _manifest(namespace, made), metadata_only=True)
    except AlreadyExistsError:
        return _key_of(await client.get(secret_path(namespace, NAME)), namespace)
    return made


def _manifest(namespace: str, key: Sensitive) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAME, "namespace": namespace, "labels": _LABELS},
        "immutable": True,
        "data": {"key": base64.b64encode(key.reveal()).decode()},
    }


def _key_of(secret: JsonObject, namespace: str) -> Sensitive:
    try:
        key = base64.b64decode(str(child(secret, "data").get("key", "")), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != LENGTH:
        raise TerminalError(
            Reason.INVALID_SPEC,
            f"Secret {namespace}/{NAME} must hold {LENGTH} bytes under 'key'; delete it to have it made anew",
        )
    return Sensitive(key)
