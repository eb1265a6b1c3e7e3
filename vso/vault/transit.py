"""Vault's Transit engine: bytes go in, ciphertext that only Vault can open comes out.

Invariant: the plaintext is a Sensitive on both sides of the wire and in no message.
"""

from __future__ import annotations

import base64
import binascii

from vso.core.errors import Reason, TransientError
from vso.core.sensitive import Sensitive
from vso.runtime.workqueue import Lane
from vso.vault.client import BodyValue, VaultRequest
from vso.vault.paths import join
from vso.vault.session import Session


async def encrypt(session: Session, mount: str, key: str, plain: Sensitive) -> str:
    """Return the ciphertext of the bytes under the key."""
    coded = Sensitive(base64.b64encode(plain.reveal()))
    return await _ask(session, join(mount, "encrypt", key), {"name": key, "plaintext": coded}, "ciphertext")


async def decrypt(session: Session, mount: str, key: str, ciphertext: str) -> Sensitive:
    """Return the bytes that were encrypted under the key."""
    path = join(mount, "decrypt", key)
    coded = await _ask(session, path, {"name": key, "ciphertext": ciphertext}, "plaintext")
    try:
        return Sensitive(base64.b64decode(coded, validate=True))
    except binascii.Error:
        pass
    raise _no_such(path, "plaintext")


async def _ask(session: Session, path: str, body: dict[str, BodyValue], wanted: str) -> str:
    answer, _ = await session.send(VaultRequest("PUT", path, body=body, lane=Lane.URGENT))
    data = answer.body.get("data")
    found = data.get(wanted) if isinstance(data, dict) else None
    if not isinstance(found, str) or not found:
        raise _no_such(path, wanted)
    return found


def _no_such(path: str, wanted: str) -> TransientError:
    return TransientError(Reason.VAULT_ANSWER_INVALID, f"Vault's answer to {path} holds no {wanted}")
