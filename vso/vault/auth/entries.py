"""Entries of a Secret that a login shows.

Invariant: what is returned can be sent: text, and a token without whitespace around it or anything in it that no
header holds. A ConfigError names the Secret and the key, never the value.
"""

from __future__ import annotations

from vso.core.errors import ConfigError, Reason
from vso.core.sensitive import Sensitive
from vso.vault.way import SecretData


def entry(secret: SecretData, key: str) -> Sensitive:
    """Return one entry; a ConfigError says that it is missing, empty or no text, and which keys there are."""
    value = secret.entries.get(key)
    if value is None:
        there = ", ".join(sorted(secret.entries)) or "none"
        raise ConfigError(Reason.REFERENCE_NOT_FOUND, f"Secret {secret.name} has no key {key!r}; its keys: {there}")
    return text(value, _where(secret, key))


def token_entry(secret: SecretData, key: str) -> Sensitive:
    """Return one entry that is a token."""
    return token_text(entry(secret, key), _where(secret, key))


def text(value: Sensitive, where: str) -> Sensitive:
    """Return the value if it is text; `where` names it otherwise."""
    if not len(value):
        raise ConfigError(Reason.INVALID_SPEC, f"{where} is empty")
    try:
        value.reveal_text()
    except UnicodeDecodeError:
        told = ConfigError(Reason.INVALID_SPEC, f"{where} is not text in UTF-8")
    else:
        return value
    raise told  # outside: what it would be chained to quotes the value


def token_text(value: Sensitive, where: str) -> Sensitive:
    """Return a token without the whitespace around it; `where` names what can be none."""
    token = text(Sensitive(value.reveal().strip()), where)
    if not token.reveal_text().isprintable():
        raise ConfigError(Reason.INVALID_SPEC, f"{where} holds a character that no token has")
    return token


def _where(secret: SecretData, key: str) -> str:
    return f"Secret {secret.name}: the value of key {key!r}"
