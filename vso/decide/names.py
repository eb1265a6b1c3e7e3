"""Which texts can be names of Kubernetes objects.

Invariant: what passes is a DNS-1123 subdomain, so that it stands for itself in a URL: no name from a
spec can lead a request to another path than the one that was meant.
"""

from __future__ import annotations

import re

from vso.core.errors import ConfigError, Reason

_LONGEST = 253
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SHOWN = 64


def is_object_name(text: str) -> bool:
    """Tell whether Kubernetes takes the text as the name of an object."""
    return len(text) <= _LONGEST and _SUBDOMAIN.fullmatch(text) is not None


def object_name(text: str, field: str) -> str:
    """Return the name that a field holds; ConfigError names the field where it can be none."""
    if is_object_name(text):
        return text
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    raise ConfigError(
        Reason.INVALID_SPEC,
        f"{field} is {shown!r}, which cannot be the name of an object: lower case letters, digits, '-' and '.',"
        f" a letter or digit at both ends of each part, {_LONGEST} characters at most",
    )
