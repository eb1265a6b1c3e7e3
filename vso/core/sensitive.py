"""Bytes that will not print, and keyed digests of them.

Invariant: a Sensitive shows its content only to `reveal`, so that a review can grep for it; its
repr, str and format say nothing, and comparing two takes the same time wherever they differ.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NoReturn, final


@final
class Sensitive:
    """A secret value on its way from Vault to Kubernetes."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    @classmethod
    def of(cls, text: str) -> Sensitive:
        """Wrap text, as UTF-8."""
        return cls(text.encode())

    def reveal(self) -> bytes:
        """Return the bytes; grep for this in review."""
        return self._value

    def reveal_text(self) -> str:
        """Return the bytes as UTF-8 text."""
        return self._value.decode()

    def digest(self, key: bytes) -> str:
        """Return a keyed digest (hex, 16 bytes) that may be logged and compared."""
        return keyed_digest(key, self._value)

    def __repr__(self) -> str:
        return "Sensitive(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Sensitive(***)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sensitive):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __len__(self) -> int:
        return len(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Sensitive is not pickled")


def keyed_digest(key: bytes, value: bytes) -> str:
    """Return BLAKE2b-128 of the value under the key, in hex (RFC 7693 keyed mode)."""
    return hashlib.blake2b(value, key=key[:64], digest_size=16).hexdigest()
