"""The Transit engine as far as it encrypts and decrypts, with keys of the usual type and one version.

Invariant: a key never leaves the engine; a first encryption under a name makes its key, as in Vault.
"""

from __future__ import annotations

import base64
import binascii
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vso.sandbox.vault_types import UNSUPPORTED_PATH, Answer, VaultRefusalError, VaultRequest

_PREFIX = "vault:v1:"
_NONCE = 12


class Transit:
    """Keys, and what is done with them."""

    kind = "transit"
    version = ""

    def __init__(self) -> None:
        self._keys: dict[str, AESGCM] = {}

    def exists(self, path: str) -> bool:
        """Tell whether a request is an update: an encryption under a new name makes a key."""
        verb, _, name = path.partition("/")
        return verb != "encrypt" or name in self._keys

    def handle(self, request: VaultRequest, path: str) -> Answer:
        """Answer a request below the mount."""
        verb, _, name = path.partition("/")
        match verb:
            case "keys" | "encrypt" if name not in self._keys:
                self._keys[name] = AESGCM(AESGCM.generate_key(256))
                return self.handle(request, path)
            case "keys":
                return Answer({"name": name, "type": "aes256-gcm96", "latest_version": 1})
            case "encrypt":
                return Answer({"ciphertext": self._encrypt(name, request), "key_version": 1})
            case "decrypt":
                return Answer({"plaintext": self._decrypt(name, request)})
            case _:
                raise VaultRefusalError(404, UNSUPPORTED_PATH)

    def _encrypt(self, name: str, request: VaultRequest) -> str:
        try:
            plain = base64.b64decode(str(request.body.get("plaintext") or ""), validate=True)
        except binascii.Error:
            raise VaultRefusalError(400, "failed to base64-decode plaintext") from None
        nonce = secrets.token_bytes(_NONCE)
        return _PREFIX + base64.b64encode(nonce + self._keys[name].encrypt(nonce, plain, None)).decode()

    def _decrypt(self, name: str, request: VaultRequest) -> str:
        text = str(request.body.get("ciphertext") or "")
        if name not in self._keys:
            raise VaultRefusalError(400, "encryption key not found")
        if not text.startswith(_PREFIX):
            raise VaultRefusalError(400, "invalid ciphertext: no prefix")
        try:
            raw = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
            plain = self._keys[name].decrypt(raw[:_NONCE], raw[_NONCE:], None)
        except (binascii.Error, InvalidTag, ValueError):
            raise VaultRefusalError(400, "cipher: message authentication failed") from None
        return base64.b64encode(plain).decode()
