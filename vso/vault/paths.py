"""API paths: encoded segment by segment, so that no name can leave its place.

Invariant: a slash separates and is never data; dot segments are refused, because servers resolve
them before any policy is looked at.
"""

from __future__ import annotations

from urllib.parse import quote

from vso.core.errors import ConfigError, Reason


def encode_path(path: str) -> str:
    """Return the path with every segment percent-encoded (RFC 3986); empty segments are dropped."""
    segments = [segment for segment in path.split("/") if segment]
    if not segments:
        raise ConfigError(Reason.VAULT_REQUEST_INVALID, "the path is empty")
    if "." in segments or ".." in segments:
        raise ConfigError(Reason.VAULT_REQUEST_INVALID, f"the path {path!r} has a segment '.' or '..'")
    return "/".join(quote(segment, safe="") for segment in segments)


def check_namespace(namespace: str) -> None:
    """Refuse a Vault namespace that leads out of its place: it goes into a header and is part of the path there."""
    if not namespace.isprintable():
        raise ConfigError(Reason.VAULT_REQUEST_INVALID, "the Vault namespace holds a control character")
    if {".", ".."}.intersection(namespace.split("/")):
        raise ConfigError(Reason.VAULT_REQUEST_INVALID, f"the Vault namespace {namespace!r} has a segment '.' or '..'")


def join(*parts: str) -> str:
    """Return the parts as one path, without empty segments."""
    return "/".join(segment for part in parts for segment in part.split("/") if segment)
