"""Entries of a Secret that a login shows."""

from __future__ import annotations

from vso.core.errors import ConfigError, Reason
from vso.core.sensitive import Sensitive
from vso.vault.way import SecretData


def entry(secret: SecretData, key: str) -> Sensitive:
    """Return one entry; a ConfigError says that it is missing or empty, and which keys there are."""
    value = secret.entries.get(key)
    if value is None:
        there = ", ".join(sorted(secret.entries)) or "none"
        raise ConfigError(Reason.REFERENCE_NOT_FOUND, f"Secret {secret.name} has no key {key!r}; its keys: {there}")
    if not len(value):
        raise ConfigError(Reason.INVALID_SPEC, f"Secret {secret.name}: the value of key {key!r} is empty")
    return value
